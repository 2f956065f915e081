/* SPDX-License-Identifier: Apache-2.0 */
/* Devices, keys and the ring of completions; the ciphers are in the back ends. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "tls/crypto_internal.h"

/* A chunk of keys: one huge page of expanded ones, a few pages of raw ones. */
#define GCM_CHUNK (2u << 20)
#define RAW_CHUNK (64u << 10)

static int
open_backend(struct crypto_device *device, const char *name, char *error, size_t error_len)
{
	if (name == NULL || name[0] == '\0' || strcmp(name, "ipsec-mb") == 0)
		return crypto_ipsec_mb_open(device, error, error_len);
	if (strcmp(name, "openssl") == 0)
		return crypto_openssl_open(device, error, error_len);
	snprintf(error, error_len,
		 "crypto device '%s' is not built in yet; expected ipsec-mb or openssl", name);
	return -1;
}

struct crypto_device *
crypto_device_open(const char *name, unsigned int worker, char *error, size_t error_len)
{
	struct crypto_device *device = aligned_alloc(
		RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(sizeof(*device), RTE_CACHE_LINE_SIZE));

	if (device == NULL) {
		snprintf(error, error_len, "out of memory for a crypto device");
		return NULL;
	}
	memset(device, 0, sizeof(*device));
	crypto_slab_init(&device->raw_keys, CRYPTO_SLOT_RAW, RAW_CHUNK);
	crypto_slab_init(&device->gcm_keys, CRYPTO_SLOT_GCM, GCM_CHUNK);
	if (open_backend(device, name, error, error_len) != 0) {
		free(device);
		return NULL;
	}
	return device;
}

void
crypto_device_close(struct crypto_device *device)
{
	if (device == NULL)
		return;
	device->backend->close(device);
	crypto_slab_close(&device->raw_keys);
	crypto_slab_close(&device->gcm_keys);
	free(device);
}

const char *
crypto_device_name(const struct crypto_device *device)
{
	return device->name;
}

static struct crypto_slab *
slab_of(struct crypto_device *device, enum crypto_aead aead)
{
	if (device->backend->expands_gcm && aead != CRYPTO_CHACHA20_POLY1305)
		return &device->gcm_keys;
	return &device->raw_keys;
}

struct crypto_key *
crypto_key_create(struct crypto_device *device, enum crypto_aead aead, const uint8_t *bytes)
{
	struct crypto_key *key;

	if ((unsigned int)aead >= CRYPTO_AEAD_MAX)
		return NULL;
	key = crypto_slab_get(slab_of(device, aead));
	if (key == NULL)
		return NULL;
	key->device = device;
	key->aead = aead;
	device->backend->expand(device, key, bytes);
	return key;
}

void
crypto_key_destroy(struct crypto_key *key)
{
	struct crypto_device *device;

	if (key == NULL)
		return;
	device = key->device;
	if (device->backend->forget != NULL)
		device->backend->forget(device, key);
	crypto_slab_put(slab_of(device, key->aead), key);
}

uint16_t
crypto_submit(struct crypto_device *device, struct crypto_op **ops, uint16_t n)
{
	uint16_t room = CRYPTO_RING - device->count;

	if (n > room)
		n = room;
	device->backend->run(device, ops, n);
	for (uint16_t i = 0; i < n; i++)
		device->ring[(uint16_t)(device->head + device->count + i) % CRYPTO_RING] = ops[i];
	device->count += n;
	return n;
}

uint16_t
crypto_poll(struct crypto_device *device, struct crypto_op **ops, uint16_t max)
{
	uint16_t n = RTE_MIN(max, device->count);

	for (uint16_t i = 0; i < n; i++)
		ops[i] = device->ring[(uint16_t)(device->head + i) % CRYPTO_RING];
	device->head = (uint16_t)(device->head + n) % CRYPTO_RING;
	device->count -= n;
	return n;
}

bool
crypto_tag_write(struct crypto_cursor *c, const uint8_t tag[CRYPTO_TAG_LEN])
{
	uint32_t want = CRYPTO_TAG_LEN;
	uint32_t n;
	uint8_t *piece;

	while ((n = crypto_cursor_next(c, &want, &piece)) > 0) {
		memcpy(piece, tag, n);
		tag += n;
	}
	return want == 0;
}

bool
crypto_tag_read(struct crypto_cursor *c, uint8_t tag[CRYPTO_TAG_LEN])
{
	uint32_t want = CRYPTO_TAG_LEN;
	uint32_t n;
	uint8_t *piece;

	while ((n = crypto_cursor_next(c, &want, &piece)) > 0) {
		memcpy(tag, piece, n);
		tag += n;
	}
	return want == 0;
}

void
crypto_wipe_text(struct crypto_op *op)
{
	struct crypto_cursor c = crypto_cursor_at(op->first, op->offset);
	uint32_t want = op->length;
	uint32_t n;
	uint8_t *piece;

	while ((n = crypto_cursor_next(&c, &want, &piece)) > 0)
		explicit_bzero(piece, n);
}

int8_t
crypto_verdict(struct crypto_op *op, const uint8_t computed[CRYPTO_TAG_LEN],
	       const uint8_t received[CRYPTO_TAG_LEN])
{
	if (likely(CRYPTO_memcmp(computed, received, CRYPTO_TAG_LEN) == 0))
		return CRYPTO_DONE;
	crypto_wipe_text(op);
	return CRYPTO_BAD_TAG;
}
