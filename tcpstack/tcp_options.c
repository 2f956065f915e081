/* SPDX-License-Identifier: Apache-2.0 */

/* The option block: RFC 9293 section 3.2 (MSS), RFC 7323 (window scale, timestamps),
 * RFC 2018 and 2883 (SACK). */

#include "tcpstack/tcp_internal.h"

enum {
	OPT_END = 0,
	OPT_NOP = 1,
	OPT_MSS = 2,
	OPT_WSCALE = 3,
	OPT_SACK_PERMITTED = 4,
	OPT_SACK = 5,
	OPT_TIMESTAMPS = 8,
};

static uint16_t
get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t
get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static uint8_t *
put16(uint8_t *p, uint16_t v)
{
	*p++ = v >> 8;
	*p++ = v & 0xff;
	return p;
}

static uint8_t *
put32(uint8_t *p, uint32_t v)
{
	return put16(put16(p, v >> 16), v & 0xffff);
}

static void
parse_sack(const uint8_t *data, uint8_t len, struct tcp_options *opt)
{
	uint8_t n = (len - 2) / 8;

	if ((len - 2) % 8 != 0 || n == 0 || n > TCP_SACK_BLOCKS)
		return;
	opt->n_sack = n;
	for (uint8_t i = 0; i < n; i++) {
		opt->sack[i].start = get32(data + 2 + 8 * i);
		opt->sack[i].end = get32(data + 6 + 8 * i);
	}
}

/* An option of the wrong length is passed over, as one of an unknown kind. */
static void
parse_one(const uint8_t *data, uint8_t len, bool syn, struct tcp_options *opt)
{
	switch (data[0]) {
	case OPT_MSS:
		if (syn && len == 4) {
			opt->has_mss = true;
			opt->mss = get16(data + 2);
		}
		break;
	case OPT_WSCALE:
		if (syn && len == 3) {
			opt->has_wscale = true;
			opt->wscale = RTE_MIN(data[2], TCP_WSCALE_MAX);
		}
		break;
	case OPT_SACK_PERMITTED:
		if (syn && len == 2)
			opt->sack_permitted = true;
		break;
	case OPT_SACK:
		parse_sack(data, len, opt);
		break;
	case OPT_TIMESTAMPS:
		if (len == 10) {
			opt->has_timestamps = true;
			opt->ts_val = get32(data + 2);
			opt->ts_ecr = get32(data + 6);
		}
		break;
	}
}

void
tcp_options_parse(const uint8_t *data, size_t len, bool syn, struct tcp_options *opt)
{
	size_t at = 0;

	memset(opt, 0, offsetof(struct tcp_options, sack));
	while (at < len && data[at] != OPT_END) {
		uint8_t size;

		if (data[at] == OPT_NOP) {
			at++;
			continue;
		}
		if (len - at < 2 || data[at + 1] < 2 || data[at + 1] > len - at) {
			opt->broken = true;
			return;
		}
		size = data[at + 1];
		parse_one(data + at, size, syn, opt);
		at += size;
	}
}

uint8_t
tcp_options_timestamps(uint8_t *out, uint32_t val, uint32_t ecr)
{
	out[0] = OPT_NOP;
	out[1] = OPT_NOP;
	out[2] = OPT_TIMESTAMPS;
	out[3] = 10;
	put32(put32(out + 4, val), ecr);
	return TCP_TS_OPTION_LEN;
}

uint8_t
tcp_options_write_syn(const struct tcp_syn_options *syn, uint8_t *out)
{
	uint8_t *p = out;

	*p++ = OPT_MSS;
	*p++ = 4;
	p = put16(p, syn->mss);
	if (syn->sack) {
		*p++ = OPT_NOP;
		*p++ = OPT_NOP;
		*p++ = OPT_SACK_PERMITTED;
		*p++ = 2;
	}
	if (syn->timestamps)
		p += tcp_options_timestamps(p, syn->ts_val, syn->ts_ecr);
	if (syn->wscale) {
		*p++ = OPT_NOP;
		*p++ = OPT_WSCALE;
		*p++ = 3;
		*p++ = syn->scale;
	}
	return (uint8_t)(p - out);
}

/* A SYN offers everything; a SYN-ACK only what the SYN offered. */
uint8_t
tcp_options_syn(const struct tcp_conn *conn, uint8_t *out)
{
	bool offer = conn->state == TCP_SYN_SENT;
	struct tcp_syn_options syn = {
		.mss = tcp_cold(conn)->path_mss,
		.sack = offer || conn->flags & TCP_F_SACK,
		.timestamps = offer || conn->flags & TCP_F_TIMESTAMPS,
		.wscale = offer || conn->flags & TCP_F_WSCALE,
		.scale = conn->rcv_wscale,
		.ts_val = tcp_ts_now(conn),
		.ts_ecr = conn->ts_recent,
	};

	return tcp_options_write_syn(&syn, out);
}

static uint8_t
sack_blocks(const struct tcp_conn *conn)
{
	uint8_t most = conn->flags & TCP_F_TIMESTAMPS ? TCP_SACK_BLOCKS - 1 : TCP_SACK_BLOCKS;
	uint8_t n = tcp_cold(conn)->n_sack + (conn->flags & TCP_F_DSACK ? 1 : 0);

	return RTE_MIN(n, most);
}

uint8_t
tcp_options_sack_len(const struct tcp_conn *conn)
{
	uint8_t n = conn->flags & TCP_F_SACK ? sack_blocks(conn) : 0;

	return n != 0 ? 4 + 8 * n : 0;
}

uint8_t
tcp_options_plain(struct tcp_conn *conn, uint8_t *out)
{
	const struct tcp_cold *cold = tcp_cold(conn);
	uint8_t n = tcp_options_sack_len(conn) / 8;
	uint8_t *p = out;
	uint8_t i = 0;

	if (conn->flags & TCP_F_TIMESTAMPS)
		p += tcp_options_timestamps(p, tcp_ts_now(conn), conn->ts_recent);
	if (n == 0)
		return (uint8_t)(p - out);
	*p++ = OPT_NOP;
	*p++ = OPT_NOP;
	*p++ = OPT_SACK;
	*p++ = 2 + 8 * n;
	if (conn->flags & TCP_F_DSACK) {
		p = put32(put32(p, cold->dsack.start), cold->dsack.end);
		n--;
	}
	for (; i < n; i++)
		p = put32(put32(p, cold->sack[i].start), cold->sack[i].end);
	return (uint8_t)(p - out);
}
