/* SPDX-License-Identifier: Apache-2.0 */
/* The table of a snapshot by itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/address.h"
#include "control/snapshot.h"
#include "tests/unit/control/fake_identity.h"

static struct policy_prefix
prefix(const char *text)
{
	struct policy_prefix out;

	assert_true(address_parse_prefix(text, &out));
	return out;
}

static struct in6_addr
address(const char *text)
{
	struct in6_addr out;

	assert_true(address_parse(text, &out));
	return out;
}

static void
what_was_inserted_is_found_and_nothing_else(void **state)
{
	enum { N = 20000 };
	struct policy_snapshot *snapshot = snapshot_create();
	bool full = false;

	for (uint32_t i = 0; i < N; i++) {
		struct snapshot_key key = snapshot_inbound_key(i / 100, (uint16_t)(i % 100 + 1));

		assert_null(snapshot_insert(snapshot, &key, (void *)(uintptr_t)(i + 1), (int)i,
					    &full));
	}
	assert_false(full);
	for (uint32_t i = 0; i < N; i++) {
		struct snapshot_key key = snapshot_inbound_key(i / 100, (uint16_t)(i % 100 + 1));
		const struct snapshot_entry *entry = snapshot_find(snapshot, &key);

		assert_non_null(entry);
		assert_ptr_equal(entry->value, (void *)(uintptr_t)(i + 1));
		key.port += 100;
		assert_null(snapshot_find(snapshot, &key));
	}
	/* At most half of the slots are taken, so that a miss ends soon. */
	assert_true(snapshot->mask + 1 >= 2 * N);
	snapshot_destroy(snapshot);
}

static void
second_insertion_of_a_key_changes_nothing(void **state)
{
	struct policy_snapshot *snapshot = snapshot_create();
	struct in6_addr one = address("10.0.0.1");
	struct snapshot_key key = snapshot_address_key(SNAPSHOT_LISTENER, &one, 80);
	const struct snapshot_entry *there;
	bool full = false;

	assert_null(snapshot_insert(snapshot, &key, "first", -1, &full));
	there = snapshot_insert(snapshot, &key, "second", -1, &full);
	assert_non_null(there);
	assert_string_equal(there->value, "first");
	assert_int_equal(snapshot->n_entries, 1);
	snapshot_destroy(snapshot);
}

static void
scopes_do_not_meet(void **state)
{
	struct policy_snapshot *snapshot = snapshot_create();
	struct in6_addr zero = {0};
	struct policy_prefix none = {.address = zero, .length = 0};
	struct snapshot_key keys[] = {
		snapshot_address_key(SNAPSHOT_WORKLOAD, &zero, 0),
		snapshot_address_key(SNAPSHOT_LISTENER, &zero, 0),
		snapshot_inbound_key(0, 0),
		snapshot_outbound_key(0, &none, 0),
		snapshot_outbound_key(1, &none, 0),
	};
	bool full = false;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		assert_null(snapshot_insert(snapshot, &keys[i], &keys[i], -1, &full));
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		assert_ptr_equal(snapshot_find(snapshot, &keys[i])->value, &keys[i]);
	snapshot_destroy(snapshot);
}

static void
host_bits_of_prefixes_do_not_count(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} rows[] = {
		{"10.1.2.3/16", "10.1.9.9/16", true},   {"10.1.2.3/16", "10.2.2.3/16", false},
		{"10.1.2.3/16", "10.1.2.3/17", false},  {"10.1.2.255/31", "10.1.2.254/31", true},
		{"10.1.2.255/32", "10.1.2.254/32", false}, {"fd00::1/0", "1234::1/0", true},
		{"fd00::1/127", "fd00::/127", true},    {"fd00::1/1", "7000::/1", false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct policy_prefix a = prefix(rows[i].a), b = prefix(rows[i].b);
		struct snapshot_key left = snapshot_outbound_key(0, &a, 80);
		struct snapshot_key right = snapshot_outbound_key(0, &b, 80);

		assert_int_equal(memcmp(&left, &right, sizeof(left)) == 0, rows[i].same);
	}
}

static void
prefix_lengths_are_kept_longest_first(void **state)
{
	static const char *const texts[] = {"10.0.0.0/8", "10.1.0.0/16", "fd00::/8", "10.0.0.1",
					    "10.2.0.0/16", "::/0"};
	static const uint8_t wanted[] = {128, 112, 104, 8, 0};
	struct policy_snapshot *snapshot = snapshot_create();
	bool full = false;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct policy_prefix to = prefix(texts[i]);
		struct snapshot_key key = snapshot_outbound_key(0, &to, 80);

		assert_null(snapshot_insert(snapshot, &key, "", -1, &full));
	}
	assert_int_equal(snapshot->n_lengths, sizeof(wanted));
	assert_memory_equal(snapshot->lengths, wanted, sizeof(wanted));
	snapshot_destroy(snapshot);
}

/* A workload at 10.20.0.10 with one declared port. */
static struct policy_snapshot *
make(uint16_t port, enum policy_mode mode, const char *identity)
{
	struct policy_snapshot *snapshot = snapshot_create();
	struct snapshot_workload *workload =
		arena_alloc(snapshot->arena, sizeof(*snapshot->workloads));
	struct policy_inbound *inbound = arena_alloc(snapshot->arena, sizeof(*inbound));
	struct snapshot_key key;
	bool full = false;

	snapshot->workloads = workload;
	snapshot->n_workloads = 1;
	workload->workload.name = "shop/web";
	workload->workload.service_account = "";
	workload->workload.address = address("10.20.0.10");
	workload->workload.identity = fake_identity(identity);
	snapshot_keep_identity(snapshot, workload->workload.identity);
	workload->undeclared.workload = &workload->workload;
	workload->undeclared.mode = POLICY_PERMISSIVE;
	*inbound = workload->undeclared;
	inbound->port = port;
	inbound->mode = mode;
	key = snapshot_address_key(SNAPSHOT_WORKLOAD, &workload->workload.address, 0);
	assert_null(snapshot_insert(snapshot, &key, workload, -1, &full));
	key = snapshot_inbound_key(0, port);
	assert_null(snapshot_insert(snapshot, &key, inbound, -1, &full));
	return snapshot;
}

static void
undeclared_ports_have_the_workloads_mode(void **state)
{
	struct policy_snapshot *snapshot = make(80, POLICY_STRICT, "a");
	struct in6_addr client = address("192.0.2.1"), server = address("10.20.0.10");
	struct in6_addr other = address("10.20.0.11");
	struct policy_verdict verdict;

	policy_lookup(snapshot, &client, &server, 80, &verdict);
	assert_int_equal(verdict.direction, POLICY_INBOUND);
	assert_int_equal(verdict.inbound->mode, POLICY_STRICT);
	policy_lookup(snapshot, &client, &server, 81, &verdict);
	assert_int_equal(verdict.direction, POLICY_INBOUND);
	assert_int_equal(verdict.inbound->mode, POLICY_PERMISSIVE);
	assert_int_equal(verdict.inbound->port, 0);
	policy_lookup(snapshot, &client, &other, 80, &verdict);
	assert_int_equal(verdict.direction, POLICY_ROUTE_ON);
	assert_null(verdict.inbound);
	assert_ptr_equal(policy_workload(snapshot, &server), &snapshot->workloads[0].workload);
	assert_null(policy_workload(snapshot, &other));
	snapshot_destroy(snapshot);
	assert_int_equal(fake_identities(), 0);
}

static bool
same_digest(const struct policy_snapshot *a, const struct policy_snapshot *b)
{
	uint8_t left[SNAPSHOT_DIGEST], right[SNAPSHOT_DIGEST];

	snapshot_digest(a, left);
	snapshot_digest(b, right);
	return memcmp(left, right, sizeof(left)) == 0;
}

static void
digest_covers_what_readers_see_and_not_the_generation(void **state)
{
	struct policy_snapshot *first = make(80, POLICY_STRICT, "a");
	struct policy_snapshot *others[] = {
		make(80, POLICY_STRICT, "a"),     make(81, POLICY_STRICT, "a"),
		make(80, POLICY_PERMISSIVE, "a"), make(80, POLICY_STRICT, "b"),
	};

	others[0]->generation = 7;
	assert_true(same_digest(first, others[0]));
	for (size_t i = 1; i < 4; i++)
		assert_false(same_digest(first, others[i]));
	others[0]->workloads[0].workload.preserve_source = true;
	assert_false(same_digest(first, others[0]));
	snapshot_destroy(first);
	for (size_t i = 0; i < 4; i++)
		snapshot_destroy(others[i]);
}

static void
holds_of_all_workers_add_up(void **state)
{
	struct policy_snapshot *snapshot = make(80, POLICY_STRICT, "a");

	assert_int_equal(snapshot_held(snapshot), 0);
	policy_hold(snapshot, 0);
	policy_hold(snapshot, POLICY_MAX_WORKERS - 1);
	assert_int_equal(snapshot_held(snapshot), 2);
	/* A session may be given to another worker, which drops what it did not take. */
	policy_drop(snapshot, 1);
	assert_int_equal(snapshot_held(snapshot), 1);
	policy_drop(snapshot, 0);
	assert_int_equal(snapshot_held(snapshot), 0);
	snapshot_destroy(snapshot);
}

static void
names_of_values_out_of_range_are_safe(void **state)
{
	assert_string_equal(policy_mode_name(POLICY_STRICT), "STRICT");
	assert_string_equal(policy_protocol_name(POLICY_TLS), "TLS");
	assert_string_equal(policy_tls_name(POLICY_TLS_ISTIO_MUTUAL), "ISTIO_MUTUAL");
	assert_string_equal(policy_mode_name((enum policy_mode)99), "?");
	assert_string_equal(policy_protocol_name((enum policy_protocol)99), "?");
	assert_string_equal(policy_tls_name((enum policy_tls)99), "?");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_inserted_is_found_and_nothing_else),
		cmocka_unit_test(second_insertion_of_a_key_changes_nothing),
		cmocka_unit_test(scopes_do_not_meet),
		cmocka_unit_test(host_bits_of_prefixes_do_not_count),
		cmocka_unit_test(prefix_lengths_are_kept_longest_first),
		cmocka_unit_test(undeclared_ports_have_the_workloads_mode),
		cmocka_unit_test(digest_covers_what_readers_see_and_not_the_generation),
		cmocka_unit_test(holds_of_all_workers_add_up),
		cmocka_unit_test(names_of_values_out_of_range_are_safe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
