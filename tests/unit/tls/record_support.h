/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_TLS_RECORD_SUPPORT_H
#define TESTS_UNIT_TLS_RECORD_SUPPORT_H

/* Buffers for the tests of records and ciphers: pools, chains cut in many ways, and the count
 * of what is still out. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>

#include "tls/chain.h"
#include "tls/crypto.h"
#include "tls/handshake.h"
#include "tls/record.h"

#define DATA_BUFFERS 2047
#define INDIRECT_BUFFERS 65535

static struct tls_pools pools;

static inline void
support_start(const char *prefix)
{
	char file_prefix[64];
	char *argv[] = {"test", "--no-huge", "--no-shconf", "--no-pci", "-m", "64",
			"--no-telemetry", "--log-level=error", file_prefix, NULL};

	snprintf(file_prefix, sizeof(file_prefix), "--file-prefix=portcullis-test-%s", prefix);
	if (rte_eal_init(RTE_DIM(argv) - 1, argv) < 0) {
		fprintf(stderr, "rte_eal_init: %s\n", rte_strerror(rte_errno));
		exit(1);
	}
	pools.data = rte_pktmbuf_pool_create("data", DATA_BUFFERS, 0, 0,
					     RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	pools.indirect = rte_pktmbuf_pool_create("indirect", INDIRECT_BUFFERS, 0, 0, 0,
						 SOCKET_ID_ANY);
	if (pools.data == NULL || pools.indirect == NULL) {
		fprintf(stderr, "pools: %s\n", rte_strerror(rte_errno));
		exit(1);
	}
}

static inline void
assert_nothing_is_out(void)
{
	assert_int_equal(rte_mempool_avail_count(pools.data), DATA_BUFFERS);
	assert_int_equal(rte_mempool_avail_count(pools.indirect), INDIRECT_BUFFERS);
}

/* xorshift: the same on every machine. */
static uint32_t support_seed = 1;

static inline uint32_t
support_random(void)
{
	support_seed ^= support_seed << 13;
	support_seed ^= support_seed >> 17;
	support_seed ^= support_seed << 5;
	return support_seed;
}

static inline void
fill(uint8_t *p, size_t n, uint8_t first)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(first + i * 7 + (i >> 8));
}

/* How a chain is cut: at most `step` bytes to a buffer (0: a random number up to `random`),
 * as buffers of their own or as slices of shared ones. */
struct cut {
	const char *name;
	uint32_t step;
	uint32_t random;
	bool slices;
};

static const struct cut cuts[] = {
	{"one byte slices", 1, 0, true},
	{"random slices", 0, 40, true},
	{"1448", 1448, 0, false},
	{"random buffers", 0, 1800, false},
	{"slices of 1000", 1000, 0, true},
};

static inline uint32_t
cut_step(const struct cut *cut)
{
	return cut->step > 0 ? cut->step : 1 + support_random() % cut->random;
}

static inline struct rte_mbuf *
new_buffer(const uint8_t *bytes, uint32_t n)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pools.data);

	assert_non_null(m);
	assert_true(n <= rte_pktmbuf_tailroom(m));
	if (n > 0)
		memcpy(rte_pktmbuf_append(m, n), bytes, n);
	return m;
}

static inline void
append_slices(struct tls_chain *chain, const uint8_t *bytes, uint32_t n, const struct cut *cut)
{
	struct rte_mbuf *whole = new_buffer(bytes, n);

	for (uint32_t at = 0; at < n;) {
		uint32_t step = RTE_MIN(cut_step(cut), n - at);
		struct rte_mbuf *slice = rte_pktmbuf_alloc(pools.indirect);

		assert_non_null(slice);
		rte_pktmbuf_attach(slice, whole);
		slice->data_off += at;
		slice->data_len = step;
		tls_chain_append(chain, slice);
		at += step;
	}
	rte_pktmbuf_free(whole);
}

static inline struct tls_chain
make_chain(const uint8_t *bytes, uint32_t n, const struct cut *cut)
{
	struct tls_chain chain = {0};

	for (uint32_t at = 0; at < n;) {
		uint32_t step = RTE_MIN(cut->slices ? 1900 : cut_step(cut), n - at);

		if (cut->slices)
			append_slices(&chain, bytes + at, step, cut);
		else
			tls_chain_append(&chain, new_buffer(bytes + at, step));
		at += step;
	}
	return chain;
}

static inline uint32_t
chain_bytes(const struct rte_mbuf *m)
{
	uint32_t n = 0;

	for (; m != NULL; m = m->next)
		n += m->data_len;
	return n;
}

/* Copies out and frees; `m` may be NULL. */
static inline uint32_t
take_bytes(struct rte_mbuf *m, uint8_t *out, uint32_t room)
{
	struct tls_chain chain = {0};
	uint32_t n;

	tls_chain_append(&chain, m);
	n = chain.bytes;
	assert_true(n <= room);
	assert_int_equal(tls_chain_peek(&chain, out, room), n);
	tls_chain_free(&chain);
	return n;
}

static inline uint8_t
hex_digit(char c)
{
	return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

static inline uint32_t
unhex(const char *hex, uint8_t *out)
{
	uint32_t n = 0;

	for (; *hex != '\0'; hex++) {
		if (*hex == ' ')
			continue;
		out[n++] = (uint8_t)(hex_digit(hex[0]) << 4 | hex_digit(hex[1]));
		hex++;
	}
	return n;
}

#endif
