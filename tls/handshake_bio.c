/* SPDX-License-Identifier: Apache-2.0 */
/* A BIO between OpenSSL and mbufs: it reads no further than the record that it was given,
 * so that what follows stays in its buffers, and watches what is written. */

#include <pthread.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_common.h>

#include "tls/handshake_internal.h"

static BIO_METHOD *bio_method;
static pthread_once_t bio_method_once = PTHREAD_ONCE_INIT;

uint32_t
tls_hs_peek(const struct tls_chain *chain, uint8_t *to, uint32_t len)
{
	uint32_t done = 0;

	for (const struct rte_mbuf *m = chain->head; m != NULL && done < len; m = m->next) {
		uint32_t n = RTE_MIN(len - done, (uint32_t)m->data_len);

		memcpy(to + done, rte_pktmbuf_mtod(m, const uint8_t *), n);
		done += n;
	}
	return done;
}

/* Takes up to `len` bytes off the front and frees the buffers that they empty. */
static uint32_t
chain_read(struct tls_chain *chain, uint8_t *to, uint32_t len)
{
	uint32_t done = 0;

	while (chain->head != NULL && done < len) {
		struct rte_mbuf *m = chain->head;
		uint32_t n = RTE_MIN(len - done, (uint32_t)m->data_len);

		memcpy(to + done, rte_pktmbuf_mtod(m, const uint8_t *), n);
		m->data_off += n;
		m->data_len -= n;
		done += n;
		if (m->data_len > 0)
			break;
		chain->head = m->next;
		if (chain->head == NULL)
			chain->tail = NULL;
		rte_pktmbuf_free_seg(m);
	}
	chain->bytes -= done;
	return done;
}

static int
bio_read(BIO *bio, char *to, int len)
{
	struct tls_handshake *hs = BIO_get_data(bio);
	uint32_t n;

	BIO_clear_retry_flags(bio);
	if (len <= 0)
		return 0;
	n = chain_read(&hs->in, (uint8_t *)to, RTE_MIN((uint32_t)len, hs->in_limit));
	if (n == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	hs->in_limit -= n;
	return (int)n;
}

/* --- output ---------------------------------------------------------------------------- */

static void
watch_header(struct out_watch *w)
{
	w->left = (uint32_t)w->head[3] << 8 | w->head[4];
	w->records++;
	/* TLS 1.3 sends dummy ChangeCipherSpecs, after which its client may still have a
	 * second ClientHello to send (RFC 8446 appendix D.4): then an alert of ours is not
	 * sent, which is harmless. */
	if (w->head[0] == RECORD_CCS) {
		w->protected = true;
		w->after_ccs = 0;
	} else if (w->head[0] == RECORD_APPLICATION) {
		w->protected = true;
	}
	if (w->protected && w->head[0] != RECORD_CCS)
		w->after_ccs++;
}

static void
watch_record_end(struct out_watch *w)
{
	if (w->protected && w->have == sizeof(w->head)) {
		uint64_t nonce;

		memcpy(&nonce, w->head + TLS_RECORD_HEADER, sizeof(nonce));
		w->explicit_nonce = rte_be_to_cpu_64(nonce);
	}
	w->have = 0;
}

static void
watch_output(struct out_watch *w, const uint8_t *p, size_t len)
{
	while (len > 0) {
		uint32_t n;

		if (w->have < TLS_RECORD_HEADER) {
			w->head[w->have++] = *p++;
			len--;
			if (w->have < TLS_RECORD_HEADER)
				continue;
			watch_header(w);
		} else {
			n = RTE_MIN(len, w->left);
			for (uint32_t i = 0; i < n && w->have < sizeof(w->head); i++)
				w->head[w->have++] = p[i];
			p += n;
			len -= n;
			w->left -= n;
		}
		if (w->left == 0)
			watch_record_end(w);
	}
}

bool
tls_hs_write(struct tls_handshake *hs, const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		struct rte_mbuf *m = hs->out.tail;
		uint16_t n;

		if (m == NULL || rte_pktmbuf_tailroom(m) == 0) {
			m = rte_pktmbuf_alloc(hs->pools.data);
			if (m == NULL) {
				hs->out_of_buffers = true;
				return false;
			}
			tls_chain_append(&hs->out, m);
		}
		n = (uint16_t)RTE_MIN(len, rte_pktmbuf_tailroom(m));
		memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, m->data_len), bytes, n);
		m->data_len += n;
		hs->out.bytes += n;
		bytes += n;
		len -= n;
	}
	return true;
}

static int
bio_write(BIO *bio, const char *from, int len)
{
	struct tls_handshake *hs = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (len <= 0)
		return 0;
	if (!tls_hs_write(hs, (const uint8_t *)from, (size_t)len))
		return -1;
	watch_output(&hs->watch, (const uint8_t *)from, (size_t)len);
	return len;
}

static long
bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
	return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static void
make_method(void)
{
	bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "mbuf chain");
	if (bio_method == NULL)
		return;
	BIO_meth_set_read(bio_method, bio_read);
	BIO_meth_set_write(bio_method, bio_write);
	BIO_meth_set_ctrl(bio_method, bio_ctrl);
}

BIO *
tls_hs_bio(struct tls_handshake *hs)
{
	BIO *bio;

	pthread_once(&bio_method_once, make_method);
	if (bio_method == NULL)
		return NULL;
	bio = BIO_new(bio_method);
	if (bio == NULL)
		return NULL;
	BIO_set_data(bio, hs);
	BIO_set_init(bio, 1);
	return bio;
}
