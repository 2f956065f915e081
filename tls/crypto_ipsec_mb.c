/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library intel-ipsec-mb. Text over several buffers goes through its direct calls init,
 * update and finalize. Text in one buffer is one direct call for AES-GCM, and for ChaCha20 a
 * job, for which there is no direct call (at 64 bytes it takes two thirds of the time). Nothing
 * stays queued in the library.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_prefetch.h>

#include "tls/crypto_internal.h"

/* Keys are prefetched this many operations ahead, all of their lines: a record over a cold
 * key costs 740 ns, so 300. One ahead is not enough time, four ahead is too much memory in
 * flight for the fill buffers. */
#define PREFETCH_AHEAD 2

typedef void (*gcm_once_t)(const struct gcm_key_data *, struct gcm_context_data *, uint8_t *,
			   const uint8_t *, uint64_t, const uint8_t *, const uint8_t *, uint64_t,
			   uint8_t *, uint64_t);

/* The library's entry points for one key size, [0] to open and [1] to seal. */
struct gcm_calls {
	aes_gcm_pre_t pre;
	aes_gcm_init_t init;
	gcm_once_t once[2];
	aes_gcm_enc_dec_update_t update[2];
	aes_gcm_enc_dec_finalize_t finalize[2];
};

/* What the library keeps of a text under way: key stream, so it lies in locked memory. */
union context {
	struct gcm_context_data gcm;
	struct chacha20_poly1305_context_data chacha;
};

struct ipsec_mb {
	IMB_MGR *manager;
	struct gcm_calls gcm[2]; /* by enum crypto_aead */
	union context *context;
	struct crypto_slab memory; /* of the context */
};

static void
bind_calls(struct ipsec_mb *mb)
{
	IMB_MGR *m = mb->manager;

	mb->gcm[CRYPTO_AES_128_GCM] = (struct gcm_calls){
		.pre = m->gcm128_pre,
		.init = m->gcm128_init,
		.once = {m->gcm128_dec, m->gcm128_enc},
		.update = {m->gcm128_dec_update, m->gcm128_enc_update},
		.finalize = {m->gcm128_dec_finalize, m->gcm128_enc_finalize},
	};
	mb->gcm[CRYPTO_AES_256_GCM] = (struct gcm_calls){
		.pre = m->gcm256_pre,
		.init = m->gcm256_init,
		.once = {m->gcm256_dec, m->gcm256_enc},
		.update = {m->gcm256_dec_update, m->gcm256_enc_update},
		.finalize = {m->gcm256_dec_finalize, m->gcm256_enc_finalize},
	};
}

static void
ipsec_mb_expand(struct crypto_device *device, struct crypto_key *key, const uint8_t *bytes)
{
	struct ipsec_mb *mb = device->state;

	if (key->aead == CRYPTO_CHACHA20_POLY1305)
		memcpy(key->raw, bytes, sizeof(key->raw));
	else
		mb->gcm[key->aead].pre(bytes, &key->gcm);
}

/* Leaves the computed tag in `tag` and the cursor behind the text. */
static bool
gcm_text(struct ipsec_mb *mb, struct crypto_op *op, struct crypto_cursor *c,
	 uint8_t tag[CRYPTO_TAG_LEN])
{
	const struct gcm_calls *calls = &mb->gcm[op->key->aead];
	const struct gcm_key_data *key = &op->key->gcm;
	struct gcm_context_data *context = &mb->context->gcm;
	uint32_t want = op->length;
	uint8_t *piece = tag; /* not NULL for a text of no bytes */
	uint32_t n = crypto_cursor_next(c, &want, &piece);

	if (likely(want == 0)) {
		calls->once[op->seal](key, context, piece, piece, n, op->nonce, op->aad,
				      op->aad_len, tag, CRYPTO_TAG_LEN);
		return true;
	}
	calls->init(key, context, op->nonce, op->aad, op->aad_len);
	for (; n > 0; n = crypto_cursor_next(c, &want, &piece))
		calls->update[op->seal](key, context, piece, piece, n);
	calls->finalize[op->seal](key, context, tag, CRYPTO_TAG_LEN);
	return want == 0;
}

static bool
chacha_once(IMB_MGR *m, struct crypto_op *op, uint8_t *text, uint32_t n,
	    uint8_t tag[CRYPTO_TAG_LEN])
{
	IMB_JOB *job = IMB_GET_NEXT_JOB(m);

	job->cipher_direction = op->seal ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
	job->chain_order = op->seal ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
	job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
	job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
	job->enc_keys = op->key->raw;
	job->dec_keys = op->key->raw;
	job->key_len_in_bytes = sizeof(op->key->raw);
	job->iv = op->nonce;
	job->iv_len_in_bytes = CRYPTO_NONCE_LEN;
	job->u.CHACHA20_POLY1305.aad = op->aad;
	job->u.CHACHA20_POLY1305.aad_len_in_bytes = op->aad_len;
	job->src = text;
	job->dst = text;
	job->cipher_start_src_offset_in_bytes = 0;
	job->msg_len_to_cipher_in_bytes = n;
	job->hash_start_src_offset_in_bytes = 0;
	job->msg_len_to_hash_in_bytes = n;
	job->auth_tag_output = tag;
	job->auth_tag_output_len_in_bytes = CRYPTO_TAG_LEN;
	job = IMB_SUBMIT_JOB_NOCHECK(m);
	if (job == NULL)
		job = IMB_FLUSH_JOB(m);
	return job != NULL && job->status == IMB_STATUS_COMPLETED;
}

static bool
chacha_text(struct ipsec_mb *mb, struct crypto_op *op, struct crypto_cursor *c,
	    uint8_t tag[CRYPTO_TAG_LEN])
{
	struct chacha20_poly1305_context_data *context = &mb->context->chacha;
	IMB_MGR *m = mb->manager;
	uint32_t want = op->length;
	uint8_t *piece = NULL;
	uint32_t n = crypto_cursor_next(c, &want, &piece);

	if (likely(want == 0 && n > 0))
		return chacha_once(m, op, piece, n, tag);
	m->chacha20_poly1305_init(op->key->raw, context, op->nonce, op->aad, op->aad_len);
	for (; n > 0; n = crypto_cursor_next(c, &want, &piece)) {
		if (op->seal)
			m->chacha20_poly1305_enc_update(op->key->raw, context, piece, piece, n);
		else
			m->chacha20_poly1305_dec_update(op->key->raw, context, piece, piece, n);
	}
	m->chacha20_poly1305_finalize(context, tag, CRYPTO_TAG_LEN);
	return want == 0;
}

static void
run_one(struct ipsec_mb *mb, struct crypto_op *op)
{
	struct crypto_cursor c = crypto_cursor_at(op->first, op->offset);
	uint8_t computed[CRYPTO_TAG_LEN];
	uint8_t received[CRYPTO_TAG_LEN];
	bool whole = op->key->aead == CRYPTO_CHACHA20_POLY1305 ? chacha_text(mb, op, &c, computed)
							       : gcm_text(mb, op, &c, computed);

	if (unlikely(!whole))
		op->status = CRYPTO_FAILED;
	else if (op->seal)
		op->status = crypto_tag_write(&c, computed) ? CRYPTO_DONE : CRYPTO_FAILED;
	else
		op->status = crypto_tag_read(&c, received) ? crypto_verdict(op, computed, received)
							   : CRYPTO_FAILED;
	if (unlikely(op->status == CRYPTO_FAILED))
		crypto_wipe_text(op);
}

static inline void
prefetch_key(const struct crypto_key *key)
{
	for (size_t at = 0; at < sizeof(*key); at += RTE_CACHE_LINE_SIZE)
		rte_prefetch0((const uint8_t *)key + at);
}

static void
ipsec_mb_run(struct crypto_device *device, struct crypto_op **ops, uint16_t n)
{
	struct ipsec_mb *mb = device->state;

	for (uint16_t i = 0; i < RTE_MIN(n, PREFETCH_AHEAD); i++)
		prefetch_key(ops[i]->key);
	for (uint16_t i = 0; i < n; i++) {
		if (i + PREFETCH_AHEAD < n)
			prefetch_key(ops[i + PREFETCH_AHEAD]->key);
		run_one(mb, ops[i]);
	}
}

static void
ipsec_mb_close(struct crypto_device *device)
{
	struct ipsec_mb *mb = device->state;

	free_mb_mgr(mb->manager);
	crypto_slab_close(&mb->memory);
	free(mb);
}

static const struct crypto_backend ipsec_mb_backend = {
	.expand = ipsec_mb_expand,
	.run = ipsec_mb_run,
	.close = ipsec_mb_close,
	.expands_gcm = true,
};

static const char *
arch_name(const IMB_MGR *manager)
{
	switch (manager->used_arch) {
	case IMB_ARCH_SSE:
		return "SSE";
	case IMB_ARCH_AVX:
		return "AVX";
	case IMB_ARCH_AVX2:
		return "AVX2";
	case IMB_ARCH_AVX512:
		return "AVX512";
	default:
		return NULL;
	}
}

static IMB_MGR *
open_manager(char *error, size_t error_len)
{
	IMB_MGR *manager = alloc_mb_mgr(0);

	if (manager == NULL) {
		snprintf(error, error_len, "out of memory for the ipsec-mb library");
		return NULL;
	}
	init_mb_mgr_auto(manager, NULL);
	if (imb_get_errno(manager) != 0 || arch_name(manager) == NULL) {
		/* Without AES-NI the library has only a slow emulation. */
		snprintf(error, error_len,
			 "this CPU lacks AES-NI, which ipsec-mb needs; use crypto device openssl");
		free_mb_mgr(manager);
		return NULL;
	}
	return manager;
}

int
crypto_ipsec_mb_open(struct crypto_device *device, char *error, size_t error_len)
{
	struct ipsec_mb *mb = calloc(1, sizeof(*mb));

	if (mb == NULL) {
		snprintf(error, error_len, "out of memory for a crypto device");
		return -1;
	}
	crypto_slab_init(&mb->memory, sizeof(*mb->context), 4096);
	mb->context = crypto_slab_get(&mb->memory);
	if (mb->context == NULL)
		snprintf(error, error_len, "out of memory for a crypto device");
	else
		mb->manager = open_manager(error, error_len);
	if (mb->manager == NULL) {
		crypto_slab_close(&mb->memory);
		free(mb);
		return -1;
	}
	bind_calls(mb);
	device->backend = &ipsec_mb_backend;
	device->state = mb;
	snprintf(device->name, sizeof(device->name), "ipsec-mb %s (%s)", IMB_VERSION_STR,
		 arch_name(mb->manager));
	return 0;
}
