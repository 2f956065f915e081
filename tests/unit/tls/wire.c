/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <rte_eal.h>
#include <rte_mempool.h>

#define POOL_SIZE 4095
#define FLIGHT_MAX (256 * 1024)

struct tls_pools wire_pools;

static void
must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "wire: %s failed\n", what);
	ERR_print_errors_fp(stderr);
	abort();
}

void
wire_init(const char *program)
{
	const char *slash = strrchr(program, '/');
	char prefix[64], error[128];
	char *args[] = {(char *)(uintptr_t)program, "--no-huge", "--no-shconf", "--no-pci", "-m",
			"64", "--no-telemetry", "--log-level=error", "--lcores=0", prefix};

	must(tls_init(error, sizeof(error)) == 0, "tls_init");
	snprintf(prefix, sizeof(prefix), "--file-prefix=%s",
		 slash != NULL ? slash + 1 : program);
	must(rte_eal_init(10, args) >= 0, "rte_eal_init");
	wire_pools.data = rte_pktmbuf_pool_create("data", POOL_SIZE, 0, 0,
						  RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	wire_pools.indirect = rte_pktmbuf_pool_create("indirect", POOL_SIZE, 0, 0, 0,
						      SOCKET_ID_ANY);
	must(wire_pools.data != NULL && wire_pools.indirect != NULL, "pools");
}

bool
wire_balanced(void)
{
	return rte_mempool_avail_count(wire_pools.data) == POOL_SIZE &&
	       rte_mempool_avail_count(wire_pools.indirect) == POOL_SIZE;
}

struct rte_mbuf *
wire_chain(const void *bytes, size_t len, size_t segment)
{
	const uint8_t *p = bytes;
	struct tls_chain chain = {0};

	while (len > 0) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(wire_pools.data);
		size_t n = len;

		must(m != NULL, "a buffer");
		if (n > rte_pktmbuf_tailroom(m))
			n = rte_pktmbuf_tailroom(m);
		if (segment > 0 && n > segment)
			n = segment;
		memcpy(rte_pktmbuf_append(m, n), p, n);
		tls_chain_append(&chain, m);
		p += n;
		len -= n;
	}
	return tls_chain_take_all(&chain);
}

size_t
wire_bytes(struct rte_mbuf *chain, uint8_t *out, size_t max)
{
	size_t len = 0;

	for (struct rte_mbuf *m = chain; m != NULL; m = m->next) {
		must(len + m->data_len <= max, "room for a chain");
		memcpy(out + len, rte_pktmbuf_mtod(m, uint8_t *), m->data_len);
		len += m->data_len;
	}
	if (chain != NULL) {
		must(chain->pkt_len == len, "pkt_len");
		rte_pktmbuf_free(chain);
	}
	return len;
}

/* --- a mesh ---------------------------------------------------------------------------- */

struct tls_identity *
wire_identity(struct wire_mesh *mesh, const struct pki_cert *leaf, X509 *intermediate,
	      bool require_spiffe)
{
	char *chain = pki_write_certs(&mesh->dir, "chain.pem", leaf->cert, intermediate, NULL);
	char *key = pki_write_key(&mesh->dir, "key.pem", leaf->key, NULL);
	struct tls_identity_files files = {chain, key, mesh->bundle, require_spiffe, false};
	struct tls_identity_error error;
	struct tls_identity *identity = tls_identity_load(&files, &error);

	if (identity == NULL)
		fprintf(stderr, "%s\n", error.text);
	must(identity != NULL, "tls_identity_load");
	free(chain);
	free(key);
	return identity;
}

void
wire_mesh_create(struct wire_mesh *mesh)
{
	pki_dir_create(&mesh->dir);
	mesh->ca = pki_ca("mesh CA");
	mesh->bundle = pki_write_certs(&mesh->dir, "bundle.pem", mesh->ca.cert, NULL);
	mesh->web = pki_svid(&mesh->ca, WIRE_WEB);
	mesh->identity = wire_identity(mesh, &mesh->web, NULL, true);
}

void
wire_mesh_destroy(struct wire_mesh *mesh)
{
	tls_identity_free(mesh->identity);
	pki_free(&mesh->web);
	pki_free(&mesh->ca);
	free(mesh->bundle);
	pki_dir_remove(&mesh->dir);
}

/* --- the peer -------------------------------------------------------------------------- */

static int
select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
	    const unsigned char *offered, unsigned int offered_len, void *arg)
{
	struct wire_peer *peer = arg;

	if (SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len, peer->options.alpn,
				  peer->options.alpn_len, offered,
				  offered_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	return SSL_TLSEXT_ERR_OK;
}

static void
note_alert(const SSL *ssl, int where, int value)
{
	struct wire_peer *peer = SSL_get_app_data(ssl);

	if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT)
		peer->alert_received = value & 0xff;
}

static void
set_trust(struct wire_peer *peer)
{
	const struct wire_peer_options *o = &peer->options;
	int mode = SSL_VERIFY_NONE;

	if (o->root != NULL) {
		X509_STORE_add_cert(SSL_CTX_get_cert_store(peer->ctx), o->root);
		mode = SSL_VERIFY_PEER;
	}
	if (o->server && o->ask_certificate)
		mode |= SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_verify(peer->ctx, mode, NULL);
}

static void
set_algorithms(SSL_CTX *ctx, const struct wire_peer_options *o)
{
	SSL_CTX_set_security_level(ctx, 0);
	must(SSL_CTX_set_min_proto_version(ctx, o->min_version != 0 ? o->min_version
								   : TLS1_VERSION) == 1 &&
		     SSL_CTX_set_max_proto_version(ctx, o->max_version) == 1,
	     "versions");
	if (o->suites != NULL)
		must(SSL_CTX_set_ciphersuites(ctx, o->suites) == 1, "suites");
	if (o->ciphers != NULL)
		must(SSL_CTX_set_cipher_list(ctx, o->ciphers) == 1, "ciphers");
	if (o->groups != NULL)
		must(SSL_CTX_set1_groups_list(ctx, o->groups) == 1, "groups");
	if (o->no_extended_master_secret)
		SSL_CTX_set_options(ctx, SSL_OP_NO_EXTENDED_MASTER_SECRET);
	if (o->no_middlebox_compat)
		SSL_CTX_clear_options(ctx, SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
}

void
wire_peer_create(struct wire_peer *peer, const struct wire_peer_options *o)
{
	*peer = (struct wire_peer){.options = *o};
	peer->ctx = SSL_CTX_new(o->server ? TLS_server_method() : TLS_client_method());
	must(peer->ctx != NULL, "SSL_CTX_new");
	set_algorithms(peer->ctx, o);
	set_trust(peer);
	SSL_CTX_set_num_tickets(peer->ctx, o->tickets);
	SSL_CTX_set_info_callback(peer->ctx, note_alert);
	if (o->leaf != NULL)
		must(SSL_CTX_use_certificate(peer->ctx, o->leaf->cert) == 1 &&
			     SSL_CTX_use_PrivateKey(peer->ctx, o->leaf->key) == 1,
		     "the peer's certificate");
	if (o->intermediate != NULL)
		must(SSL_CTX_add1_chain_cert(peer->ctx, o->intermediate) == 1, "intermediate");
	SSL_CTX_set_mode(peer->ctx, SSL_MODE_NO_AUTO_CHAIN);
	if (o->alpn != NULL && o->server)
		SSL_CTX_set_alpn_select_cb(peer->ctx, select_alpn, peer);
	peer->ssl = SSL_new(peer->ctx);
	peer->in = BIO_new(BIO_s_mem());
	peer->out = BIO_new(BIO_s_mem());
	must(peer->ssl != NULL && peer->in != NULL && peer->out != NULL, "SSL_new");
	SSL_set_app_data(peer->ssl, peer);
	SSL_set_bio(peer->ssl, peer->in, peer->out);
	if (o->server) {
		SSL_set_accept_state(peer->ssl);
		return;
	}
	SSL_set_connect_state(peer->ssl);
	if (o->alpn != NULL)
		must(SSL_set_alpn_protos(peer->ssl, o->alpn, o->alpn_len) == 0, "ALPN");
	if (o->sni != NULL)
		must(SSL_set_tlsext_host_name(peer->ssl, o->sni) == 1, "SNI");
}

void
wire_peer_destroy(struct wire_peer *peer)
{
	SSL_free(peer->ssl);
	SSL_CTX_free(peer->ctx);
	ERR_clear_error();
}

void
wire_peer_give(struct wire_peer *peer, const uint8_t *bytes, size_t len)
{
	if (len > 0)
		must(BIO_write(peer->in, bytes, (int)len) == (int)len, "BIO_write");
}

size_t
wire_peer_run(struct wire_peer *peer, uint8_t *out, size_t max)
{
	int n;

	ERR_clear_error();
	if (!peer->done) {
		int ret = SSL_do_handshake(peer->ssl);

		peer->done = ret == 1;
		peer->error = ret == 1 ? 0 : SSL_get_error(peer->ssl, ret);
	}
	ERR_clear_error();
	n = BIO_read(peer->out, out, (int)max);
	return n > 0 ? (size_t)n : 0;
}

enum tls_step
wire_shake(struct tls_handshake *hs, struct wire_peer *peer, size_t segment)
{
	static uint8_t flight[FLIGHT_MAX];
	enum tls_step step = TLS_STEP_MORE;
	bool moved = true;

	for (int round = 0; round < 40 && moved; round++) {
		size_t n;

		moved = false;
		if (tls_handshake_ready(hs)) {
			step = tls_handshake_step(hs);
			moved = true;
		}
		n = wire_bytes(tls_handshake_output(hs), flight, sizeof(flight));
		wire_peer_give(peer, flight, n);
		moved = moved || n > 0;
		n = wire_peer_run(peer, flight, sizeof(flight));
		if (n > 0)
			tls_handshake_input(hs, wire_chain(flight, n, segment));
		moved = moved || n > 0;
	}
	return step;
}
