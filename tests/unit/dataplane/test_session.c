/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions from one end to the other, with TCP and TLS as they are: see session_harness.h. */
#include "tests/unit/dataplane/session_harness.h"

#include <string.h>

#define REQUEST "GET / HTTP/1.1\r\nhost: web\r\n\r\n"

/* Connects and lets a word each way pass. */
static void
converse(struct world *world)
{
	world_connect(world);
	world_run(world, 20);
	end_send(world, &world->client, "ping");
	world_run(world, 20);
	assert_heard(&world->server, "ping");
	end_send(world, &world->server, "pong");
	world_run(world, 20);
	assert_heard(&world->client, "pong");
}

static void
assert_ends_in_order(struct world *world)
{
	end_shutdown(world, &world->client);
	world_run(world, 20);
	assert_true(world->server.events & TCP_EV_EOF);
	assert_false(world->client.events & TCP_EV_EOF);
	end_send(world, &world->server, "more");
	world_run(world, 20);
	assert_true(heard(&world->client, "more"));
	end_shutdown(world, &world->server);
	world_run(world, 200);
	assert_true(world->client.events & TCP_EV_CLOSED);
	assert_true(world->server.events & TCP_EV_CLOSED);
	assert_int_equal(world_sessions(world, INBOUND), 0);
	assert_logged(world, INBOUND, "\"result\":\"ok\"");
}

static void
bytes_pass_both_ways_and_each_half_closes_alone(void **state)
{
	struct world *world = *state;

	converse(world);
	assert_ends_in_order(world);
}

/* Mutual TLS between two gateways. */
static void
mutual(struct world *world)
{
	world->originate = true;
	world->inbound.mode = POLICY_STRICT;
}

static void
so_do_they_over_mutual_tls(void **state)
{
	struct world *world = *state;

	mutual(world);
	converse(world);
	assert_ends_in_order(world);
	assert_int_equal(world_sessions(world, OUTBOUND), 0);
	assert_logged(world, OUTBOUND, "\"result\":\"ok\"");
}

static void
permissive_takes_both(void **state)
{
	struct world *world = *state;

	world->inbound.mode = POLICY_PERMISSIVE;
	converse(world);
	assert_ends_in_order(world);
}

static void
permissive_takes_mutual_tls(void **state)
{
	struct world *world = *state;

	mutual(world);
	world->inbound.mode = POLICY_PERMISSIVE;
	converse(world);
	assert_ends_in_order(world);
}

static void
strict_resets_plaintext(void **state)
{
	struct world *world = *state;

	world->inbound.mode = POLICY_STRICT;
	world_connect(world);
	world_run(world, 10);
	end_send(world, &world->client, REQUEST);
	world_run(world, 20);
	assert_int_equal(world->client.error, TCP_E_RESET);
	assert_logged(world, INBOUND, "\"cause\":\"plaintext_to_strict\",\"leg\":\"downstream\"");
	assert_int_equal(world_sessions(world, INBOUND), 0);
}

static void
bulk_passes_both_ways(void **state)
{
	struct world *world = *state;

	mutual(world);
	world_connect(world);
	world_run(world, 30);
	end_send_bytes(world, &world->client, 1000000);
	end_send_bytes(world, &world->server, 1000000);
	world_run(world, 500);
	assert_int_equal(world->server.n_bytes, 1000000);
	assert_int_equal(world->client.n_bytes, 1000000);
	assert_memory_equal(world->client.bytes, world->server.bytes, 1000000);
}

/* --- the upstream that cannot be had -----------------------------------------------------------
 */

static void
refused_upstream_is_a_503_for_http(void **state)
{
	struct world *world = *state;

	world->listens = false;
	world->inbound.protocol = POLICY_HTTP;
	world_connect(world);
	world_run(world, 10);
	end_send(world, &world->client, REQUEST);
	world_run(world, 20);
	assert_true(heard(&world->client, "HTTP/1.1 503 "));
	assert_true(world->client.events & TCP_EV_EOF);
	end_shutdown(world, &world->client);
	world_run(world, 20);
	assert_int_equal(world_sessions(world, INBOUND), 0);
	assert_logged(world, INBOUND, "\"cause\":\"upstream_refused\",\"leg\":\"upstream\"");
}

static void
refused_upstream_waits_for_the_first_bytes_of_an_undeclared_protocol(void **state)
{
	struct world *world = *state;

	world->listens = false;
	world_connect(world);
	world_run(world, 50);
	assert_int_equal(world->client.error, 0);
	end_send(world, &world->client, REQUEST);
	world_run(world, 20);
	assert_true(heard(&world->client, "HTTP/1.1 503 "));
	assert_logged(world, INBOUND, "\"cause\":\"upstream_refused\",\"leg\":\"upstream\"");
}

static void
refused_upstream_of_a_silent_client_is_a_reset(void **state)
{
	struct world *world = *state;

	world->listens = false;
	world_connect(world);
	world_wait(world, 2 * SECOND);
	assert_int_equal(world->client.error, TCP_E_RESET);
	assert_logged(world, INBOUND, "\"cause\":\"upstream_refused\"");
	assert_int_equal(world_sessions(world, INBOUND), 0);
}

static void
upstream_that_closes_without_an_answer_is_a_503(void **state)
{
	struct world *world = *state;

	world->inbound.protocol = POLICY_HTTP;
	world_connect(world);
	world_run(world, 10);
	end_send(world, &world->client, REQUEST);
	world_run(world, 20);
	assert_heard(&world->server, REQUEST);
	end_shutdown(world, &world->server);
	world_run(world, 20);
	assert_true(heard(&world->client, "HTTP/1.1 503 "));
	assert_logged(world, INBOUND, "\"cause\":\"upstream_reset\",\"leg\":\"upstream\"");
}

static void
no_route_is_told(void **state)
{
	struct world *world = *state;

	world->inbound.protocol = POLICY_HTTP;
	world_connect(world);
	world_run(world, 10);
	world->no_route = true;
	end_send(world, &world->client, REQUEST);
	world_run(world, 20);
	assert_true(heard(&world->client, "HTTP/1.1 503 "));
	assert_logged(world, INBOUND, "\"cause\":\"upstream_unreachable\"");
}

static void
no_buffer_for_a_503_is_a_reset(void **state)
{
	struct world *world = *state;

	world->inbound.protocol = POLICY_HTTP;
	world_connect(world);
	world_run(world, 10);
	world->no_route = true;
	end_send(world, &world->client, REQUEST);
	world_turn_of(world, CLIENT);
	world_take_buffers(world);
	world_turn_of(world, INBOUND);
	world_give_buffers(world);
	world_run(world, 20);
	assert_int_equal(world->client.n_bytes, 0);
	assert_int_equal(world_sessions(world, INBOUND), 0);
	assert_logged(world, INBOUND, "\"cause\":\"upstream_unreachable\"");
}

static void
an_http2_client_gets_no_http1_reply(void **state)
{
	struct world *world = *state;

	mutual(world);
	world->inbound.protocol = POLICY_HTTP2;
	world->outbound.alpn = (const uint8_t *)"\x02h2";
	world->outbound.alpn_len = 3;
	world->listens = false;
	world_connect(world);
	world_wait(world, 2 * SECOND);
	assert_int_equal(world->client.n_bytes, 0);
	assert_int_equal(world->client.error, TCP_E_RESET);
	assert_logged(world, INBOUND, "\"cause\":\"upstream_refused\"");
}

static void
an_upstream_that_does_not_answer_times_out(void **state)
{
	struct world *world = *state;

	world->inbound.protocol = POLICY_HTTP;
	world_connect(world);
	world_run(world, 10);
	world->mute_server = true;
	end_send(world, &world->client, REQUEST);
	world_wait(world, 2 * SECOND);
	assert_int_equal(world->client.n_bytes, 0);
	world_wait(world, 2 * SECOND);
	assert_true(heard(&world->client, "HTTP/1.1 503 "));
	assert_logged(world, INBOUND, "\"cause\":\"upstream_timeout\",\"leg\":\"upstream\"");
}

/* --- resets ----------------------------------------------------------------------------------- */

static void
downstream_reset_resets_the_upstream(void **state)
{
	struct world *world = *state;

	converse(world);
	end_reset(world, &world->client);
	world_run(world, 20);
	assert_int_equal(world->server.error, TCP_E_RESET);
	assert_logged(world, INBOUND, "\"cause\":\"downstream_reset\",\"leg\":\"downstream\"");
	assert_int_equal(world_sessions(world, INBOUND), 0);
}

static void
upstream_reset_resets_the_downstream(void **state)
{
	struct world *world = *state;

	converse(world);
	end_reset(world, &world->server);
	world_run(world, 20);
	assert_int_equal(world->client.error, TCP_E_RESET);
	assert_logged(world, INBOUND, "\"cause\":\"upstream_reset\",\"leg\":\"upstream\"");
	assert_int_equal(world_sessions(world, INBOUND), 0);
}

static void
what_came_before_a_reset_is_delivered(void **state)
{
	struct world *world = *state;

	converse(world);
	end_send(world, &world->server, " last words");
	world_turn_of(world, SERVER);
	end_reset(world, &world->server);
	world_turn_of(world, SERVER);
	assert_int_equal(world->hosts[INBOUND].n_wire, 2); /* both in one burst */
	world_run(world, 20);
	assert_heard(&world->client, "pong last words");
	assert_int_equal(world->client.error, TCP_E_RESET);
}

/* The failure is told even to a client that takes long to read what came before it. */
static void
a_slow_reader_hears_of_the_failure_at_the_end(void **state)
{
	struct world *world = *state;

	converse(world);
	world->client.deaf = true;
	end_send_bytes(world, &world->server, 150000);
	world_run(world, 100);
	end_reset(world, &world->server);
	world_wait(world, 10 * SECOND);
	assert_false(world->client.events & (TCP_EV_EOF | TCP_EV_FAILED));
	world->client.deaf = false;
	world_wait(world, 5 * SECOND);
	assert_true(world->client.n_bytes > 100000);
	assert_false(world->client.events & TCP_EV_EOF);
	assert_int_equal(world->client.error, TCP_E_RESET);
	assert_int_equal(world_sessions(world, INBOUND), 0);
}

static void
a_client_that_gives_up_in_the_middle_of_the_answer_is_no_success(void **state)
{
	struct world *world = *state;

	converse(world);
	world->client.deaf = true;
	end_shutdown(world, &world->client);
	end_send_bytes(world, &world->server, 90000);
	end_shutdown(world, &world->server);
	world_run(world, 100);
	end_reset(world, &world->client);
	world_wait(world, SECOND);
	assert_int_equal(world_sessions(world, INBOUND), 0);
	assert_logged(world, INBOUND, "\"cause\":\"downstream_reset\"");
}

/* The server's last flight and its RST in one burst: the handshake is complete, and there is
 * nobody to talk to. */
static void
an_upstream_that_dies_as_the_handshake_ends_is_a_503(void **state)
{
	struct world *world = *state;
	struct session *session;

	mutual(world);
	world->outbound.protocol = POLICY_HTTP;
	world_connect(world);
	world_run(world, 5);
	end_send(world, &world->client, REQUEST);
	while ((session = world_session(world, INBOUND)) == NULL ||
	       session->downstream.handshake == NULL)
		world_run(world, 1);
	while (world->hosts[OUTBOUND].n_wire == 0 || session->downstream.tcp == NULL ||
	       tcp_unacked(session->downstream.tcp) < 500)
		world_turn_of(world, OUTBOUND), world_turn_of(world, INBOUND);
	tcp_abort(session->downstream.tcp, world->now);
	world_turn_of(world, INBOUND);
	world_run(world, 50);
	assert_true(heard(&world->client, "HTTP/1.1 503 "));
	world_wait(world, 5 * SECOND);
	assert_int_equal(world_sessions(world, OUTBOUND), 0);
	assert_logged(world, OUTBOUND, "\"cause\":\"upstream_reset\"");
}

/* --- TLS ----------------------------------------------------------------------------------------
 */

/* A turn may end with records unopened, and with records opened that nobody has looked at. */
static void
a_limit_of_operations_loses_neither_bytes_nor_wakeups(void **state)
{
	struct world *world = *state;

	mutual(world);
	world_one_operation(world, INBOUND);
	converse(world);
	for (unsigned int i = 0; i < 200; i++) {
		end_send(world, &world->client, "0123456789");
		world_turn_of(world, CLIENT);
		world_turn_of(world, OUTBOUND);
	}
	end_shutdown(world, &world->client);
	world_run(world, 2);
	world_wait(world, 2 * SECOND);
	assert_int_equal(world->server.n_bytes, 4 + 2000);
	assert_true(world->server.events & TCP_EV_EOF);
	end_shutdown(world, &world->server);
	world_run(world, 200);
	assert_int_equal(world_sessions(world, INBOUND), 0);
	assert_logged(world, INBOUND, "\"result\":\"ok\"");
}

/* Nothing comes after the last record: it must not wait for an event. */
static void
what_was_opened_late_in_a_turn_is_passed_on(void **state)
{
	struct world *world = *state;

	mutual(world);
	world_one_operation(world, INBOUND);
	converse(world);
	for (unsigned int n = 1; n <= 60; n++) {
		size_t before = world->server.n_bytes;

		for (unsigned int i = 0; i < n; i++) {
			end_send(world, &world->client, "0123456789");
			world_turn_of(world, CLIENT);
			world_turn_of(world, OUTBOUND);
		}
		world_wait(world, 500 * MS);
		assert_int_equal(world->server.n_bytes - before, 10 * n);
	}
}

static void
broken_records_of_the_upstream_are_answered_with_an_alert(void **state)
{
	struct world *world = *state;
	struct rte_mbuf *m;
	uint8_t *at;

	mutual(world);
	converse(world);
	m = rte_pktmbuf_alloc(world->data);
	at = (uint8_t *)rte_pktmbuf_append(m, 60);
	memset(at, 0x5a, 60);
	memcpy(at, "\x17\x03\x03\x00\x37", 5);
	assert_int_equal(tcp_send(world_session(world, INBOUND)->downstream.tcp, m), 0);
	world_run(world, 20);
	assert_logged(world, OUTBOUND, "\"cause\":\"tls_alert_sent\",\"leg\":\"upstream\"");
	assert_logged(world, INBOUND, "\"cause\":\"tls_alert_received\",\"leg\":\"downstream\"");
	assert_int_equal(world->client.error, TCP_E_RESET);
}

static void
close_notify_waits_for_a_buffer_and_the_fin_for_it(void **state)
{
	struct world *world = *state;
	struct session *session;

	mutual(world);
	converse(world);
	session = world_session(world, OUTBOUND);
	world_take_buffers(world);
	session->downstream.tcp_eof = true; /* as if the FIN had needed no buffer */
	session_mark(session);
	world_turn_of(world, OUTBOUND);
	assert_true(session->upstream.shut);
	assert_false(session->upstream.fin_sent);
	world_give_buffers(world);
	world_run(world, 20);
	assert_true(world->server.events & TCP_EV_EOF);
	assert_true(tls_records_eof(world_session(world, INBOUND)->downstream.records));
}

static void
a_handshake_that_stalls_times_out(void **state)
{
	struct world *world = *state;

	world->inbound.mode = POLICY_STRICT;
	world_connect(world);
	world_run(world, 10);
	world->node.detect_timeout_ms = 0;
	world_wait(world, 5 * SECOND);
	assert_int_equal(world->client.error, TCP_E_RESET);
	assert_logged(world, INBOUND, "\"cause\":\"handshake_timeout\",\"leg\":\"downstream\"");
}

static void
an_upstream_that_is_no_tls_is_a_503(void **state)
{
	struct world *world = *state;

	world->originate = true; /* the inbound side takes plaintext only: */
	world->outbound.protocol = POLICY_HTTP;
	world_connect(world);
	world_run(world, 10);
	end_send(world, &world->client, REQUEST);
	world_run(world, 10);
	end_send(world, &world->server, "HTTP/1.1 400 Bad Request\r\n\r\n");
	world_run(world, 20);
	assert_true(heard(&world->client, "HTTP/1.1 503 "));
	assert_logged(world, OUTBOUND, "\"cause\":\"tls_protocol_error\",\"leg\":\"upstream\"");
}

static void
a_wrong_name_is_a_503(void **state)
{
	static const char *const sans[] = {"spiffe://cluster.local/ns/shop/sa/other"};
	struct world *world = *state;

	mutual(world);
	world->outbound.protocol = POLICY_HTTP;
	world->outbound.sans = sans;
	world_connect(world);
	world_run(world, 10);
	end_send(world, &world->client, REQUEST);
	world_run(world, 30);
	assert_true(heard(&world->client, "HTTP/1.1 503 "));
	assert_logged(world, OUTBOUND, "\"cause\":\"san_mismatch\",\"leg\":\"upstream\"");
	assert_logged(world, INBOUND, "\"cause\":\"tls_alert_received\",\"leg\":\"downstream\"");
}

/* --- flow control
 * ---------------------------------------------------------------------------------- */

static void
a_reader_that_pauses_gets_everything(void **state)
{
	struct world *world = *state;

	mutual(world);
	world->node.buffer_bytes = 32768; /* the least that is allowed */
	converse(world);
	world->server.deaf = world->client.deaf = true;
	end_send_bytes(world, &world->client, 400000);
	end_send_bytes(world, &world->server, 400000);
	world_wait(world, 3 * SECOND);
	world->server.deaf = world->client.deaf = false;
	world_wait(world, 60 * SECOND);
	assert_int_equal(world->server.n_bytes, 400004);
	assert_int_equal(world->client.n_bytes, 400004);
}

static void
small_pieces_that_were_held_back_are_let_go(void **state)
{
	struct world *world = *state;

	converse(world);
	world->server.deaf = true;
	for (unsigned int i = 0; i < 300; i++) {
		end_send(world, &world->client, "x");
		world_turn_of(world, CLIENT);
		world_turn_of(world, INBOUND); /* nothing is acknowledged */
	}
	world->server.deaf = false;
	world_run(world, 200);
	assert_int_equal(world->server.n_bytes, 304);
}

/* --- beginnings and ends
 * ---------------------------------------------------------------------------- */

static void
a_probe_that_says_nothing_is_no_failure(void **state)
{
	struct world *world = *state;

	world->inbound.mode = POLICY_STRICT;
	world_connect(world);
	world_run(world, 10);
	end_shutdown(world, &world->client);
	world_run(world, 50);
	assert_true(world->client.events & TCP_EV_CLOSED);
	assert_int_equal(world_sessions(world, INBOUND), 0);
	assert_logged(world, INBOUND, "\"result\":\"ok\"");
}

static void
a_request_with_its_end_is_answered(void **state)
{
	struct world *world = *state;

	world->inbound.protocol = POLICY_HTTP;
	world_connect(world);
	world_run(world, 10);
	end_send(world, &world->client, REQUEST);
	end_shutdown(world, &world->client);
	world_run(world, 20);
	assert_heard(&world->server, REQUEST);
	assert_true(world->server.events & TCP_EV_EOF);
	end_send(world, &world->server, "answer");
	end_shutdown(world, &world->server);
	world_run(world, 200);
	assert_heard(&world->client, "answer");
	assert_int_equal(world_sessions(world, INBOUND), 0);
	assert_logged(world, INBOUND, "\"result\":\"ok\"");
}

static void
a_connection_that_is_reset_as_it_opens_is_logged(void **state)
{
	struct world *world = *state;

	world->inbound.mode = POLICY_STRICT;
	world_connect(world);
	world_turn_of(world, CLIENT);
	world_turn_of(world, INBOUND);
	world_turn_of(world, CLIENT);
	end_reset(world, &world->client);
	world_turn_of(world, CLIENT);
	world_run(world, 20);
	assert_int_equal(world_sessions(world, INBOUND), 0);
	assert_logged(world, INBOUND, "\"cause\":\"downstream_reset\"");
}

static void
not_http_on_an_http_port_is_a_400(void **state)
{
	struct world *world = *state;

	world->inbound.protocol = POLICY_HTTP;
	world_connect(world);
	world_run(world, 10);
	end_send(world, &world->client, "\x01\x02\x03 nonsense");
	world_run(world, 20);
	assert_true(heard(&world->client, "HTTP/1.1 400 "));
	assert_logged(world, INBOUND, "\"cause\":\"not_http\",\"leg\":\"downstream\"");
}

static void
an_idle_session_ends(void **state)
{
	struct world *world = *state;

	world->node.idle_timeout_ms = 5000;
	converse(world);
	world_wait(world, 4 * SECOND);
	end_send(world, &world->client, "still");
	world_wait(world, 4 * SECOND);
	assert_int_equal(world_sessions(world, INBOUND), 1);
	world_wait(world, 2 * SECOND);
	assert_int_equal(world_sessions(world, INBOUND), 0);
	assert_int_equal(world->client.error, TCP_E_RESET);
	assert_int_equal(world->server.error, TCP_E_RESET);
	assert_logged(world, INBOUND, "\"cause\":\"idle_timeout\"");
}

static void
shutdown_in_every_state_is_logged_once(void **state)
{
	struct world *world = *state;

	mutual(world);
	for (unsigned int turns = 1; turns < 40; turns++) {
		const char *log;

		world_connect(world);
		world_run(world, turns);
		session_engine_shutdown(world->hosts[OUTBOUND].engine, world->now);
		session_engine_shutdown(world->hosts[INBOUND].engine, world->now);
		assert_int_equal(world_sessions(world, OUTBOUND), 0);
		assert_int_equal(world_sessions(world, INBOUND), 0);
		log = world_log(world, OUTBOUND);
		assert_true(*log == '\0' || strstr(log, "\"cause\":\"shutdown\"") != NULL);
		assert_true(strchr(log, '\n') == strrchr(log, '\n'));
		world_run(world, 20);
		assert_true(world->client.error == TCP_E_RESET ||
			    world->client.error == TCP_E_REFUSED);
		world_hang_up(world);
	}
}

static void
a_reset_in_every_state_leaves_nothing(void **state)
{
	struct world *world = *state;

	mutual(world);
	world->outbound.protocol = POLICY_HTTP;
	world->inbound.protocol = POLICY_HTTP;
	for (unsigned int turns = 1; turns < 80; turns++) {
		struct end *end = turns & 1 ? &world->client : &world->server;

		world_connect(world);
		world_run(world, turns / 4);
		end_send(world, &world->client, REQUEST);
		world_run(world, turns / 4);
		if (end->conn != NULL)
			end_reset(world, end);
		world_run(world, 1);
		world_hang_up(world);
		world_wait(world, 5 * SECOND);
		assert_int_equal(world_sessions(world, OUTBOUND), 0);
		assert_int_equal(world_sessions(world, INBOUND), 0);
		assert_int_equal(tcp_stack_connections(world->hosts[OUTBOUND].tcp), 0);
		assert_int_equal(tcp_stack_connections(world->hosts[INBOUND].tcp), 0);
		world_log(world, OUTBOUND);
		world_log(world, INBOUND);
	}
}

static void
a_session_needs_no_entry_of_the_log(void **state)
{
	struct world *world = *state;
	struct conn_log_entry *entries[64];
	unsigned int n = 0;

	while (n < 64 && (entries[n] = conn_log_get(world->hosts[INBOUND].log)) != NULL)
		n++;
	world->listens = false;
	world->inbound.protocol = POLICY_HTTP;
	world_connect(world);
	world_run(world, 10);
	end_send(world, &world->client, REQUEST);
	world_run(world, 20);
	assert_true(heard(&world->client, "HTTP/1.1 503 "));
	end_shutdown(world, &world->client);
	world_run(world, 20);
	assert_int_equal(world_sessions(world, INBOUND), 0);
	assert_int_equal(session_counters(world->hosts[INBOUND].engine)->log_lost, 1);
	while (n > 0)
		conn_log_put(world->hosts[INBOUND].log, entries[--n]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(bytes_pass_both_ways_and_each_half_closes_alone),
		TEST(so_do_they_over_mutual_tls),
		TEST(permissive_takes_both),
		TEST(permissive_takes_mutual_tls),
		TEST(strict_resets_plaintext),
		TEST(bulk_passes_both_ways),
		TEST(refused_upstream_is_a_503_for_http),
		TEST(refused_upstream_waits_for_the_first_bytes_of_an_undeclared_protocol),
		TEST(refused_upstream_of_a_silent_client_is_a_reset),
		TEST(upstream_that_closes_without_an_answer_is_a_503),
		TEST(no_route_is_told),
		TEST(no_buffer_for_a_503_is_a_reset),
		TEST(an_http2_client_gets_no_http1_reply),
		TEST(an_upstream_that_does_not_answer_times_out),
		TEST(downstream_reset_resets_the_upstream),
		TEST(upstream_reset_resets_the_downstream),
		TEST(what_came_before_a_reset_is_delivered),
		TEST(a_slow_reader_hears_of_the_failure_at_the_end),
		TEST(a_client_that_gives_up_in_the_middle_of_the_answer_is_no_success),
		TEST(an_upstream_that_dies_as_the_handshake_ends_is_a_503),
		TEST(a_limit_of_operations_loses_neither_bytes_nor_wakeups),
		TEST(what_was_opened_late_in_a_turn_is_passed_on),
		TEST(broken_records_of_the_upstream_are_answered_with_an_alert),
		TEST(close_notify_waits_for_a_buffer_and_the_fin_for_it),
		TEST(a_handshake_that_stalls_times_out),
		TEST(an_upstream_that_is_no_tls_is_a_503),
		TEST(a_wrong_name_is_a_503),
		TEST(a_reader_that_pauses_gets_everything),
		TEST(small_pieces_that_were_held_back_are_let_go),
		TEST(a_probe_that_says_nothing_is_no_failure),
		TEST(a_request_with_its_end_is_answered),
		TEST(a_connection_that_is_reset_as_it_opens_is_logged),
		TEST(not_http_on_an_http_port_is_a_400),
		TEST(an_idle_session_ends),
		TEST(shutdown_in_every_state_is_logged_once),
		TEST(a_reset_in_every_state_leaves_nothing),
		TEST(a_session_needs_no_entry_of_the_log),
	};

	world_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
