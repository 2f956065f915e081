/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIM_RNG_H
#define SIM_RNG_H

/* splitmix64: small, seedable, the same everywhere. A seed decides a whole simulation. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct rng {
	uint64_t state;
};

static inline uint64_t
rng_mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static inline uint64_t
rng_next(struct rng *rng)
{
	rng->state += 0x9e3779b97f4a7c15ull;
	return rng_mix(rng->state);
}

/* A number of low..high, both included. */
static inline uint64_t
rng_between(struct rng *rng, uint64_t low, uint64_t high)
{
	return low + rng_next(rng) % (high - low + 1);
}

/* True `per_million` times in a million. */
static inline bool
rng_chance(struct rng *rng, uint32_t per_million)
{
	return per_million != 0 && rng_next(rng) % 1000000 < per_million;
}

/* In the form that tcp_stack_config.random wants; `ctx` is a struct rng. */
static inline void
rng_fill(void *ctx, void *buf, size_t len)
{
	uint8_t *at = (uint8_t *)buf;

	while (len > 0) {
		uint64_t word = rng_next((struct rng *)ctx);
		size_t n = len < sizeof(word) ? len : sizeof(word);

		memcpy(at, &word, n);
		at += n;
		len -= n;
	}
}

#endif
