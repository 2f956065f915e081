/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <rte_eal.h>

#include "dataplane/conn_log.h"
#include "dataplane/http_reply.h"
#include "dataplane/passthrough.h"

static struct in6_addr
address(const char *text)
{
	struct in6_addr result = IN6ADDR_ANY_INIT;

	if (inet_pton(AF_INET6, text, &result) != 1) {
		result.s6_addr[10] = result.s6_addr[11] = 0xff;
		assert_int_equal(inet_pton(AF_INET, text, &result.s6_addr[12]), 1);
	}
	return result;
}

static char *
print(const struct conn_log_entry *entry)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	conn_log_print(entry, out);
	fclose(out);
	return text;
}

static struct conn_log_entry *
sample(void)
{
	static struct conn_log_entry entry;

	memset(&entry, 0, sizeof(entry));
	entry.connection = 64;
	entry.started_ns = INT64_C(1700000000123456789);
	entry.duration_us = 1234;
	entry.downstream.used = true;
	entry.downstream.remote = address("10.0.0.9");
	entry.downstream.local = address("fd00::1");
	entry.downstream.remote_port = 40000;
	entry.downstream.local_port = 80;
	entry.protocol = "http";
	entry.mode = "STRICT";
	strcpy(entry.workload, "shop/web");
	strcpy(entry.policy_kind, "PeerAuthentication");
	strcpy(entry.policy_name, "shop/default");
	strcpy(entry.policy_file, "mesh/pa.yaml");
	entry.policy_line = 7;
	return &entry;
}

static void
finished_connection_is_one_line_with_its_policy(void **state)
{
	char *line = print(sample());

	assert_string_equal(line,
		"{\"time\":\"2023-11-14T22:13:20.123Z\",\"connection\":64,\"direction\":\"inbound\","
		"\"downstream\":{\"remote\":\"10.0.0.9:40000\",\"local\":\"[fd00::1]:80\",\"tls\":null},"
		"\"upstream\":null,\"workload\":\"shop/web\",\"service\":null,\"protocol\":\"http\","
		"\"mode\":\"STRICT\",\"bytes_received\":0,\"bytes_sent\":0,\"duration_ms\":1.234,"
		"\"policy\":{\"line\":7,\"kind\":\"PeerAuthentication\",\"name\":\"shop/default\","
		"\"file\":\"mesh/pa.yaml\"},\"result\":\"ok\",\"cause\":null,\"leg\":null,\"detail\":null}\n");
	free(line);
}

static void
refusal_names_cause_leg_and_sentence(void **state)
{
	struct conn_log_entry *entry = sample();
	char *line;

	entry->result = SESSION_REFUSED;
	entry->cause = SESSION_PLAINTEXT_TO_STRICT;
	line = print(entry);
	assert_non_null(strstr(line, "\"result\":\"refused\",\"cause\":\"plaintext_to_strict\","
				     "\"leg\":\"downstream\",\"detail\":\"plaintext arrived where the "
				     "policy takes mutual TLS only\"}"));
	free(line);
}

/* Names in certificates are the peer's to choose. */
static void
bytes_from_the_wire_cannot_break_the_line(void **state)
{
	struct conn_log_entry *entry = sample();
	char *line;

	entry->downstream.tls.used = true;
	strcpy(entry->downstream.tls.peer, "a\"b\\c\n\x01\xff\x7f");
	line = print(entry);
	assert_non_null(strstr(line, "\"peer\":\"a\\\"b\\\\c\\u000a\\u0001\\u00ff\\u007f\""));
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
	free(line);
}

static void
every_cause_has_a_name_and_a_sentence(void **state)
{
	assert_null(session_cause_name(SESSION_NONE));
	for (int cause = SESSION_NONE + 1; cause < SESSION_CAUSE_MAX; cause++) {
		assert_non_null(session_cause_name(cause));
		assert_true(strlen(session_cause_text(cause)) > 10);
	}
}

static void
full_log_loses_lines_and_counts_them(void **state)
{
	struct conn_log *log = conn_log_create("test", 4);
	struct conn_log_entry *entries[4];
	FILE *out = fopen("/dev/null", "w");

	for (int i = 0; i < 4; i++)
		assert_non_null(entries[i] = conn_log_get(log));
	assert_null(conn_log_get(log));
	assert_int_equal(conn_log_lost(log), 1);
	for (int i = 0; i < 4; i++)
		conn_log_put(log, entries[i]);
	assert_int_equal(conn_log_drain(log, out), 4);
	assert_int_equal(conn_log_drain(log, out), 0);
	assert_non_null(conn_log_get(log));
	fclose(out);
	conn_log_destroy(log);
}

static void
reply_503_is_whole_and_keeps_the_tls_reason_to_itself(void **state)
{
	char text[HTTP_REPLY_MAX];
	size_t length = http_reply(text, 503, SESSION_SAN_MISMATCH, 1700000000);
	const char *body = strstr(text, "\r\n\r\n") + 4;
	unsigned int announced;

	assert_int_equal(length, strlen(text));
	assert_int_equal(strncmp(text, "HTTP/1.1 503 Service Unavailable\r\n", 34), 0);
	assert_int_equal(sscanf(strstr(text, "content-length: "), "content-length: %u", &announced), 1);
	assert_int_equal(announced, strlen(body));
	assert_string_equal(body, "upstream connect error or disconnect/reset before headers. "
				  "reset reason: remote connection failure");
	assert_non_null(strstr(text, "date: Tue, 14 Nov 2023 22:13:20 GMT\r\n"));
	assert_non_null(strstr(text, "connection: close\r\n"));
}

static void
longest_reply_fits(void **state)
{
	char text[HTTP_REPLY_MAX];

	for (int cause = 0; cause < SESSION_CAUSE_MAX; cause++) {
		assert_true(http_reply(text, 503, cause, 0) < HTTP_REPLY_MAX);
		assert_true(http_reply(text, 400, cause, 0) < HTTP_REPLY_MAX);
	}
}

static struct tcp_tuple
flow(uint16_t local_port, uint16_t remote_port)
{
	return (struct tcp_tuple){
		.local = address("10.0.0.1"),
		.remote = address("10.0.0.2"),
		.local_port = local_port,
		.remote_port = remote_port,
	};
}

static void
admitted_flow_passes_in_both_directions(void **state)
{
	const uint32_t key[4] = {1, 2, 3, 4};
	struct passthrough *table = passthrough_create(64, key);
	struct tcp_tuple there = flow(80, 40000), other = flow(80, 40001), back = {
		.local = there.remote,
		.remote = there.local,
		.local_port = there.remote_port,
		.remote_port = there.local_port,
	};

	assert_false(passthrough_has(table, &there, 10));
	passthrough_add(table, &there, 10);
	assert_true(passthrough_has(table, &there, 11));
	assert_true(passthrough_has(table, &back, 12));
	assert_false(passthrough_has(table, &other, 12));
	assert_false(passthrough_has(table, &back, 13 + PASSTHROUGH_IDLE_US));
	passthrough_destroy(table);
}

static void
full_table_forgets_the_longest_silent_flow(void **state)
{
	const uint32_t key[4] = {1, 2, 3, 4};
	struct passthrough *table = passthrough_create(4, key); /* one bucket */
	struct tcp_tuple flows[5];

	for (int i = 0; i < 5; i++)
		flows[i] = flow(80, 1000 + i);
	for (int i = 0; i < 4; i++)
		passthrough_add(table, &flows[i], 100 + i);
	assert_true(passthrough_has(table, &flows[0], 200)); /* no longer the most silent */
	passthrough_add(table, &flows[4], 300);
	assert_false(passthrough_has(table, &flows[1], 301));
	assert_true(passthrough_has(table, &flows[0], 301));
	assert_true(passthrough_has(table, &flows[4], 301));
	passthrough_destroy(table);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finished_connection_is_one_line_with_its_policy),
		cmocka_unit_test(refusal_names_cause_leg_and_sentence),
		cmocka_unit_test(bytes_from_the_wire_cannot_break_the_line),
		cmocka_unit_test(every_cause_has_a_name_and_a_sentence),
		cmocka_unit_test(full_log_loses_lines_and_counts_them),
		cmocka_unit_test(reply_503_is_whole_and_keeps_the_tls_reason_to_itself),
		cmocka_unit_test(longest_reply_fits),
		cmocka_unit_test(admitted_flow_passes_in_both_directions),
		cmocka_unit_test(full_table_forgets_the_longest_silent_flow),
	};
	char prefix[64];
	char *argv[] = {"test", "--no-huge", "--no-shconf", "--no-pci", "-m", "64", "--no-telemetry",
			"--log-level=error", prefix, NULL};

	snprintf(prefix, sizeof(prefix), "--file-prefix=conn_log%d", (int)getpid());
	if (rte_eal_init(9, argv) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
