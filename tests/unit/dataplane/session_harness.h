/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_DATAPLANE_SESSION_HARNESS_H
#define TESTS_DATAPLANE_SESSION_HARNESS_H

/*
 * Sessions without ports, threads or a clock: a client, one or two gateways and a server in
 * one process, each with a TCP stack of its own, joined by a wire that loses nothing.
 *
 *     client ── outbound gateway (originates) ── inbound gateway (terminates) ── server
 *
 * Time passes when the test says so. What policy would say is in `world`; the test writes
 * it before it connects. The teardown asserts that every session is gone, every hold of the
 * snapshot given back and every buffer back in its pool.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/session_internal.h"

#define MS UINT64_C(1000)
#define SECOND UINT64_C(1000000)

enum host_name { CLIENT, OUTBOUND, INBOUND, SERVER, HOSTS };

#define WIRE_MAX 4096

struct host {
	struct tcp_stack *tcp;
	struct session_engine *engine; /* of the gateways */
	struct crypto_device *crypto;
	struct conn_log *log;
	struct rte_mbuf *wire[WIRE_MAX]; /* on its way here */
	unsigned int n_wire;
};

/* An end of a connection that the test plays. */
struct end {
	struct tcp_conn *conn;
	uint32_t events; /* all that were seen */
	uint8_t *bytes;  /* all that came */
	size_t n_bytes;
	bool deaf; /* does not read */
	int error; /* of TCP_EV_FAILED */
};

struct world {
	struct host hosts[HOSTS];
	struct rte_mempool *data, *header, *indirect;
	uint64_t now;
	bool originate;      /* the outbound gateway is in the way */
	bool listens;        /* the server takes connections */
	bool no_route;       /* net_source_for() fails */
	bool mute_server;    /* nothing that the server sends arrives */
	unsigned int budget; /* cycles for handshakes; 0: all there are */
	struct end client, server;

	struct policy_node node;
	struct policy_workload workload;
	struct policy_inbound inbound;
	struct policy_outbound outbound;
	struct policy_endpoint endpoint;
	struct tls_identity *svid;
	char *lines; /* of the inbound gateway's log, then the outbound one's */
};

/* cmocka's; `*state` is the world. */
int world_setup(void **state);
int world_teardown(void **state);
/* Once, in main(). */
void world_init(void);

/* The client calls the server; nothing has happened yet. */
void world_connect(struct world *world);
/* A turn of everybody, `n` times, a millisecond each. */
void world_run(struct world *world, unsigned int n);
/* A turn of one host, without time passing. */
void world_turn_of(struct world *world, enum host_name name);
/* Until `us` have passed, in turns that are longer. */
void world_wait(struct world *world, uint64_t us);

void end_send(struct world *world, struct end *end, const char *text);
/* `length` bytes of a pattern. */
void end_send_bytes(struct world *world, struct end *end, size_t length);
void end_shutdown(struct world *world, struct end *end);
/* The test gives up both ends, whatever state they are in. */
void world_hang_up(struct world *world);
/* The gateway's batch has room for one record at a time. */
void world_one_operation(struct world *world, enum host_name gateway);
/* RST. */
void end_reset(struct world *world, struct end *end);
/* All that came so far is this text. */
void assert_heard(const struct end *end, const char *text);
bool heard(const struct end *end, const char *part);

/* The one live session of a gateway; NULL: there is none. */
struct session *world_session(struct world *world, enum host_name gateway);
unsigned int world_sessions(struct world *world, enum host_name gateway);
/* Everything that the gateway has logged since the last call. */
const char *world_log(struct world *world, enum host_name gateway);
void assert_logged(struct world *world, enum host_name gateway, const char *part);
/* The buffers of the gateways run out, or are there again. */
void world_take_buffers(struct world *world);
void world_give_buffers(struct world *world);

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

#endif
