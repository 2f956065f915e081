/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TLS_CRYPTO_H
#define TLS_CRYPTO_H

/*
 * AEAD over mbuf chains, in place, in batches: one interface, several back ends.
 *
 * A `struct crypto_device` belongs to one worker. A batch is what one turn of the loop
 * has for all connections: it exists so that cold keys can be prefetched, it is never
 * waited for. Operations of one key complete in the order in which they were submitted.
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

enum crypto_aead {
	CRYPTO_AES_128_GCM, /* key 16, nonce 12, tag 16 */
	CRYPTO_AES_256_GCM, /* key 32 */
	CRYPTO_CHACHA20_POLY1305, /* key 32, RFC 8439 */
	CRYPTO_AEAD_MAX,
};

#define CRYPTO_NONCE_LEN 12
#define CRYPTO_TAG_LEN 16
#define CRYPTO_KEY_MAX 32
#define CRYPTO_AAD_MAX 13 /* TLS 1.2's additional data, RFC 5246 section 6.2.3.3 */

struct crypto_device;
struct crypto_key; /* an expanded key, in locked memory that core dumps leave out */

enum crypto_status {
	CRYPTO_PENDING = 0,
	CRYPTO_DONE = 1,
	CRYPTO_BAD_TAG = -1, /* the plaintext was wiped */
	CRYPTO_FAILED = -2,  /* the device failed and software could not help */
};

/* One record. The caller owns the operation and the buffers; neither is touched by the
 * caller between submit and completion. */
struct crypto_op {
	struct crypto_key *key;
	struct rte_mbuf *first;  /* the buffer in which the text begins */
	uint32_t offset;         /* where in its data */
	uint32_t length;         /* bytes of text, tag not counted; may cross buffers */
	/* The tag follows the text at once, over buffer ends if need be: read when
	 * opening, written when sealing. */
	uint8_t nonce[CRYPTO_NONCE_LEN];
	uint8_t aad[CRYPTO_AAD_MAX];
	uint8_t aad_len;
	bool seal;               /* true: encrypt; false: decrypt and verify */
	int8_t status;           /* enum crypto_status */
	void *owner;             /* the caller's */
};

/*
 * Opens a device by name: "ipsec-mb" (the default), "openssl" (EVP), or DPDK vdev
 * arguments such as "crypto_aesni_mb0" or "crypto_qat0". `worker` picks the queue pair.
 * NULL with a sentence in `error` on failure. A cipher that a back end lacks is done by
 * EVP, said once in the log.
 */
struct crypto_device *crypto_device_open(const char *name, unsigned int worker, char *error,
					 size_t error_len);
void crypto_device_close(struct crypto_device *device);
/* "ipsec-mb 1.3.0 (AVX512)" */
const char *crypto_device_name(const struct crypto_device *device);

/* Expands a key. NULL: out of key memory. The bytes at `key` are the caller's to wipe. */
struct crypto_key *crypto_key_create(struct crypto_device *device, enum crypto_aead aead,
				     const uint8_t *key);
/* Wipes and frees; NULL is ignored. No operation may be in flight on it. */
void crypto_key_destroy(struct crypto_key *key);

/* Takes up to `n` operations and returns how many it took; the rest stay with the caller. */
uint16_t crypto_submit(struct crypto_device *device, struct crypto_op **ops, uint16_t n);

/* Hands back finished operations, status set. */
uint16_t crypto_poll(struct crypto_device *device, struct crypto_op **ops, uint16_t max);

#endif
