/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record layer under a peer that means no good.
 *
 * byte 0: suite, and whether the rest is ciphertext as it stands or the content of records
 * that the harness seals under the right keys, so that what lies behind the cipher is reached.
 * Ciphertext mode: chunks, each led by its length in a byte, are received one after the other.
 * Sealed mode: a list of records: type, how to cut, length (2 bytes, big endian), content.
 * The other side of the connection answers and its answers are opened again.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>
#include <rte_eal.h>

#include "tls/record_internal.h"

static struct tls_pools pools;
static struct crypto_device *device;
static struct crypto_device *peer_device;

#define BUFFERS 4095

static void
check(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "broken: %s\n", what);
	abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char *args[] = {"fuzz",
			"--no-huge",
			"--no-shconf",
			"--no-pci",
			"-m",
			"64",
			"--no-telemetry",
			"--log-level=error",
			"--file-prefix=portcullis-fuzz-record",
			NULL};
	char error[256];

	if (rte_eal_init(RTE_DIM(args) - 1, args) < 0)
		exit(1);
	pools.data = rte_pktmbuf_pool_create("data", BUFFERS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
					     SOCKET_ID_ANY);
	pools.indirect = rte_pktmbuf_pool_create("indirect", BUFFERS, 0, 0, 0, SOCKET_ID_ANY);
	device = crypto_device_open("ipsec-mb", 0, error, sizeof(error));
	peer_device = crypto_device_open("openssl", 0, error, sizeof(error));
	if (pools.data == NULL || pools.indirect == NULL || device == NULL || peer_device == NULL)
		exit(1);
	return 0;
}

static struct rte_mbuf *
buffer_of(const uint8_t *bytes, uint16_t n)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pools.data);

	check(m != NULL, "the fuzzer's own buffers");
	check(rte_pktmbuf_append(m, n) != NULL, "room");
	if (n > 0)
		memcpy(rte_pktmbuf_mtod(m, void *), bytes, n);
	return m;
}

struct world {
	struct tls_batch *batch, *peer_batch;
	struct tls_records *victim, *peer;
	struct tls_keys peer_keys;
	uint64_t taken; /* bytes of plaintext */
};

static void
suite_of(uint8_t choice, struct tls_keys *keys)
{
	memset(keys, 0, sizeof(*keys));
	keys->version = choice & 1 ? TLS_1_2 : TLS_1_3;
	keys->aead = (choice >> 1) % CRYPTO_AEAD_MAX;
	keys->side = choice & 0x20 ? TLS_SIDE_CLIENT : TLS_SIDE_SERVER;
	keys->rx.secret_len = keys->tx.secret_len = keys->aead == CRYPTO_AES_256_GCM ? 48 : 32;
	memset(keys->rx.secret, 1, sizeof(keys->rx.secret));
	memset(keys->rx.key, 3, sizeof(keys->rx.key));
	memset(keys->tx.secret, 2, sizeof(keys->tx.secret));
	memset(keys->tx.key, 4, sizeof(keys->tx.key));
	if (choice & 0x10)
		keys->rx.seq = TLS_RECORD_ASK_AFTER - 1;
}

static void
world_open(struct world *w, uint8_t choice)
{
	struct tls_keys keys, mirrored;

	suite_of(choice, &keys);
	mirrored = keys;
	mirrored.rx = keys.tx;
	mirrored.tx = keys.rx;
	mirrored.side = TLS_SIDE_UNKNOWN;
	memset(w, 0, sizeof(*w));
	w->batch = tls_batch_create(device, 1 + (choice >> 4));
	w->peer_batch = tls_batch_create(peer_device, 8);
	w->victim = tls_records_create(&pools, w->batch);
	w->peer = tls_records_create(&pools, w->peer_batch);
	check(tls_records_install(w->victim, device, &keys) == 0, "keys");
	check(tls_records_install(w->peer, peer_device, &mirrored) == 0, "keys");
}

static void
world_close(struct world *w)
{
	tls_records_destroy(w->victim);
	tls_records_destroy(w->peer);
	tls_batch_destroy(w->batch);
	tls_batch_destroy(w->peer_batch);
	check(device->gcm_keys.in_use + device->raw_keys.in_use == 0, "keys are given back");
	check(peer_device->raw_keys.in_use == 0, "keys are given back");
	check(rte_mempool_avail_count(pools.data) == BUFFERS, "buffers are given back");
	check(rte_mempool_avail_count(pools.indirect) == BUFFERS, "buffers are given back");
}

static void
digest(struct world *w)
{
	void *user;

	tls_records_open(w->victim);
	while (tls_batch_run(w->batch) > 0)
		;
	while ((user = tls_batch_next(w->batch)) != NULL)
		check(user == w->victim, "user");
}

/* A turn of the victim; what it answers is given to the peer, who has to understand it. */
static void
turn(struct world *w)
{
	struct rte_mbuf *m;

	digest(w);
	m = tls_records_plaintext(w->victim);
	if (m != NULL) {
		w->taken += m->pkt_len;
		/* Half of it is sent back. */
		if (w->taken % 2 == 0)
			tls_records_seal(w->victim, m);
		else
			rte_pktmbuf_free(m);
	}
	while (tls_batch_run(w->batch) > 0)
		;
	m = tls_records_output(w->victim);
	if (m != NULL)
		tls_records_input(w->peer, m);
	tls_records_open(w->peer);
	while (tls_batch_run(w->peer_batch) > 0)
		;
	rte_pktmbuf_free(tls_records_plaintext(w->peer));
	m = tls_records_output(w->peer); /* a KeyUpdate that was asked for */
	if (m != NULL)
		tls_records_input(w->victim, m);
	check(tls_records_error(w->peer) == 0 || tls_records_error(w->peer) == TLS_RECORD_ALERT,
	      "what the victim sends is well formed");
	check(tls_records_held_out(w->victim) == 0, "nothing is left behind");
	check(tls_records_error(w->victim) == 0 || tls_records_held_in(w->victim) == 0,
	      "nothing is held after an error");
}

static void
ciphertext(struct world *w, const uint8_t *data, size_t size)
{
	while (size > 0) {
		size_t n = RTE_MIN((size_t)data[0], size - 1);

		tls_records_input(w->victim, buffer_of(data + 1, n));
		data += 1 + n;
		size -= 1 + n;
		if (n % 2 == 0)
			turn(w);
	}
	turn(w);
}

/* One record of the peer's keys around any content and type, through the cipher alone. */
static struct rte_mbuf *
seal(struct world *w, uint8_t type, const uint8_t *content, uint16_t n)
{
	struct tls_records *peer = w->peer;
	bool is_1_3 = peer->version == TLS_1_3;
	uint32_t extra = record_explicit_len(peer);
	uint32_t text = n + (is_1_3 ? 1 : 0);
	uint32_t length = extra + text + CRYPTO_TAG_LEN;
	uint64_t seq = rte_cpu_to_be_64(peer->tx.seq);
	struct rte_mbuf *m = rte_pktmbuf_alloc(pools.data);
	uint8_t *at = (uint8_t *)rte_pktmbuf_append(m, TLS_RECORD_HEADER + length);
	struct crypto_op op = {.key = peer->tx.key, .first = m, .length = text, .seal = true};
	struct crypto_op *ops[1] = {&op};
	const uint8_t header[5] = {is_1_3 ? RECORD_DATA : type, 3, 3, length >> 8, length & 0xff};

	check(at != NULL, "room");
	memcpy(at, header, sizeof(header));
	op.offset = TLS_RECORD_HEADER + extra;
	if (n > 0)
		memcpy(at + op.offset, content, n);
	if (is_1_3)
		at[op.offset + n] = type;
	record_nonce(&peer->tx, op.nonce);
	memcpy(op.aad, header, sizeof(header));
	op.aad_len = sizeof(header);
	if (!is_1_3) {
		memcpy(op.aad, &seq, 8);
		memcpy(op.aad + 8, header, 3);
		op.aad[11] = n >> 8;
		op.aad[12] = n & 0xff;
		op.aad_len = 13;
	}
	if (extra > 0) {
		memcpy(at + TLS_RECORD_HEADER, &seq, 8);
		memcpy(op.nonce, peer->tx.iv, 4);
		memcpy(op.nonce + 4, &seq, 8);
	}
	peer->tx.seq++;
	crypto_submit(peer_device, ops, 1);
	crypto_poll(peer_device, ops, 1);
	check(op.status == CRYPTO_DONE, "sealing");
	return m;
}

static void
receive_cut(struct world *w, struct rte_mbuf *m, uint8_t cut)
{
	struct tls_chain chain = {0};
	uint32_t step = cut & 0x7f;

	tls_chain_append(&chain, m);
	while (step > 0 && chain.bytes > step) {
		struct tls_chain piece = {0};

		if (tls_chain_split(&chain, step, pools.indirect, &piece) != 0)
			break;
		tls_records_input(w->victim, tls_chain_take_all(&piece));
	}
	tls_records_input(w->victim, tls_chain_take_all(&chain));
}

static void
sealed(struct world *w, const uint8_t *data, size_t size)
{
	bool asks = w->victim->rx.seq > 0;

	while (size >= 4) {
		uint8_t type = data[0];
		uint8_t cut = data[1];
		uint16_t n = RTE_MIN((size_t)(data[2] << 8 | data[3]) % 1900, size - 4);
		uint64_t updates;

		/* Small numbers are the types that there are. 255: none, so that the content's
		 * last byte which is not zero is the type. */
		type = type < 8 ? RECORD_CCS + type : type == 255 ? 0 : type;
		digest(w);
		updates = w->batch->counters.key_updates_in;
		receive_cut(w, seal(w, type, data + 4, n), cut);
		if (w->peer->version == TLS_1_3)
			digest(w);
		if (w->batch->counters.key_updates_in != updates)
			check(record_rekey(w->peer, &w->peer->tx) == 0, "rekey");
		if (cut & 0x80)
			turn(w);
		/* A peer that was asked to may have put a KeyUpdate into somebody's ticket. */
		check(asks || tls_records_error(w->victim) != TLS_RECORD_BAD_MAC,
		      "what is sealed well is opened");
		data += 4 + n;
		size -= 4 + n;
	}
	tls_records_close(w->victim);
	turn(w);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w;

	if (size < 1 || size > 20000)
		return 0;
	world_open(&w, data[0]);
	if (data[0] & 0x80)
		ciphertext(&w, data + 1, size - 1);
	else
		sealed(&w, data + 1, size - 1);
	world_close(&w);
	return 0;
}
