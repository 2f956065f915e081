/* SPDX-License-Identifier: Apache-2.0 */

/* SipHash-2-4 (Aumasson and Bernstein, 2012) and what is made of it: initial sequence
 * numbers (RFC 6528), timestamp offsets (RFC 7323 section 5.4) and ports (RFC 6056). */

#include "tcpstack/tcp_internal.h"

static inline uint64_t
rotate(uint64_t x, unsigned int n)
{
	return (x << n) | (x >> (64 - n));
}

static inline void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] = rotate(v[2], 32);
}

static inline void
sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	sip_round(v);
	v[0] ^= word;
}

uint64_t
tcp_siphash(const uint64_t key[2], const uint64_t *words, unsigned int n)
{
	uint64_t v[4] = {
		key[0] ^ 0x736f6d6570736575ull,
		key[1] ^ 0x646f72616e646f6dull,
		key[0] ^ 0x6c7967656e657261ull,
		key[1] ^ 0x7465646279746573ull,
	};

	for (unsigned int i = 0; i < n; i++)
		sip_word(v, words[i]);
	sip_word(v, (uint64_t)(n * 8) << 56);
	v[2] ^= 0xff;
	for (unsigned int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t
tcp_tuple_hash(const uint64_t key[2], const struct tcp_tuple *tuple)
{
	uint64_t words[5];
	unsigned int n = 0;

	if (tcp_is_mapped(&tuple->local) && tcp_is_mapped(&tuple->remote)) {
		words[n++] = (uint64_t)tuple->local.s6_addr32[3] << 32 | tuple->remote.s6_addr32[3];
	} else {
		memcpy(words, &tuple->local, 16);
		memcpy(words + 2, &tuple->remote, 16);
		n = 4;
	}
	words[n++] = (uint64_t)tuple->local_port << 16 | tuple->remote_port;
	return tcp_siphash(key, words, n);
}

/* RFC 6528 section 3: ISN = M + F(tuple, key), M a clock of 4 microseconds. */
uint32_t
tcp_isn(const struct tcp_stack *stack, const struct tcp_tuple *tuple)
{
	return (uint32_t)(stack->now / 4) + (uint32_t)tcp_tuple_hash(stack->isn_key, tuple);
}

/* The same for every life of a tuple, so that its timestamps only grow: the peer may then
 * reuse its TIME-WAIT (RFC 6191). */
uint32_t
tcp_ts_offset(const struct tcp_stack *stack, const struct tcp_tuple *tuple)
{
	return (uint32_t)tcp_tuple_hash(stack->ts_key, tuple);
}

int
tcp_tuple_free(const struct tcp_stack *stack, const struct tcp_tuple *tuple, uint32_t *time_wait)
{
	uint64_t hash = tcp_table_hash(&stack->table, tuple);
	uint32_t index = tcp_table_find(&stack->table, tuple, hash);

	*time_wait = TCP_NONE;
	if (index == TCP_NONE)
		return TCP_OK;
	if (!(index & TCP_INDEX_TIME_WAIT) || !tcp_time_wait_reusable(stack, index))
		return TCP_E_IN_USE;
	*time_wait = index;
	return TCP_OK;
}

/* RFC 6056 section 3.3.3, algorithm 3: double-hash would be 4. A port that only an old
 * TIME-WAIT holds is taken when a first round finds none that is quite free. */
int
tcp_port_choose(struct tcp_stack *stack, struct tcp_tuple *tuple)
{
	const struct tcp_stack_config *config = &stack->config;
	uint32_t offset, reusable = 0, time_wait;

	tuple->local_port = 0;
	offset = (uint32_t)tcp_tuple_hash(stack->port_key, tuple);
	for (uint32_t i = 0; i < TCP_PORT_COUNT; i++) {
		tuple->local_port = TCP_PORT_FIRST + (offset + stack->port_next++) % TCP_PORT_COUNT;
		if (config->port_ok != NULL && !config->port_ok(config->port_ok_ctx, tuple))
			continue;
		if (tcp_tuple_free(stack, tuple, &time_wait) != TCP_OK)
			continue;
		if (time_wait == TCP_NONE)
			return TCP_OK;
		if (reusable == 0)
			reusable = tuple->local_port;
	}
	tuple->local_port = reusable;
	return reusable != 0 ? TCP_OK : TCP_E_NO_PORT;
}
