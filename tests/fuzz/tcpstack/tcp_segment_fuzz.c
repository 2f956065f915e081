/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw bytes as segments. One stack holds connections in different states; the input is a row
 * of packets:
 *
 *     byte   connection (low four bits), scattered over small buffers (top bit)
 *     byte   length of the TCP part, header and payload, times 2
 *     bytes  the TCP part, as it stands; ports are put right so that it reaches its
 *            connection, and where the second byte of the sequence number is even, SEQ and
 *            ACK are taken relative to what the connection expects
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
	fuzz_boot("fuzz_tcp_segment");
	return 0;
}

/* ESTABLISHED (0-3), data in flight (4, 5), SYN-SENT (6, 7), FIN-WAIT-1 (8), released with
 * data (9), data out of order (10); the rest are strangers. */
static void
prepare(struct fuzz *f)
{
	struct tcp_conn_config config = {0};
	uint8_t bytes[400], early[100] = {0};

	for (unsigned int i = 0; i < 6; i++)
		fuzz_establish(f, i);
	fuzz_write(f, 4, 2000);
	fuzz_write(f, 5, 2000);
	for (unsigned int i = 6; i < 8; i++) {
		struct tcp_tuple tuple = fuzz_tuple(i);

		if (tcp_connect(f->stack, &tuple, f->now, &config, &f->conns[i]) != TCP_OK)
			abort();
		tcp_set_user(f->conns[i], &f->conns[i]);
	}
	for (unsigned int i = 8; i < 11; i++)
		fuzz_establish(f, i);
	if (f->conns[8] == NULL || f->conns[9] == NULL || f->conns[10] == NULL)
		abort();
	tcp_shutdown(f->conns[8], f->now);
	fuzz_write(f, 9, 1000);
	tcp_release(f->conns[9], f->now);
	f->conns[9] = NULL;
	struct packet p = fuzz_packet(f, 10, ACK);

	p.seq += 100;
	fuzz_deliver(f, 10, bytes, packet_write(bytes, &p, early, sizeof(early)), 0);
	fuzz_turn(f);
}

static void
put32(uint8_t *at, uint32_t value)
{
	value = __builtin_bswap32(value);
	memcpy(at, &value, 4);
}

static uint32_t
get32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, 4);
	return __builtin_bswap32(value);
}

static void
aim(struct fuzz *f, unsigned int i, uint8_t *tcp, size_t len)
{
	struct tcp_tuple tuple = fuzz_tuple(i);

	if (len >= 4) {
		tcp[0] = (uint8_t)(tuple.remote_port >> 8);
		tcp[1] = (uint8_t)tuple.remote_port;
		tcp[2] = 0;
		tcp[3] = FUZZ_LOCAL_PORT;
	}
	if (len < 12 || tcp[5] % 2)
		return;
	put32(tcp + 4, f->peers[i].rcv_nxt + (uint32_t)(int16_t)get32(tcp + 4));
	put32(tcp + 8, f->peers[i].snd_nxt + (uint32_t)(int16_t)get32(tcp + 8));
}

/* An honest IP header, as net_input hands them on, round a TCP part that is not. */
static void
one_segment(struct fuzz *f, struct fuzz_input *in)
{
	static uint8_t bytes[40 + 520];
	uint8_t who = fuzz_u8(in);
	size_t len = (size_t)fuzz_u8(in) * 2;
	unsigned int i = who % FUZZ_CONNECTIONS;
	struct packet p = fuzz_packet(f, i, 0);

	if (len > in->left)
		len = in->left;
	p.cut = 20;
	size_t l3 = packet_write(bytes, &p, NULL, 0);

	if (l3 == 40)
		bytes[4] = (uint8_t)(len >> 8), bytes[5] = (uint8_t)len;
	else
		bytes[2] = (uint8_t)((l3 + len) >> 8), bytes[3] = (uint8_t)(l3 + len);
	memcpy(bytes + l3, in->at, len);
	in->at += len;
	in->left -= len;
	aim(f, i, bytes + l3, len);
	fuzz_deliver(f, i, bytes, l3 + len, who & 0x80 ? 32 : 0);
	f->now += who & 0x40 ? 700000 : 1000;
	fuzz_turn(f);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct fuzz *f = fuzz_begin();

	prepare(f);
	while (in.left > 0)
		one_segment(f, &in);
	for (unsigned int i = 0; i < 40; i++) {
		f->now += 500000;
		fuzz_turn(f);
	}
	fuzz_end(f);
	return 0;
}
