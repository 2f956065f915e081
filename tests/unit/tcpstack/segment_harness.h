/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SEGMENT_HARNESS_H
#define SEGMENT_HARNESS_H

/*
 * One stack, and a peer that is played by the test: segments are written by hand, what
 * comes out is compared, and time passes when the test says so.
 *
 * Sequence numbers in tests are relative: 0 is the SYN of the side that sends, 1 the first
 * byte of its stream. All checks of leaked buffers are made by the teardown.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tcpstack/tcp.h"
#include "tests/sim/packet.h"
#include "tests/sim/rng.h"

#define MS 1000ull
#define SECOND 1000000ull

#define HARNESS_PORT 80
#define HARNESS_PEER_PORT 5555
#define HARNESS_PATH 77

/* A segment that the stack has sent. Sequence numbers are relative in `seq` and `ack`, those
 * in `p` are as on the wire. */
struct sent {
	uint64_t at;
	uint32_t seq, ack, path;
	struct packet p;
	uint8_t payload[2048];
};

struct harness {
	struct tcp_stack *stack;
	struct tcp_stack_config stack_config;
	uint64_t now;
	bool v6;
	struct rng random;
	struct rte_mempool *rx, *payload, *header, *indirect;

	struct sent sent[512];
	unsigned int n_sent, n_taken;
	struct rte_mbuf *strangers[64];
	unsigned int n_strangers;

	/* The connection under test. Settings are read by harness_connect() and _accept(). */
	struct tcp_conn_config config;
	struct tcp_conn *conn;
	struct tcp_tuple tuple;
	uint32_t events; /* collected, of `conn` */
	uint32_t queued; /* bytes given to tcp_send() */

	/* The peer. */
	uint32_t peer_isn, stack_isn;
	uint16_t peer_mss; /* in its SYN; 0: no option */
	int peer_wscale;   /* in its SYN; -1: no option */
	bool peer_ts, peer_sack;
	uint16_t peer_wnd; /* as on the wire */
	uint32_t peer_ts_offset, ts_echo;
	bool scaled, timestamps; /* agreed on */
	int stack_wscale;
};

/* cmocka setup and teardown; `*state` is the harness. */
int harness_setup_v4(void **state);
int harness_setup_v6(void **state);
int harness_teardown(void **state);
/* Starts the EAL; once, in main(). */
void harness_init(const char *name);
/* A stack with `stack_config` as it stands now in place of the one that setup made. */
void harness_new_stack(struct harness *h);

#define TEST(f)                                                                                    \
	{                                                                                          \
#f, f, harness_setup_v4, harness_teardown, NULL                                    \
	}
#define TEST_V6(f)                                                                                 \
	{                                                                                          \
#f "_over_ipv6", f, harness_setup_v6, harness_teardown, NULL                       \
	}
#define TEST_BOTH(f) TEST(f), TEST_V6(f)

/* --- opening ---------------------------------------------------------------------------- */

/* Each ends with the connection ESTABLISHED and nothing sent that was not taken. */
void harness_connect(struct harness *h);
void harness_accept(struct harness *h);
/* Halves of these, for tests of the handshake. */
void harness_open(struct harness *h);     /* tcp_connect(); the SYN is not taken yet */
void harness_send_syn(struct harness *h); /* the SYN becomes a stranger */
int harness_take_syn(struct harness *h);  /* tcp_accept() of it */
/* The peer's options for a SYN, into `p`. */
void harness_syn_options(struct harness *h, struct packet *p);
/* Remembers what the stack's SYN or SYN-ACK said. */
void harness_learn(struct harness *h, const struct sent *syn);

/* --- the peer ----------------------------------------------------------------------------- */

/* A packet of the peer for the connection, with relative numbers, timestamps if agreed on
 * and the peer's window; to be changed and injected. */
struct packet harness_packet(struct harness *h, uint8_t flags, uint32_t seq, uint32_t ack);
void harness_inject(struct harness *h, const struct packet *p, const void *data, uint16_t len);
/* Both in one, followed by harness_turn(). */
void harness_send(struct harness *h, uint8_t flags, uint32_t seq, uint32_t ack, const void *data,
		  uint16_t len);
/* `len` bytes of the pattern that starts at stream offset `seq` - 1. */
void harness_send_pattern(struct harness *h, uint32_t seq, uint32_t ack, uint16_t len);
void harness_ack(struct harness *h, uint32_t ack);
uint8_t harness_pattern(uint32_t offset);

/* --- time and the stack's turn ----------------------------------------------------------- */

/* Timers, events, output at the present time. */
void harness_turn(struct harness *h);
/* Lets time pass, waking the stack exactly when tcp_next_timer() says. */
void harness_advance(struct harness *h, uint64_t us);

/* --- the application ----------------------------------------------------------------------- */

/* Queues `len` bytes of the pattern and takes a turn. */
void harness_write(struct harness *h, uint32_t len);
/* Takes all that is readable, compares it with the pattern from stream offset `from` on, and
 * returns how many bytes it was. */
uint32_t harness_read(struct harness *h, uint32_t from);
enum tcp_state harness_state(struct harness *h);
void harness_release(struct harness *h);
#define COUNTER(h, name) (tcp_stack_counters((h)->stack)->name)

/* --- expectations --------------------------------------------------------------------------- */

/* The next segment that was sent and not taken yet, or NULL. */
struct sent *harness_take(struct harness *h);
/* Skips pure ACKs. */
struct sent *harness_take_data(struct harness *h);
unsigned int harness_waiting(struct harness *h);
void harness_discard(struct harness *h);

struct sent *harness_expect(struct harness *h, uint8_t flags, uint32_t seq, uint32_t ack,
			    uint32_t len, const char *file, int line);
void harness_expect_nothing(struct harness *h, const char *file, int line);
void harness_expect_pattern(const struct sent *s, const char *file, int line);

/* PSH is not looked at. Returns the segment. */
#define EXPECT(h, flags, seq, ack, len) harness_expect(h, flags, seq, ack, len, __FILE__, __LINE__)
#define EXPECT_NOTHING(h) harness_expect_nothing(h, __FILE__, __LINE__)
/* The payload is the pattern's at its place. */
#define EXPECT_PATTERN(s) harness_expect_pattern(s, __FILE__, __LINE__)
#define EXPECT_EVENTS(h, bits)                                                                     \
	do {                                                                                       \
		assert_int_equal((h)->events, bits);                                               \
		(h)->events = 0;                                                                   \
	} while (0)

#endif
