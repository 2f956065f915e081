/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TLS_CRYPTO_INTERNAL_H
#define TLS_CRYPTO_INTERNAL_H

/*
 * What the back ends of tls/crypto.h share with each other, and with the record layer the
 * place for a traffic secret beside its key.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <intel-ipsec-mb.h>

#include "tls/crypto.h"

/* Of TLS 1.3: 32 bytes for SHA-256 suites, 48 for SHA-384. */
#define CRYPTO_SECRET_MAX 48

/* Completions that wait for crypto_poll(). A submit takes no more than there is room for. */
#define CRYPTO_RING 1024u

/* --- locked memory --- */

/* Slots of one size in memory that is locked and left out of core dumps. Grows by chunks,
 * with a system call each: when a connection is set up, never for a record. */
struct crypto_slab {
	void *free;        /* linked through the first word of the slots */
	void *chunks;      /* linked through the first word of the chunks */
	uint32_t slot;     /* bytes, a multiple of a cache line */
	uint32_t chunk;    /* bytes, a multiple of the page size */
	uint32_t in_use;
};

void crypto_slab_init(struct crypto_slab *slab, uint32_t slot, uint32_t chunk);
void *crypto_slab_get(struct crypto_slab *slab); /* zeroed; NULL: no memory */
void crypto_slab_put(struct crypto_slab *slab, void *slot); /* wipes */
void crypto_slab_close(struct crypto_slab *slab); /* unmaps everything */

/* --- keys --- */

struct crypto_key {
	struct crypto_device *device;
	uint8_t aead;
	/* The traffic secret from which the key came, for the next KeyUpdate. It is here so
	 * that it lies in locked memory and goes when the key goes. */
	uint8_t secret[CRYPTO_SECRET_MAX];
	/* One cache line so far. The rest is the back end's; small keys have only `raw`. */
	union {
		uint8_t raw[CRYPTO_KEY_MAX];
		struct gcm_key_data gcm;
	} __rte_cache_aligned;
} __rte_cache_aligned;

#define CRYPTO_SLOT_RAW 128
#define CRYPTO_SLOT_GCM sizeof(struct crypto_key)

/* --- back ends --- */

struct crypto_backend {
	/* Fills what is after the header of the key. */
	void (*expand)(struct crypto_device *device, struct crypto_key *key,
		       const uint8_t *bytes);
	/* Forgets whatever it keeps of a key outside of the key itself. May be NULL. */
	void (*forget)(struct crypto_device *device, struct crypto_key *key);
	/* Runs `n` operations to completion and sets their status. */
	void (*run)(struct crypto_device *device, struct crypto_op **ops, uint16_t n);
	void (*close)(struct crypto_device *device);
	bool expands_gcm; /* AES keys take a CRYPTO_SLOT_GCM */
};

struct crypto_device {
	const struct crypto_backend *backend;
	void *state; /* the back end's */
	struct crypto_slab raw_keys;
	struct crypto_slab gcm_keys;
	uint16_t head, count; /* of the ring */
	struct crypto_op *ring[CRYPTO_RING];
	char name[64];
};

/* Each sets backend, state and name; 0, or -1 with a sentence in `error`. */
int crypto_ipsec_mb_open(struct crypto_device *device, char *error, size_t error_len);
int crypto_openssl_open(struct crypto_device *device, char *error, size_t error_len);

/* --- walking over buffers --- */

struct crypto_cursor {
	struct rte_mbuf *m;
	uint32_t offset;
};

static inline struct crypto_cursor
crypto_cursor_at(struct rte_mbuf *m, uint32_t offset)
{
	while (m != NULL && offset >= m->data_len) {
		offset -= m->data_len;
		m = m->next;
	}
	return (struct crypto_cursor){m, offset};
}

/* The next piece that lies in one buffer, `*want` bytes at most; counts it off `*want`.
 * 0 when nothing more is wanted or the chain has ended. */
static inline uint32_t
crypto_cursor_next(struct crypto_cursor *c, uint32_t *want, uint8_t **piece)
{
	uint32_t n;

	while (c->m != NULL && c->offset >= c->m->data_len) {
		c->m = c->m->next;
		c->offset = 0;
	}
	if (*want == 0 || c->m == NULL)
		return 0;
	n = RTE_MIN(*want, c->m->data_len - c->offset);
	*piece = rte_pktmbuf_mtod_offset(c->m, uint8_t *, c->offset);
	c->offset += n;
	*want -= n;
	return n;
}

/* The tag goes out to, or comes from, where the cursor stands. False: the chain is short. */
bool crypto_tag_write(struct crypto_cursor *c, const uint8_t tag[CRYPTO_TAG_LEN]);
bool crypto_tag_read(struct crypto_cursor *c, uint8_t tag[CRYPTO_TAG_LEN]);

/* Compares in constant time; on a difference wipes the text. */
int8_t crypto_verdict(struct crypto_op *op, const uint8_t computed[CRYPTO_TAG_LEN],
		      const uint8_t received[CRYPTO_TAG_LEN]);
void crypto_wipe_text(struct crypto_op *op);

#endif
