/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fuzzer as the peer and as the application of connections that it opens itself. Headers
 * are well formed; numbers, flags, options, payload, time and calls are chosen by the input,
 * one command after the other:
 *
 *     byte   command (low four bits), connection (high four bits); then its arguments
 */
#include "tests/fuzz/tcpstack/fuzz_common.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_boot("fuzz_tcp_conversation");
	return 0;
}

static void
add_options(struct fuzz *f, unsigned int i, struct packet *p, struct fuzz_input *in)
{
	uint8_t which = fuzz_u8(in);
	uint32_t at = f->peers[i].snd_nxt;

	if (which & 1)
		p->opts_len =
			packet_opt_ts(p->opts, p->opts_len, (uint32_t)(f->now / 1000) - fuzz_u8(in),
				      f->peers[i].tsval - fuzz_u8(in));
	if (which & 2) {
		uint32_t left = at - fuzz_u16(in), right = left + fuzz_u16(in);
		uint32_t edges[] = {left, right, left - fuzz_u8(in) * 64u, left - fuzz_u8(in)};

		p->opts_len = packet_opt_sack(p->opts, p->opts_len, which & 4 ? 2 : 1, edges);
	}
	if ((which & 8) && p->opts_len + 4 <= 40)
		p->opts_len = packet_opt_mss(p->opts, p->opts_len, fuzz_u16(in));
	if ((which & 16) && p->opts_len + 4 <= 40)
		p->opts_len = packet_opt_wscale(p->opts, p->opts_len, fuzz_u8(in));
	if ((which & 32) && p->opts_len + 4 <= 40)
		p->opts_len = packet_opt_sack_permitted(p->opts, p->opts_len);
}

static void
send_segment(struct fuzz *f, unsigned int i, struct fuzz_input *in)
{
	static uint8_t payload[2048], bytes[2400];
	struct packet p = fuzz_packet(f, i, fuzz_u8(in));
	uint16_t len = fuzz_u8(in) * 8;

	p.seq += (uint32_t)(int32_t)(int16_t)fuzz_u16(in);
	p.ack += (uint32_t)(int32_t)(int16_t)fuzz_u16(in);
	p.wnd = fuzz_u16(in);
	add_options(f, i, &p, in);
	fuzz_deliver(f, i, bytes, packet_write(bytes, &p, payload, len), len % 5 ? 0 : 200);
}

/* What a polite peer says: acknowledges all, with or without data. */
static void
send_polite(struct fuzz *f, unsigned int i, struct fuzz_input *in)
{
	static uint8_t payload[2048], bytes[2400];
	struct packet p = fuzz_packet(f, i, ACK);
	uint16_t len = fuzz_u8(in) * 4;

	if (f->peers[i].tsval != 0)
		p.opts_len = packet_opt_ts(p.opts, 0, (uint32_t)(f->now / 1000), f->peers[i].tsval);
	fuzz_deliver(f, i, bytes, packet_write(bytes, &p, payload, len), 0);
}

static void
tell_icmp(struct fuzz *f, unsigned int i, struct fuzz_input *in)
{
	struct tcp_tuple tuple = fuzz_tuple(i);
	uint8_t kind = fuzz_u8(in);
	uint32_t seq = f->peers[i].snd_nxt - fuzz_u16(in);

	tcp_icmp_error(f->stack, &tuple, seq, (enum tcp_icmp)(kind % 3), fuzz_u16(in), f->now);
}

static void
call(struct fuzz *f, unsigned int i, uint8_t command, struct fuzz_input *in)
{
	struct tcp_conn *conn = f->conns[i];

	if (conn == NULL)
		return;
	switch (command) {
	case 4:
		fuzz_write(f, i, fuzz_u16(in));
		break;
	case 5:
		tcp_set_room(conn, fuzz_u16(in) * 16u, f->now);
		break;
	case 6:
		rte_pktmbuf_free(tcp_receive(conn, fuzz_u16(in)));
		break;
	case 7:
		tcp_shutdown(conn, f->now);
		break;
	case 8:
		tcp_abort(conn, f->now);
		break;
	case 9:
		f->conns[i] = NULL;
		tcp_set_user(conn, NULL);
		tcp_release(conn, f->now);
		break;
	default:
		break;
	}
}

static void
open_connection(struct fuzz *f, unsigned int i)
{
	struct tcp_conn_config config = {.connect_timeout_ms = 4000, .user_timeout_ms = 9000};
	struct tcp_tuple tuple = fuzz_tuple(i);

	if (f->conns[i] != NULL)
		return;
	if (tcp_connect(f->stack, &tuple, f->now, &config, &f->conns[i]) == TCP_OK)
		tcp_set_user(f->conns[i], &f->conns[i]);
	else
		f->conns[i] = NULL;
}

static void
one_command(struct fuzz *f, struct fuzz_input *in)
{
	uint8_t byte = fuzz_u8(in);
	unsigned int i = byte >> 4;

	switch (byte & 15) {
	case 0:
		send_segment(f, i, in);
		break;
	case 1:
		send_polite(f, i, in);
		break;
	case 2:
		open_connection(f, i);
		break;
	case 3:
		if (f->conns[i] == NULL)
			fuzz_establish(f, i);
		break;
	case 10:
		tell_icmp(f, i, in);
		break;
	case 11:
		f->now += fuzz_u8(in);
		fuzz_turn(f);
		break;
	case 12:
		f->now += fuzz_u8(in) * 1000u;
		fuzz_turn(f);
		break;
	case 13:
		f->now += fuzz_u8(in) * 100000u;
		fuzz_turn(f);
		break;
	case 14:
		fuzz_turn(f);
		break;
	default:
		call(f, i, byte & 15, in);
		break;
	}
}

/* All handles given back, no word from the peer: whatever was left must die by itself. */
static void
finish(struct fuzz *f)
{
	for (unsigned int i = 0; i < FUZZ_CONNECTIONS; i++) {
		if (f->conns[i] != NULL) {
			tcp_set_user(f->conns[i], NULL);
			tcp_release(f->conns[i], f->now);
		}
		f->conns[i] = NULL;
	}
	for (unsigned int i = 0; i < 2000; i++) {
		fuzz_turn(f);
		uint64_t next = tcp_next_timer(f->stack);

		if (next == UINT64_MAX)
			break;
		f->now = next > f->now ? next : f->now + 1000;
	}
	if (tcp_stack_connections(f->stack) != 0 || tcp_stack_time_waits(f->stack) != 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct fuzz *f = fuzz_begin();

	fuzz_establish(f, 0);
	fuzz_establish(f, 1);
	while (in.left > 0)
		one_command(f, &in);
	finish(f);
	fuzz_end(f);
	return 0;
}
