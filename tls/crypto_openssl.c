/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL's EVP: for CPUs that ipsec-mb does not serve, and to check it against.
 *
 * A key at rest is its raw bytes in locked memory. EVP keeps expanded keys on the heap, so
 * there are only as many of those as ciphers and directions, each holding the key that was
 * used last, and dropped with it.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "tls/crypto_internal.h"

struct evp_slot {
	EVP_CIPHER_CTX *context;
	const struct crypto_key *key; /* which is expanded in there; NULL: none */
};

struct evp_state {
	EVP_CIPHER *ciphers[CRYPTO_AEAD_MAX];
	struct evp_slot slots[CRYPTO_AEAD_MAX][2]; /* [0] to open, [1] to seal */
};

static const struct {
	const char *name;
	uint8_t key_len;
} evp_ciphers[CRYPTO_AEAD_MAX] = {
	[CRYPTO_AES_128_GCM] = {"AES-128-GCM", 16},
	[CRYPTO_AES_256_GCM] = {"AES-256-GCM", 32},
	[CRYPTO_CHACHA20_POLY1305] = {"ChaCha20-Poly1305", 32},
};

static void
evp_expand(struct crypto_device *device, struct crypto_key *key, const uint8_t *bytes)
{
	memcpy(key->raw, bytes, evp_ciphers[key->aead].key_len);
}

static void
evp_forget(struct crypto_device *device, struct crypto_key *key)
{
	struct evp_state *state = device->state;

	for (int seal = 0; seal < 2; seal++) {
		struct evp_slot *slot = &state->slots[key->aead][seal];

		if (slot->key != key)
			continue;
		EVP_CIPHER_CTX_reset(slot->context); /* cleanses */
		slot->key = NULL;
	}
}

/* Sets key (where it is another one) and nonce. */
static EVP_CIPHER_CTX *
evp_begin(struct evp_state *state, struct crypto_op *op)
{
	struct crypto_key *key = op->key;
	struct evp_slot *slot = &state->slots[key->aead][op->seal];
	bool again = slot->key == key;
	int ok = EVP_CipherInit_ex(slot->context, again ? NULL : state->ciphers[key->aead], NULL,
				   again ? NULL : key->raw, op->nonce, op->seal);

	slot->key = ok == 1 ? key : NULL;
	return ok == 1 ? slot->context : NULL;
}

static bool
evp_text(EVP_CIPHER_CTX *context, struct crypto_op *op, struct crypto_cursor *c)
{
	uint32_t want = op->length;
	uint8_t none[EVP_MAX_BLOCK_LENGTH];
	uint8_t *piece;
	uint32_t n;
	int out;

	if (op->aad_len > 0 && EVP_CipherUpdate(context, NULL, &out, op->aad, op->aad_len) != 1)
		return false;
	while ((n = crypto_cursor_next(c, &want, &piece)) > 0)
		if (EVP_CipherUpdate(context, piece, &out, piece, (int)n) != 1)
			return false;
	if (want > 0)
		return false;
	return !op->seal || EVP_CipherFinal_ex(context, none, &out) == 1;
}

static int8_t
evp_open(EVP_CIPHER_CTX *context, struct crypto_op *op, struct crypto_cursor *c)
{
	uint8_t tag[CRYPTO_TAG_LEN];
	uint8_t none[EVP_MAX_BLOCK_LENGTH];
	int out;

	/* EVP compares tags itself, in constant time (CRYPTO_memcmp in the providers). */
	if (!crypto_tag_read(c, tag) ||
	    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, CRYPTO_TAG_LEN, tag) != 1)
		return CRYPTO_FAILED;
	if (EVP_CipherFinal_ex(context, none, &out) == 1)
		return CRYPTO_DONE;
	crypto_wipe_text(op);
	ERR_clear_error();
	return CRYPTO_BAD_TAG;
}

static int8_t
evp_seal(EVP_CIPHER_CTX *context, struct crypto_cursor *c)
{
	uint8_t tag[CRYPTO_TAG_LEN];

	if (EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, CRYPTO_TAG_LEN, tag) != 1 ||
	    !crypto_tag_write(c, tag))
		return CRYPTO_FAILED;
	return CRYPTO_DONE;
}

static void
evp_run_one(struct evp_state *state, struct crypto_op *op)
{
	struct crypto_cursor c = crypto_cursor_at(op->first, op->offset);
	EVP_CIPHER_CTX *context = evp_begin(state, op);

	op->status = CRYPTO_FAILED;
	if (context != NULL && evp_text(context, op, &c))
		op->status = op->seal ? evp_seal(context, &c) : evp_open(context, op, &c);
	if (unlikely(op->status == CRYPTO_FAILED)) {
		crypto_wipe_text(op);
		ERR_clear_error();
	}
}

static void
evp_run(struct crypto_device *device, struct crypto_op **ops, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++)
		evp_run_one(device->state, ops[i]);
}

static void
evp_close(struct crypto_device *device)
{
	struct evp_state *state = device->state;

	for (int aead = 0; aead < CRYPTO_AEAD_MAX; aead++) {
		EVP_CIPHER_CTX_free(state->slots[aead][0].context);
		EVP_CIPHER_CTX_free(state->slots[aead][1].context);
		EVP_CIPHER_free(state->ciphers[aead]);
	}
	free(state);
}

static const struct crypto_backend evp_backend = {
	.expand = evp_expand,
	.forget = evp_forget,
	.run = evp_run,
	.close = evp_close,
};

static int
evp_prepare(struct evp_state *state)
{
	for (int aead = 0; aead < CRYPTO_AEAD_MAX; aead++) {
		state->ciphers[aead] = EVP_CIPHER_fetch(NULL, evp_ciphers[aead].name, NULL);
		state->slots[aead][0].context = EVP_CIPHER_CTX_new();
		state->slots[aead][1].context = EVP_CIPHER_CTX_new();
		if (state->ciphers[aead] == NULL || state->slots[aead][0].context == NULL ||
		    state->slots[aead][1].context == NULL)
			return -1;
	}
	return 0;
}

int
crypto_openssl_open(struct crypto_device *device, char *error, size_t error_len)
{
	struct evp_state *state = calloc(1, sizeof(*state));

	if (state == NULL) {
		snprintf(error, error_len, "out of memory for a crypto device");
		return -1;
	}
	device->backend = &evp_backend;
	device->state = state;
	if (evp_prepare(state) != 0) {
		snprintf(error, error_len, "OpenSSL does not offer the TLS ciphers: %s",
			 ERR_reason_error_string(ERR_peek_last_error()));
		ERR_clear_error();
		evp_close(device);
		return -1;
	}
	snprintf(device->name, sizeof(device->name), "openssl %s",
		 OpenSSL_version(OPENSSL_VERSION_STRING));
	return 0;
}
