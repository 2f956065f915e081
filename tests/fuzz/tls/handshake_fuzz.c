/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of a peer to a handshake. The first byte chooses: bit 0 our side (1: client), bit 1
 * what the rest is (0: the peer's bytes themselves; 1: places and values to spoil the flights
 * of a real peer with), bits 2 and 3 into what pieces it is cut, bit 4 TLS 1.2, bit 5 whether
 * the peer closes at the end. Whatever comes, every buffer and every secret has to come back.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "tls/handshake_memory.h"
#include "wire.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct wire_mesh mesh;
static struct pki_cert api;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	wire_init("fuzz_handshake");
	wire_mesh_create(&mesh);
	pki_dir_remove(&mesh.dir);
	api = pki_svid(&mesh.ca, WIRE_API);
	return 0;
}

static void
check(bool holds)
{
	if (!holds)
		abort();
}

static struct tls_handshake *
create(bool client)
{
	static const char *const domains[] = {"cluster.local"};
	static const char *const sans[] = {WIRE_API};
	static const uint8_t alpn[] = "\x05istio\x02h2";
	struct tls_server_params server = {
		.identity = mesh.identity, .require_client_certificate = true,
		.trust_domains = domains, .n_trust_domains = 1, .alpn = alpn,
		.alpn_len = sizeof(alpn) - 1};
	struct tls_client_params caller = {
		.identity = mesh.identity, .sni = "api", .alpn = alpn, .alpn_len = sizeof(alpn) - 1,
		.check = TLS_SAN_EXACT, .require_spiffe = true, .sans = sans, .n_sans = 1};

	return client ? tls_handshake_client(&caller, &wire_pools)
		      : tls_handshake_server(&server, &wire_pools);
}

static void
step(struct tls_handshake *hs)
{
	bool over = tls_handshake_cause(hs) != TLS_CAUSE_OK;
	bool ready = tls_handshake_ready(hs);
	enum tls_step result = tls_handshake_step(hs);

	/* What is not ready has nothing to do; what is over stays so. */
	if (!ready)
		check(over == (result == TLS_STEP_FAILED));
	check((result == TLS_STEP_FAILED) == (tls_handshake_cause(hs) != TLS_CAUSE_OK));
	check(ERR_peek_error() == 0);
}

static void
feed(struct tls_handshake *hs, const uint8_t *data, size_t size, size_t piece)
{
	while (size > 0) {
		size_t n = size < piece ? size : piece;

		tls_handshake_input(hs, wire_chain(data, n, piece > 100 ? 100 : 0));
		step(hs);
		data += n;
		size -= n;
	}
}

/* Nobody who does not hold a key of the mesh gets through. */
static void
raw(struct tls_handshake *hs, const uint8_t *data, size_t size, size_t piece)
{
	step(hs);
	feed(hs, data, size, piece);
	check(tls_handshake_step(hs) != TLS_STEP_DONE);
}

static void
spoil(uint8_t *flight, size_t len, size_t offset, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i + 2 < size; i += 3) {
		size_t at = (size_t)data[i] << 8 | data[i + 1];

		if (at >= offset && at - offset < len)
			flight[at - offset] ^= data[i + 2];
	}
}

static void
spoiled(struct tls_handshake *hs, bool client, bool old, const uint8_t *data, size_t size,
	size_t piece)
{
	static uint8_t flight[128 * 1024];
	struct wire_peer_options options = {.server = client, .leaf = &api, .ask_certificate = true,
					    .max_version = old ? TLS1_2_VERSION : 0};
	struct wire_peer peer;
	size_t offset = 0;

	wire_peer_create(&peer, &options);
	for (int round = 0; round < 5; round++) {
		size_t n;

		step(hs);
		n = wire_bytes(tls_handshake_output(hs), flight, sizeof(flight));
		wire_peer_give(&peer, flight, n);
		n = wire_peer_run(&peer, flight, sizeof(flight));
		spoil(flight, n, offset, data, size);
		offset += n;
		feed(hs, flight, n, piece);
	}
	wire_peer_destroy(&peer);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t pieces[] = {65536, 1, 7, 1000};
	struct tls_handshake *hs;
	uint8_t options;
	size_t piece;

	if (size < 1 || size > 100000)
		return 0;
	options = data[0];
	piece = pieces[options >> 2 & 3];
	hs = create((options & 1) != 0);
	check(hs != NULL);
	if ((options & 2) != 0)
		spoiled(hs, (options & 1) != 0, (options & 16) != 0, data + 1, size - 1, piece);
	else
		raw(hs, data + 1, size - 1, piece);
	if ((options & 32) != 0) {
		tls_handshake_eof(hs);
		check(tls_handshake_step(hs) != TLS_STEP_MORE);
	}
	tls_handshake_free(hs);
	check(wire_balanced());
	check(tls_hs_keys_in_use() == 0);
	ERR_clear_error();
	return 0;
}
