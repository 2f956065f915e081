/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_TLS_RECORD_PAIR_H
#define TESTS_UNIT_TLS_RECORD_PAIR_H

/* Two record layers with each other's keys, and an outsider that seals and opens records by
 * OpenSSL alone, to say what may not be said and to check what was said. */

#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/core_names.h>
#include <openssl/params.h>

#include "record_support.h"
#include "tls/record_internal.h"

struct suite {
	const char *name;
	uint16_t version;
	enum crypto_aead aead;
	uint8_t secret_len, key_len;
	const char *cipher, *hash;
};

static const struct suite suites[] = {
	{"1.3 AES-128", TLS_1_3, CRYPTO_AES_128_GCM, 32, 16, "AES-128-GCM", "SHA256"},
	{"1.3 AES-256", TLS_1_3, CRYPTO_AES_256_GCM, 48, 32, "AES-256-GCM", "SHA384"},
	{"1.3 ChaCha20", TLS_1_3, CRYPTO_CHACHA20_POLY1305, 32, 32, "ChaCha20-Poly1305", "SHA256"},
	{"1.2 AES-128", TLS_1_2, CRYPTO_AES_128_GCM, 0, 16, "AES-128-GCM", "SHA256"},
	{"1.2 AES-256", TLS_1_2, CRYPTO_AES_256_GCM, 0, 32, "AES-256-GCM", "SHA384"},
	{"1.2 ChaCha20", TLS_1_2, CRYPTO_CHACHA20_POLY1305, 0, 32, "ChaCha20-Poly1305", "SHA256"},
};
#define SUITES_1_3 3

/* One direction as the outsider knows it. */
struct outsider {
	const struct suite *suite;
	uint8_t secret[48], key[32], iv[12];
	uint64_t seq, explicit_nonce;
};

struct pair {
	struct crypto_device *device;
	struct tls_batch *batch;
	struct tls_records *client, *server;
	const struct suite *suite;
	struct outsider to_server, to_client;
};

/* HKDF-Expand-Label by OpenSSL's own KDF. */
static inline void
outsider_label(const struct suite *suite, const uint8_t *secret, const char *label, uint8_t *out,
	       size_t n)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)suite->hash, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret,
						  suite->secret_len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, "tls13 ", 6),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, (void *)label,
						  strlen(label)),
		OSSL_PARAM_construct_end(),
	};

	assert_int_equal(EVP_KDF_derive(ctx, out, n, params), 1);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
}

static inline void
outsider_derive(struct outsider *o)
{
	outsider_label(o->suite, o->secret, "key", o->key, o->suite->key_len);
	outsider_label(o->suite, o->secret, "iv", o->iv, sizeof(o->iv));
	o->seq = 0;
}

static inline void
outsider_rekey(struct outsider *o)
{
	uint8_t next[48];

	outsider_label(o->suite, o->secret, "traffic upd", next, o->suite->secret_len);
	memcpy(o->secret, next, sizeof(next));
	outsider_derive(o);
}

static inline struct outsider
outsider_new(const struct suite *suite, uint8_t seed, uint64_t seq)
{
	struct outsider o = {.suite = suite};

	fill(o.secret, sizeof(o.secret), seed);
	fill(o.key, sizeof(o.key), seed + 1);
	fill(o.iv, sizeof(o.iv), seed + 2);
	if (suite->version == TLS_1_3)
		outsider_derive(&o);
	else if (suite->aead != CRYPTO_CHACHA20_POLY1305)
		memset(o.iv + 4, 0, 8);
	o.seq = seq;
	o.explicit_nonce = seed * 1000000007ull;
	return o;
}

static inline bool
outsider_has_explicit(const struct outsider *o)
{
	return o->suite->version == TLS_1_2 && o->suite->aead != CRYPTO_CHACHA20_POLY1305;
}

static inline void
outsider_nonce(const struct outsider *o, const uint8_t *explicit_nonce, uint8_t nonce[12])
{
	memcpy(nonce, o->iv, 12);
	if (explicit_nonce != NULL) {
		memcpy(nonce + 4, explicit_nonce, 8);
		return;
	}
	for (int i = 0; i < 8; i++)
		nonce[4 + i] ^= (uint8_t)(o->seq >> (56 - 8 * i));
}

static inline uint32_t
outsider_aad(const struct outsider *o, const uint8_t *header, uint16_t length, uint8_t aad[13])
{
	if (o->suite->version == TLS_1_3) {
		memcpy(aad, header, 5);
		return 5;
	}
	for (int i = 0; i < 8; i++)
		aad[i] = (uint8_t)(o->seq >> (56 - 8 * i));
	memcpy(aad + 8, header, 3);
	aad[11] = length >> 8;
	aad[12] = (uint8_t)length;
	return 13;
}

static inline void
outsider_cipher(const struct outsider *o, const uint8_t nonce[12], const uint8_t *aad,
		uint32_t aad_len, uint8_t *text, uint32_t n, bool seal)
{
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, o->suite->cipher, NULL);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int out;

	assert_int_equal(EVP_CipherInit_ex(ctx, cipher, NULL, o->key, nonce, seal), 1);
	assert_int_equal(EVP_CipherUpdate(ctx, NULL, &out, aad, aad_len), 1);
	assert_int_equal(EVP_CipherUpdate(ctx, text, &out, text, n), 1);
	if (!seal)
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, text + n);
	assert_int_equal(EVP_CipherFinal_ex(ctx, text + n, &out), 1);
	if (seal)
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, text + n);
	EVP_CIPHER_CTX_free(ctx);
	EVP_CIPHER_free(cipher);
}

/* One record to `out`; returns its length. `padding` zeros follow in TLS 1.3. */
static inline uint32_t
outsider_seal(struct outsider *o, uint8_t type, const uint8_t *bytes, uint32_t n,
	      uint32_t padding, uint8_t *out)
{
	bool is_1_3 = o->suite->version == TLS_1_3;
	uint32_t extra = outsider_has_explicit(o) ? 8 : 0;
	uint8_t *text = out + 5 + extra;
	uint32_t inner = n + (is_1_3 ? 1 + padding : 0);
	uint8_t nonce[12], aad[13];
	uint32_t aad_len;

	out[0] = is_1_3 ? 23 : type;
	out[1] = 3;
	out[2] = 3;
	out[3] = (extra + inner + 16) >> 8;
	out[4] = (uint8_t)(extra + inner + 16);
	if (n > 0)
		memmove(text, bytes, n);
	if (is_1_3) {
		text[n] = type;
		memset(text + n + 1, 0, padding);
	}
	for (uint32_t i = 0; i < extra; i++)
		out[5 + i] = (uint8_t)(o->explicit_nonce >> (56 - 8 * i));
	o->explicit_nonce++;
	outsider_nonce(o, extra > 0 ? out + 5 : NULL, nonce);
	aad_len = outsider_aad(o, out, n, aad);
	outsider_cipher(o, nonce, aad, aad_len, text, inner, true);
	o->seq++;
	return 5 + extra + inner + 16;
}

/* Opens the record at `in` in place. Returns its length; content and type in the out arguments. */
static inline uint32_t
outsider_open(struct outsider *o, uint8_t *in, uint32_t room, uint8_t *type, uint8_t **content,
	      uint32_t *n)
{
	bool is_1_3 = o->suite->version == TLS_1_3;
	uint32_t extra = outsider_has_explicit(o) ? 8 : 0;
	uint32_t length, inner;
	uint8_t nonce[12], aad[13];
	uint32_t aad_len;

	assert_true(room >= 5);
	length = in[3] << 8 | in[4];
	assert_true(room >= 5 + length);
	assert_int_equal(in[1] << 8 | in[2], 0x0303);
	inner = length - extra - 16;
	outsider_nonce(o, extra > 0 ? in + 5 : NULL, nonce);
	aad_len = outsider_aad(o, in, inner, aad);
	*content = in + 5 + extra;
	outsider_cipher(o, nonce, aad, aad_len, *content, inner, false);
	o->seq++;
	*type = in[0];
	*n = inner;
	if (is_1_3) {
		assert_int_equal(in[0], 23);
		assert_true(inner > 0);
		*type = (*content)[inner - 1];
		assert_int_not_equal(*type, 0);
		*n = inner - 1;
	}
	return 5 + length;
}

static inline struct tls_traffic
traffic_of(const struct outsider *o)
{
	struct tls_traffic t = {.secret_len = o->suite->secret_len, .seq = o->seq,
				.explicit_nonce = o->explicit_nonce};

	memcpy(t.secret, o->secret, sizeof(t.secret));
	if (o->suite->version == TLS_1_2) {
		memcpy(t.key, o->key, sizeof(t.key));
		memcpy(t.iv, o->iv, sizeof(t.iv));
	}
	return t;
}

static inline void
pair_install(struct pair *p, struct tls_records *records, enum tls_side side)
{
	bool server = side == TLS_SIDE_SERVER;
	struct tls_keys keys = {
		.version = p->suite->version,
		.side = side,
		.aead = p->suite->aead,
		.rx = traffic_of(server ? &p->to_server : &p->to_client),
		.tx = traffic_of(server ? &p->to_client : &p->to_server),
	};
	const uint8_t *bytes = (const uint8_t *)&keys;

	assert_int_equal(tls_records_install(records, p->device, &keys), 0);
	for (size_t i = 0; i < sizeof(keys); i++)
		assert_int_equal(bytes[i], 0); /* wiped */
}

static inline struct pair
pair_new_at(const struct suite *suite, const char *device, unsigned int max_ops, uint64_t seq)
{
	struct pair p = {.suite = suite};
	char error[256];

	p.device = crypto_device_open(device, 0, error, sizeof(error));
	assert_non_null(p.device);
	p.batch = tls_batch_create(p.device, max_ops);
	p.client = tls_records_create(&pools, p.batch);
	p.server = tls_records_create(&pools, p.batch);
	p.to_server = outsider_new(suite, 1, seq);
	p.to_client = outsider_new(suite, 101, seq);
	pair_install(&p, p.client, TLS_SIDE_CLIENT);
	pair_install(&p, p.server, TLS_SIDE_SERVER);
	return p;
}

static inline struct pair
pair_new(const struct suite *suite)
{
	return pair_new_at(suite, "ipsec-mb", 64, suite->version == TLS_1_2 ? 1 : 0);
}

static inline void
pair_free(struct pair *p)
{
	tls_records_destroy(p->client);
	tls_records_destroy(p->server);
	tls_batch_run(p->batch);
	tls_batch_destroy(p->batch);
	assert_int_equal(p->device->raw_keys.in_use, 0);
	assert_int_equal(p->device->gcm_keys.in_use, 0);
	crypto_device_close(p->device);
	assert_nothing_is_out();
}

/* Gives bytes to a side, cut up; returns what tls_records_error() says after the turn. */
static inline int
feed(struct pair *p, struct tls_records *to, const uint8_t *bytes, uint32_t n,
     const struct cut *cut)
{
	struct tls_chain chain = make_chain(bytes, n, cut);

	tls_records_input(to, tls_chain_take_all(&chain));
	tls_records_open(to);
	tls_batch_run(p->batch);
	return tls_records_error(to);
}

/* Everything that each has to send goes to the other, until nobody has anything. */
static inline void
pump(struct pair *p)
{
	for (int quiet = 0; quiet < 2;) {
		struct rte_mbuf *up, *down;

		tls_batch_run(p->batch);
		up = tls_records_output(p->client);
		down = tls_records_output(p->server);
		quiet = up == NULL && down == NULL ? quiet + 1 : 0;
		if (up != NULL)
			tls_records_input(p->server, up);
		if (down != NULL)
			tls_records_input(p->client, down);
		tls_records_open(p->server);
		tls_records_open(p->client);
	}
}

static inline void
say(struct tls_records *from, const uint8_t *bytes, uint32_t n, const struct cut *cut)
{
	struct tls_chain chain = make_chain(bytes, n, cut);

	assert_int_equal(tls_records_seal(from, tls_chain_take_all(&chain)), 0);
}

static inline void
assert_hears(struct tls_records *at, const uint8_t *bytes, uint32_t n)
{
	static uint8_t heard[300000];

	assert_int_equal(take_bytes(tls_records_plaintext(at), heard, sizeof(heard)), n);
	assert_memory_equal(heard, bytes, n);
}

/* The next record that `from` has to send must be this. */
static inline void
assert_sends(struct pair *p, struct tls_records *from, uint8_t type, const uint8_t *bytes,
	     uint32_t n)
{
	struct outsider *o = from == p->client ? &p->to_server : &p->to_client;
	static uint8_t sent[20000];
	uint8_t *content, got_type;
	uint32_t length, got;

	tls_batch_run(p->batch);
	length = take_bytes(tls_records_output(from), sent, sizeof(sent));
	assert_int_equal(outsider_open(o, sent, length, &got_type, &content, &got), length);
	assert_int_equal(got_type, type);
	assert_int_equal(got, n);
	assert_memory_equal(content, bytes, n);
}

static inline void
assert_sends_alert(struct pair *p, struct tls_records *from, uint8_t level, uint8_t alert)
{
	assert_sends(p, from, 21, (const uint8_t[]){level, alert}, 2);
	assert_int_equal(tls_records_alert_sent(from), alert);
}

#endif
