/* SPDX-License-Identifier: Apache-2.0 */
/* The traffic secrets of a handshake, in locked memory, and the rest of the state that the
 * record layer goes on with: sequence numbers and explicit nonces. */

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "tls/handshake_internal.h"

/* --- TLS 1.3: secrets from the key log ------------------------------------------------- */

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static void
parse_secret(const char *hex, struct tls_traffic *traffic)
{
	uint8_t n = 0;

	while (n < sizeof(traffic->secret)) {
		int high = hex_digit(hex[2 * n]);
		int low = high < 0 ? -1 : hex_digit(hex[2 * n + 1]);

		if (low < 0)
			break;
		traffic->secret[n++] = (uint8_t)(high << 4 | low);
	}
	traffic->secret_len = n;
}

/* "LABEL client_random secret", hexadecimal. OpenSSL wipes the line afterwards. */
void
tls_hs_keylog(const SSL *ssl, const char *line)
{
	static const char client[] = "CLIENT_TRAFFIC_SECRET_0 ";
	static const char server[] = "SERVER_TRAFFIC_SECRET_0 ";
	struct tls_handshake *hs = tls_hs_of(ssl);
	const char *secret = strrchr(line, ' ');
	bool of_client = strncmp(line, client, sizeof(client) - 1) == 0;

	if (secret == NULL || (!of_client && strncmp(line, server, sizeof(server) - 1) != 0))
		return;
	if (of_client != hs->server) {
		parse_secret(secret + 1, &hs->keys->tx);
		/* OpenSSL has flushed everything that is under the handshake's own keys:
		 * whatever it writes from here on is under this secret. */
		hs->watch.at_secret = hs->watch.records;
	} else {
		parse_secret(secret + 1, &hs->keys->rx);
	}
}

/* --- TLS 1.2: the key block ------------------------------------------------------------ */

struct suite {
	uint16_t id; /* of the registry of TLS cipher suites */
	uint8_t aead;
	uint8_t key_len;
	uint8_t iv_len; /* TLS 1.2: of the fixed part of the nonce */
};

static const struct suite suites[] = {
	{0x1301, CRYPTO_AES_128_GCM, 16, 12}, {0x1302, CRYPTO_AES_256_GCM, 32, 12},
	{0x1303, CRYPTO_CHACHA20_POLY1305, 32, 12}, {0xc02b, CRYPTO_AES_128_GCM, 16, 4},
	{0xc02c, CRYPTO_AES_256_GCM, 32, 4},  {0xc02f, CRYPTO_AES_128_GCM, 16, 4},
	{0xc030, CRYPTO_AES_256_GCM, 32, 4},  {0xcca8, CRYPTO_CHACHA20_POLY1305, 32, 12},
	{0xcca9, CRYPTO_CHACHA20_POLY1305, 32, 12},
};

static const struct suite *
suite_of(const SSL *ssl)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);

	for (size_t i = 0; cipher != NULL && i < RTE_DIM(suites); i++)
		if (suites[i].id == SSL_CIPHER_get_protocol_id(cipher))
			return &suites[i];
	return NULL;
}

/* RFC 5246 section 5: PRF(secret, label, seed) with the hash of the suite. */
static bool
prf(const SSL *ssl, uint8_t *master, size_t master_len, uint8_t *seed, size_t seed_len,
    uint8_t *out, size_t out_len)
{
	const EVP_MD *md = SSL_CIPHER_get_handshake_digest(SSL_get_current_cipher(ssl));
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_PRF, NULL);
	EVP_KDF_CTX *ctx = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
	bool ok = false;

	if (md != NULL && ctx != NULL) {
		OSSL_PARAM params[] = {
			OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
							 (char *)(uintptr_t)EVP_MD_get0_name(md),
							 0),
			OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, master,
							  master_len),
			OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, seed, seed_len),
			OSSL_PARAM_construct_end(),
		};

		ok = EVP_KDF_derive(ctx, out, out_len, params) == 1;
	}
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return ok;
}

/* RFC 5246 section 6.3; an AEAD has no MAC keys. */
static bool
key_block(const struct tls_handshake *hs, const struct suite *suite)
{
	static const char label[] = "key expansion";
	const size_t label_len = sizeof(label) - 1;
	uint8_t seed[sizeof(label) - 1 + 2 * SSL3_RANDOM_SIZE];
	uint8_t master[SSL_MAX_MASTER_KEY_LENGTH];
	uint8_t block[2 * (CRYPTO_KEY_MAX + CRYPTO_NONCE_LEN)];
	struct tls_traffic *client = hs->server ? &hs->keys->rx : &hs->keys->tx;
	struct tls_traffic *server = hs->server ? &hs->keys->tx : &hs->keys->rx;
	const uint8_t *p = block;
	size_t master_len;
	bool ok;

	memcpy(seed, label, label_len);
	SSL_get_server_random(hs->ssl, seed + label_len, SSL3_RANDOM_SIZE);
	SSL_get_client_random(hs->ssl, seed + label_len + SSL3_RANDOM_SIZE, SSL3_RANDOM_SIZE);
	master_len = SSL_SESSION_get_master_key(SSL_get_session(hs->ssl), master, sizeof(master));
	ok = prf(hs->ssl, master, master_len, seed, sizeof(seed), block,
		 2u * (suite->key_len + suite->iv_len));
	if (ok) {
		memcpy(client->key, p, suite->key_len);
		p += suite->key_len;
		memcpy(server->key, p, suite->key_len);
		p += suite->key_len;
		memcpy(client->iv, p, suite->iv_len);
		p += suite->iv_len;
		memcpy(server->iv, p, suite->iv_len);
	}
	OPENSSL_cleanse(master, sizeof(master));
	OPENSSL_cleanse(block, sizeof(block));
	return ok;
}

bool
tls_hs_keys_complete(struct tls_handshake *hs)
{
	const struct suite *suite = suite_of(hs->ssl);
	struct tls_keys *keys = hs->keys;

	if (suite == NULL)
		return false;
	keys->version = (uint16_t)SSL_version(hs->ssl);
	keys->side = hs->server ? TLS_SIDE_SERVER : TLS_SIDE_CLIENT;
	keys->aead = suite->aead;
	if (keys->version == TLS_1_3_WIRE) {
		/* The last record read was under the handshake's keys, on both sides; our
		 * own count starts after Finished (tickets would be counted in it). */
		keys->rx.seq = 0;
		keys->tx.seq = hs->watch.records - hs->watch.at_secret;
		return keys->rx.secret_len > 0 && keys->rx.secret_len == keys->tx.secret_len;
	}
	keys->rx.seq = hs->in_after_ccs;
	keys->tx.seq = hs->watch.after_ccs;
	/* OpenSSL starts its explicit nonces at random and counts; so do we go on, and none
	 * comes twice. */
	keys->tx.explicit_nonce = hs->watch.explicit_nonce + 1;
	return keys->version == TLS_1_2_WIRE && key_block(hs, suite);
}
