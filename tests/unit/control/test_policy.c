/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a configuration, on real files in a folder of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/stat.h>
#include <pthread.h>

#include <cmocka.h>

#include "control/address.h"
#include "control/policy.h"
#include "tests/unit/control/fake_identity.h"

#define ID "spiffe://cluster.local/ns/shop/sa/web"

struct fixture {
	char folder[64];
	struct policy *policy;
	unsigned int errors, warnings;
	char said[8192]; /* everything that was reported */
};

static const char node_yaml[] =
	"node: {name: gateway-1}\n"
	"workers: {count: 1}\n"
	"ports:\n"
	"  - name: mesh\n"
	"    device: net_ring0\n"
	"    addresses: [10.10.0.1/24]\n"
	"identities:\n"
	"  - certificateChain: web.pem\n"
	"    privateKey: web.key\n"
	"    trustBundle: ca.pem\n"
	"mesh: mesh\n"
	"workloads:\n"
	"  - {name: shop/web}\n"
	"listeners:\n"
	"  - {address: 10.10.0.1, port: 15443, inbound: {workload: shop/web, port: 8080}}\n"
	"  - {address: 10.10.0.1, port: 9080, outbound: {client: shop/web, host: reviews.example, "
	"port: 80}}\n";

static const char resources_yaml[] =
	"apiVersion: networking.istio.io/v1\n"
	"kind: WorkloadEntry\n"
	"metadata: {name: web, namespace: shop}\n"
	"spec: {address: 10.20.0.10, labels: {app: web}, serviceAccount: web}\n"
	"---\n"
	"apiVersion: networking.istio.io/v1\n"
	"kind: ServiceEntry\n"
	"metadata: {name: reviews, namespace: shop}\n"
	"spec:\n"
	"  hosts: [reviews.example]\n"
	"  addresses: [10.96.0.1]\n"
	"  ports: [{number: 80, name: http, targetPort: 8080}]\n"
	"  location: MESH_INTERNAL\n"
	"  resolution: STATIC\n"
	"  endpoints: [{address: 10.30.0.1, serviceAccount: reviews}]\n";

static void
write_file(const struct fixture *fixture, const char *name, const char *text)
{
	char path[256], temporary[300];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", fixture->folder, name);
	snprintf(temporary, sizeof(temporary), "%s.new", path);
	file = fopen(temporary, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	assert_int_equal(rename(temporary, path), 0);
}

static void
write_mode(const struct fixture *fixture, const char *mode)
{
	char text[512];

	snprintf(text, sizeof(text),
		 "apiVersion: security.istio.io/v1\n"
		 "kind: PeerAuthentication\n"
		 "metadata: {name: own, namespace: shop}\n"
		 "spec:\n"
		 "  mtls:\n"
		 "    mode: %s\n",
		 mode);
	write_file(fixture, "mesh/own.yaml", text);
}

static void
keep(void *ctx, const char *line)
{
	struct fixture *fixture = ctx;
	size_t len = strlen(fixture->said);

	snprintf(fixture->said + len, sizeof(fixture->said) - len, "%s\n", line);
}

static void
open_policy(struct fixture *fixture)
{
	char path[256];

	fixture->said[0] = '\0';
	snprintf(path, sizeof(path), "%s/portcullis.yaml", fixture->folder);
	fixture->policy =
		policy_open(path, keep, fixture, &fixture->errors, &fixture->warnings);
}

static void
must_open(struct fixture *fixture)
{
	open_policy(fixture);
	if (fixture->policy == NULL)
		fail_msg("%s", fixture->said);
}

static int
reload(struct fixture *fixture)
{
	fixture->said[0] = '\0';
	return policy_poll(fixture->policy, true);
}

static int
set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	char path[256];

	strcpy(fixture->folder, "/tmp/portcullis-test-XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	snprintf(path, sizeof(path), "%s/mesh", fixture->folder);
	assert_int_equal(mkdir(path, 0700), 0);
	write_file(fixture, "portcullis.yaml", node_yaml);
	write_file(fixture, "mesh/all.yaml", resources_yaml);
	write_mode(fixture, "PERMISSIVE");
	write_file(fixture, "web.pem", ID "\nfirst\n");
	write_file(fixture, "web.key", "key\n");
	write_file(fixture, "ca.pem", "ca\n");
	*state = fixture;
	return 0;
}

static int
tear_down(void **state)
{
	static const char *const names[] = {"portcullis.yaml", "mesh/all.yaml", "mesh/own.yaml",
					    "mesh/rule.yaml", "web.pem", "web.key", "ca.pem",
					    "other.pem", "mesh", ""};
	struct fixture *fixture = *state;
	char path[256];

	policy_close(fixture->policy);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", fixture->folder, names[i]);
		remove(path);
	}
	free(fixture);
	assert_int_equal(fake_identities(), 0);
	return 0;
}

static struct in6_addr
address(const char *text)
{
	struct in6_addr out;

	assert_true(address_parse(text, &out));
	return out;
}

static struct policy_verdict
look_up(const struct policy_snapshot *snapshot, const char *client, const char *server,
	uint16_t port)
{
	struct in6_addr from = address(client), to = address(server);
	struct policy_verdict verdict;

	policy_lookup(snapshot, &from, &to, port, &verdict);
	return verdict;
}

static enum policy_mode
mode_now(const struct fixture *fixture)
{
	struct policy_verdict verdict =
		look_up(policy_current(fixture->policy), "192.0.2.1", "10.20.0.10", 8080);

	assert_int_equal(verdict.direction, POLICY_INBOUND);
	return verdict.inbound->mode;
}

static unsigned int
snapshots(const struct fixture *fixture)
{
	struct policy_stats stats;

	policy_stats(fixture->policy, &stats);
	return stats.snapshots;
}

/* --- the start -------------------------------------------------------------------------------- */

static void
open_publishes_the_first_snapshot(void **state)
{
	struct fixture *fixture = *state;
	const struct policy_snapshot *snapshot;
	struct policy_verdict verdict;
	unsigned int n;

	must_open(fixture);
	assert_int_equal(fixture->errors, 0);
	assert_int_equal(fixture->warnings, 0);
	assert_string_equal(policy_node(fixture->policy)->name, "gateway-1");
	snapshot = policy_current(fixture->policy);
	assert_int_equal(policy_generation(snapshot), 1);
	assert_string_equal(policy_trust_domains(snapshot, &n)[0], "cluster.local");
	assert_int_equal(n, 1);
	verdict = look_up(snapshot, "192.0.2.1", "10.20.0.10", 8080);
	assert_string_equal(verdict.inbound->workload->name, "shop/web");
	assert_string_equal(verdict.inbound->workload->service_account, "shop/web");
	assert_string_equal(tls_identity_spiffe_id(verdict.inbound->workload->identity), ID);
	assert_true(verdict.inbound->workload->preserve_source);
	assert_int_equal(verdict.inbound->source.line, 6);
	assert_non_null(strstr(verdict.inbound->source.file, "mesh/own.yaml"));
	assert_int_equal(snapshots(fixture), 1);
}

static void
listeners_say_what_their_connections_are(void **state)
{
	struct fixture *fixture = *state;
	struct policy_verdict verdict;

	must_open(fixture);
	verdict = look_up(policy_current(fixture->policy), "192.0.2.1", "10.10.0.1", 15443);
	assert_int_equal(verdict.direction, POLICY_INBOUND);
	assert_string_equal(verdict.inbound->workload->name, "shop/web");
	assert_int_equal(verdict.inbound->port, 8080);
	verdict = look_up(policy_current(fixture->policy), "192.0.2.1", "10.10.0.1", 9080);
	assert_int_equal(verdict.direction, POLICY_OUTBOUND);
	assert_string_equal(verdict.client->name, "shop/web");
	assert_string_equal(verdict.outbound->host, "reviews.example");
	assert_int_equal(verdict.endpoint, -1);
	assert_ptr_equal(verdict.outbound->identity, verdict.client->identity);
	verdict = look_up(policy_current(fixture->policy), "192.0.2.1", "10.10.0.1", 80);
	assert_int_equal(verdict.direction, POLICY_ROUTE_ON);
}

static void
listener_for_an_unknown_service_or_port_is_an_error(void **state)
{
	struct fixture *fixture = *state;
	char text[2048];

	snprintf(text, sizeof(text), "%s%s", node_yaml,
		 "  - {address: 10.10.0.1, port: 1, outbound: {client: shop/web, host: "
		 "nobody.example, port: 80}}\n"
		 "  - {address: 10.10.0.1, port: 2, outbound: {client: shop/web, host: "
		 "reviews.example, port: 81}}\n");
	write_file(fixture, "portcullis.yaml", text);
	open_policy(fixture);
	assert_null(fixture->policy);
	assert_int_equal(fixture->errors, 2);
	assert_non_null(strstr(fixture->said, "yaml:17:70: error: there is no service "
					      "nobody.example"));
	assert_non_null(strstr(fixture->said, "yaml:18:93: error: reviews.example has no port 81"));
}

static void
errors_of_all_files_come_in_one_run(void **state)
{
	struct fixture *fixture = *state;

	write_mode(fixture, "STRIKT");
	write_file(fixture, "web.pem", "broken\n");
	open_policy(fixture);
	assert_null(fixture->policy);
	assert_int_equal(fixture->errors, 2);
	assert_non_null(strstr(fixture->said, "mesh/own.yaml:6:11: error: spec.mtls.mode"));
	assert_non_null(strstr(fixture->said, "portcullis.yaml:8:23: error: "));
	assert_non_null(strstr(fixture->said, "web.pem: not a certificate"));
}

static void
workload_without_a_matching_identity_is_warned_of(void **state)
{
	struct fixture *fixture = *state;
	struct policy_verdict verdict;

	write_file(fixture, "web.pem", "spiffe://cluster.local/ns/shop/sa/other\n");
	must_open(fixture);
	assert_int_equal(fixture->warnings, 1);
	assert_non_null(strstr(fixture->said, "no identity for " ID
					      ", have spiffe://cluster.local/ns/shop/sa/other"));
	verdict = look_up(policy_current(fixture->policy), "192.0.2.1", "10.20.0.10", 8080);
	assert_null(verdict.inbound->workload->identity);
}

static void
certificate_of_a_rule_that_is_not_there_is_an_error(void **state)
{
	struct fixture *fixture = *state;

	write_file(fixture, "mesh/rule.yaml",
		   "apiVersion: networking.istio.io/v1\n"
		   "kind: DestinationRule\n"
		   "metadata: {name: r, namespace: shop}\n"
		   "spec:\n"
		   "  host: reviews.example\n"
		   "  trafficPolicy: {tls: {mode: SIMPLE, caCertificates: other.pem}}\n");
	open_policy(fixture);
	assert_null(fixture->policy);
	assert_int_equal(fixture->errors, 1); /* once, however many look-ups need it */
	assert_non_null(strstr(fixture->said, "mesh/rule.yaml:6:55: error: "));
	assert_non_null(strstr(fixture->said, "other.pem: No such file"));
	write_file(fixture, "other.pem", "ca\n");
	must_open(fixture);
}

/* --- reloads ------------------------------------------------------------------------------------ */

static void
reload_publishes_what_has_changed(void **state)
{
	struct fixture *fixture = *state;
	struct policy_stats stats;

	must_open(fixture);
	assert_int_equal(mode_now(fixture), POLICY_PERMISSIVE);
	write_mode(fixture, "STRICT");
	assert_int_equal(reload(fixture), 1);
	assert_int_equal(mode_now(fixture), POLICY_STRICT);
	assert_int_equal(policy_generation(policy_current(fixture->policy)), 2);
	policy_stats(fixture->policy, &stats);
	assert_int_equal(stats.reloads, 1);
	assert_int_equal(stats.refused, 0);
	assert_int_equal(stats.snapshots, 1); /* no worker is there to be waited for */
}

static void
reload_without_a_change_in_effect_publishes_nothing(void **state)
{
	struct fixture *fixture = *state;
	const struct policy_snapshot *before;
	char text[2048];

	must_open(fixture);
	before = policy_current(fixture->policy);
	assert_int_equal(reload(fixture), 0);
	snprintf(text, sizeof(text), "%s# a comment\n", resources_yaml);
	write_file(fixture, "mesh/all.yaml", text);
	assert_int_equal(reload(fixture), 0);
	assert_ptr_equal(policy_current(fixture->policy), before);
	assert_int_equal(policy_poll(fixture->policy, false), 0);
}

static void
reload_with_an_error_is_refused_whole(void **state)
{
	struct fixture *fixture = *state;
	const struct policy_snapshot *before;
	struct policy_stats stats;

	must_open(fixture);
	before = policy_current(fixture->policy);
	write_mode(fixture, "STRICT");
	write_file(fixture, "mesh/rule.yaml", "kind: [\n");
	assert_int_equal(reload(fixture), -1);
	assert_non_null(strstr(fixture->said, "mesh/rule.yaml:2:1: error: "));
	assert_ptr_equal(policy_current(fixture->policy), before);
	assert_int_equal(mode_now(fixture), POLICY_PERMISSIVE);
	policy_stats(fixture->policy, &stats);
	assert_int_equal(stats.refused, 1);
	write_file(fixture, "mesh/rule.yaml", "");
	assert_int_equal(reload(fixture), 1);
	assert_int_equal(mode_now(fixture), POLICY_STRICT);
}

static void
unreadable_configuration_is_refused(void **state)
{
	struct fixture *fixture = *state;

	must_open(fixture);
	write_file(fixture, "portcullis.yaml", "a: [");
	assert_int_equal(reload(fixture), -1);
	assert_int_equal(mode_now(fixture), POLICY_PERMISSIVE);
	write_file(fixture, "portcullis.yaml", "[]");
	assert_int_equal(reload(fixture), -1);
	write_file(fixture, "portcullis.yaml", node_yaml);
	assert_int_equal(reload(fixture), 0);
}

static const struct tls_identity *
identity_now(const struct fixture *fixture)
{
	return look_up(policy_current(fixture->policy), "192.0.2.1", "10.20.0.10", 8080)
		.inbound->workload->identity;
}

static void
replaced_identity_takes_effect(void **state)
{
	struct fixture *fixture = *state;
	char before[65];

	must_open(fixture);
	strcpy(before, tls_identity_fingerprint(identity_now(fixture)));
	write_file(fixture, "web.pem", ID "\nsecond\n");
	assert_int_equal(reload(fixture), 1);
	assert_string_not_equal(tls_identity_fingerprint(identity_now(fixture)), before);
	assert_int_equal(fake_identities(), 1);
}

static void
broken_identity_is_refused_and_the_old_one_stays(void **state)
{
	struct fixture *fixture = *state;
	char before[65];

	must_open(fixture);
	strcpy(before, tls_identity_fingerprint(identity_now(fixture)));
	write_file(fixture, "web.pem", "broken\n");
	assert_int_equal(reload(fixture), -1);
	assert_non_null(strstr(fixture->said, "web.pem: not a certificate"));
	assert_string_equal(tls_identity_fingerprint(identity_now(fixture)), before);
	assert_int_equal(fake_identities(), 1);
}

static void
what_needs_a_restart_is_warned_of(void **state)
{
	struct fixture *fixture = *state;
	char text[2048];

	must_open(fixture);
	snprintf(text, sizeof(text), "%s", node_yaml);
	memcpy(strstr(text, "count: 1"), "count: 2", 8);
	write_file(fixture, "portcullis.yaml", text);
	assert_int_equal(reload(fixture), 0);
	assert_non_null(strstr(fixture->said, "warning: workers has changed"));
	assert_int_equal(policy_node(fixture->policy)->workers, 1);
}

static int
poll_until(struct fixture *fixture, int wanted)
{
	const struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
	int result = 0;

	for (unsigned int i = 0; i < 100 && result != wanted; i++) {
		result = policy_poll(fixture->policy, false);
		nanosleep(&pause, NULL);
	}
	return result;
}

static void
changed_files_are_noticed(void **state)
{
	struct fixture *fixture = *state;

	must_open(fixture);
	write_mode(fixture, "STRICT");
	assert_int_equal(poll_until(fixture, 1), 1);
	write_file(fixture, "web.pem", "broken\n");
	assert_int_equal(poll_until(fixture, -1), -1);
	write_file(fixture, "web.pem", ID "\nthird\n");
	assert_int_equal(poll_until(fixture, 1), 1);
	assert_int_equal(mode_now(fixture), POLICY_STRICT);
}

/* --- reclamation ------------------------------------------------------------------------------------ */

static void
worker_that_is_held_back_keeps_the_old_snapshot(void **state)
{
	struct fixture *fixture = *state;
	const struct policy_snapshot *old;
	struct policy_verdict verdict;

	must_open(fixture);
	policy_worker_online(fixture->policy, 0);
	policy_worker_online(fixture->policy, 1);
	old = policy_current(fixture->policy);
	verdict = look_up(old, "192.0.2.1", "10.20.0.10", 8080);
	write_mode(fixture, "STRICT");
	assert_int_equal(reload(fixture), 1);
	policy_quiescent(fixture->policy, 0);
	for (unsigned int i = 0; i < 5; i++) {
		policy_poll(fixture->policy, false);
		assert_int_equal(snapshots(fixture), 2);
		/* Under AddressSanitizer a read of freed or poisoned memory ends the test. */
		assert_int_equal(verdict.inbound->mode, POLICY_PERMISSIVE);
		assert_int_equal(policy_generation(old), 1);
		assert_string_equal(tls_identity_spiffe_id(verdict.inbound->workload->identity),
				    ID);
	}
	policy_quiescent(fixture->policy, 1);
	policy_poll(fixture->policy, false);
	assert_int_equal(snapshots(fixture), 1);
	policy_worker_offline(fixture->policy, 0);
	policy_worker_offline(fixture->policy, 1);
}

static void
session_that_holds_keeps_the_old_snapshot(void **state)
{
	struct fixture *fixture = *state;
	const struct policy_snapshot *old;

	must_open(fixture);
	policy_worker_online(fixture->policy, 3);
	old = policy_current(fixture->policy);
	policy_hold(old, 3);
	policy_hold(old, 3);
	write_mode(fixture, "STRICT");
	assert_int_equal(reload(fixture), 1);
	policy_quiescent(fixture->policy, 3);
	policy_poll(fixture->policy, false);
	assert_int_equal(snapshots(fixture), 2);
	policy_drop(old, 3);
	policy_poll(fixture->policy, false);
	assert_int_equal(snapshots(fixture), 2);
	assert_int_equal(policy_generation(old), 1);
	policy_drop(old, 3);
	policy_poll(fixture->policy, false);
	assert_int_equal(snapshots(fixture), 1);
	policy_worker_offline(fixture->policy, 3);
}

static void
worker_that_is_offline_is_not_waited_for(void **state)
{
	struct fixture *fixture = *state;

	must_open(fixture);
	policy_worker_online(fixture->policy, 0);
	policy_worker_offline(fixture->policy, 0);
	write_mode(fixture, "STRICT");
	assert_int_equal(reload(fixture), 1);
	assert_int_equal(snapshots(fixture), 1);
}

static void
snapshots_are_freed_in_any_order(void **state)
{
	struct fixture *fixture = *state;
	const struct policy_snapshot *kept[3];

	must_open(fixture);
	policy_worker_online(fixture->policy, 0);
	for (unsigned int i = 0; i < 3; i++) {
		kept[i] = policy_current(fixture->policy);
		policy_hold(kept[i], 0);
		write_mode(fixture, i % 2 == 0 ? "STRICT" : "DISABLE");
		assert_int_equal(reload(fixture), 1);
		policy_quiescent(fixture->policy, 0);
	}
	assert_int_equal(snapshots(fixture), 4);
	policy_drop(kept[1], 0);
	policy_poll(fixture->policy, false);
	assert_int_equal(snapshots(fixture), 3);
	assert_int_equal(policy_generation(kept[0]), 1);
	assert_int_equal(policy_generation(kept[2]), 3);
	policy_drop(kept[2], 0);
	policy_drop(kept[0], 0);
	policy_poll(fixture->policy, false);
	assert_int_equal(snapshots(fixture), 1);
	policy_worker_offline(fixture->policy, 0);
}

struct reader {
	struct fixture *fixture;
	unsigned int worker;
	bool stop;
	uint64_t looked, wrong;
};

static void *
read_all_the_time(void *ctx)
{
	struct reader *reader = ctx;
	struct policy *policy = reader->fixture->policy;
	struct in6_addr client = address("192.0.2.1"), server = address("10.20.0.10");
	const struct policy_snapshot *held = NULL;

	policy_worker_online(policy, reader->worker);
	while (!__atomic_load_n(&reader->stop, __ATOMIC_ACQUIRE)) {
		const struct policy_snapshot *snapshot = policy_current(policy);
		struct policy_verdict verdict;

		policy_lookup(snapshot, &client, &server, 8080, &verdict);
		reader->wrong += verdict.direction != POLICY_INBOUND ||
				 strcmp(verdict.inbound->source.name, "shop/own") != 0;
		if (reader->looked % 64 == 0) {
			policy_hold(snapshot, reader->worker);
			if (held != NULL)
				policy_drop(held, reader->worker);
			held = snapshot;
		}
		reader->wrong += policy_generation(held) == 0;
		reader->looked++;
		policy_quiescent(policy, reader->worker);
	}
	if (held != NULL)
		policy_drop(held, reader->worker);
	policy_worker_offline(policy, reader->worker);
	return NULL;
}

static void
readers_and_reloads_at_the_same_time(void **state)
{
	struct fixture *fixture = *state;
	struct reader readers[2] = {{.worker = 0}, {.worker = 1}};
	pthread_t threads[2];

	must_open(fixture);
	for (unsigned int i = 0; i < 2; i++) {
		readers[i].fixture = fixture;
		assert_int_equal(pthread_create(&threads[i], NULL, read_all_the_time, &readers[i]),
				 0);
	}
	for (unsigned int i = 0; i < 60; i++) {
		write_mode(fixture, i % 2 == 0 ? "STRICT" : "PERMISSIVE");
		assert_int_equal(reload(fixture), 1);
	}
	for (unsigned int i = 0; i < 2; i++) {
		__atomic_store_n(&readers[i].stop, true, __ATOMIC_RELEASE);
		pthread_join(threads[i], NULL);
		assert_int_equal(readers[i].wrong, 0);
		assert_true(readers[i].looked > 0);
	}
	policy_poll(fixture->policy, false);
	assert_int_equal(snapshots(fixture), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(open_publishes_the_first_snapshot),
		TEST(listeners_say_what_their_connections_are),
		TEST(listener_for_an_unknown_service_or_port_is_an_error),
		TEST(errors_of_all_files_come_in_one_run),
		TEST(workload_without_a_matching_identity_is_warned_of),
		TEST(certificate_of_a_rule_that_is_not_there_is_an_error),
		TEST(reload_publishes_what_has_changed),
		TEST(reload_without_a_change_in_effect_publishes_nothing),
		TEST(reload_with_an_error_is_refused_whole),
		TEST(unreadable_configuration_is_refused),
		TEST(replaced_identity_takes_effect),
		TEST(broken_identity_is_refused_and_the_old_one_stays),
		TEST(what_needs_a_restart_is_warned_of),
		TEST(changed_files_are_noticed),
		TEST(worker_that_is_held_back_keeps_the_old_snapshot),
		TEST(session_that_holds_keeps_the_old_snapshot),
		TEST(worker_that_is_offline_is_not_waited_for),
		TEST(snapshots_are_freed_in_any_order),
		TEST(readers_and_reloads_at_the_same_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
