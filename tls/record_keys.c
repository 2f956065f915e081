/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of a connection: from traffic secrets to keys, and from one generation to the next. */

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "tls/record_internal.h"

static uint8_t
key_length(uint8_t aead)
{
	return aead == CRYPTO_AES_128_GCM ? 16 : 32;
}

/*
 * HKDF-Expand-Label (RFC 8446 section 7.1) with an empty context. Everything wanted here is
 * at most one hash long, so HKDF-Expand (RFC 5869 section 2.3) is its first block only.
 */
static bool
expand_label(const uint8_t *secret, uint8_t secret_len, const char *label, uint8_t *out,
	     uint8_t out_len)
{
	const EVP_MD *hash = secret_len == 48 ? EVP_sha384() : EVP_sha256();
	uint8_t label_len = (uint8_t)strlen(label);
	uint8_t info[2 + 1 + 6 + 16 + 1 + 1];
	uint8_t block[EVP_MAX_MD_SIZE];
	unsigned int block_len = sizeof(block);
	uint8_t n = 0;
	bool ok;

	info[n++] = 0;
	info[n++] = out_len;
	info[n++] = 6 + label_len;
	memcpy(info + n, "tls13 ", 6);
	n += 6;
	memcpy(info + n, label, label_len);
	n += label_len;
	info[n++] = 0; /* no context */
	info[n++] = 1; /* the first block */
	ok = HMAC(hash, secret, secret_len, info, n, block, &block_len) != NULL &&
	     block_len >= out_len;
	if (ok)
		memcpy(out, block, out_len);
	OPENSSL_cleanse(block, sizeof(block));
	return ok;
}

/* The key and IV of a traffic secret (RFC 8446 section 7.3). The old key is destroyed. */
static int
set_secret(struct tls_records *records, struct crypto_device *device,
	   struct record_direction *direction, const uint8_t *secret)
{
	uint8_t bytes[CRYPTO_KEY_MAX];
	struct crypto_key *key = NULL;

	if (expand_label(secret, records->secret_len, "key", bytes, key_length(records->aead)) &&
	    expand_label(secret, records->secret_len, "iv", direction->iv, CRYPTO_NONCE_LEN))
		key = crypto_key_create(device, records->aead, bytes);
	OPENSSL_cleanse(bytes, sizeof(bytes));
	if (key == NULL)
		return TLS_RECORD_NO_MEMORY;
	memcpy(key->secret, secret, records->secret_len);
	crypto_key_destroy(direction->key);
	direction->key = key;
	return 0;
}

/* RFC 8446 section 7.2. No operation may be in flight in this direction. */
int
record_rekey(struct tls_records *records, struct record_direction *direction)
{
	struct crypto_device *device = direction->key->device;
	uint8_t next[CRYPTO_SECRET_MAX];
	int rc = TLS_RECORD_NO_MEMORY;

	if (expand_label(direction->key->secret, records->secret_len, "traffic upd", next,
			 records->secret_len))
		rc = set_secret(records, device, direction, next);
	OPENSSL_cleanse(next, sizeof(next));
	if (rc == 0)
		direction->seq = 0;
	return rc;
}

static int
install_one(struct tls_records *records, struct crypto_device *device,
	    struct record_direction *direction, const struct tls_traffic *traffic)
{
	direction->seq = traffic->seq;
	if (records->version == TLS_1_3)
		return set_secret(records, device, direction, traffic->secret);
	memcpy(direction->iv, traffic->iv, CRYPTO_NONCE_LEN);
	crypto_key_destroy(direction->key);
	direction->key = crypto_key_create(device, records->aead, traffic->key);
	return direction->key != NULL ? 0 : TLS_RECORD_NO_MEMORY;
}

static bool
keys_make_sense(const struct tls_keys *keys)
{
	if ((unsigned int)keys->aead >= CRYPTO_AEAD_MAX)
		return false;
	if (keys->version == TLS_1_2)
		return true;
	return keys->version == TLS_1_3 && keys->rx.secret_len == keys->tx.secret_len &&
	       (keys->rx.secret_len == 32 || keys->rx.secret_len == 48);
}

int
tls_records_install(struct tls_records *records, struct crypto_device *device,
		    struct tls_keys *keys)
{
	int rc = TLS_RECORD_NO_MEMORY;

	if (keys_make_sense(keys)) {
		records->version = keys->version;
		records->aead = keys->aead;
		records->secret_len = keys->rx.secret_len;
		records->side = keys->side;
		records->explicit_nonce = keys->tx.explicit_nonce;
		records->rx.queue.limit =
			keys->version == TLS_1_3 ? IN_FLIGHT_TLS_1_3_RX : IN_FLIGHT_MAX;
		rc = install_one(records, device, &records->rx, &keys->rx);
		if (rc == 0)
			rc = install_one(records, device, &records->tx, &keys->tx);
	}
	if (rc != 0)
		record_drop_keys(records);
	else if (records->pending.bytes > 0 || records->input.bytes > 0)
		records_set_waiting(records);
	OPENSSL_cleanse(keys, sizeof(*keys));
	return rc;
}

void
record_drop_keys(struct tls_records *records)
{
	crypto_key_destroy(records->rx.key);
	crypto_key_destroy(records->tx.key);
	records->rx.key = NULL;
	records->tx.key = NULL;
	OPENSSL_cleanse(records->rx.iv, sizeof(records->rx.iv));
	OPENSSL_cleanse(records->tx.iv, sizeof(records->tx.iv));
}

/* RFC 8446 section 5.3 and RFC 7905 section 2: the sequence number XORed into the IV. */
void
record_nonce(const struct record_direction *direction, uint8_t nonce[CRYPTO_NONCE_LEN])
{
	uint64_t seq = rte_cpu_to_be_64(direction->seq);
	uint64_t low;

	memcpy(nonce, direction->iv, 4);
	memcpy(&low, direction->iv + 4, sizeof(low));
	low ^= seq;
	memcpy(nonce + 4, &low, sizeof(low));
}
