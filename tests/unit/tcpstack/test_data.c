/* SPDX-License-Identifier: Apache-2.0 */
/* Data in and out without losses on our side: order, overlaps, acknowledgements. */
#include "tests/unit/tcpstack/segment_harness.h"

#include <string.h>

/* The first segments of a flow may be acknowledged at once (quick ACKs). Returns the
 * sequence number that follows. */
static uint32_t
pass_quick_acks(struct harness *h)
{
	uint32_t seq = 1;

	for (unsigned int i = 0; i < 40; i++) {
		harness_send_pattern(h, seq, 1, 1000);
		seq += 1000;
		harness_read(h, seq - 1001);
		tcp_set_room(h->conn, 65535, h->now);
	}
	harness_advance(h, 600 * MS);
	harness_discard(h);
	h->events = 0;
	return seq;
}

static void
bytes_in_order_are_readable_at_once(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_send_pattern(h, 1, 1, 100);
	EXPECT_EVENTS(h, TCP_EV_READABLE);
	assert_int_equal(harness_read(h, 0), 100);
	assert_int_equal(harness_read(h, 100), 0);
	harness_send_pattern(h, 101, 1, 1400);
	harness_send_pattern(h, 1501, 1, 1);
	assert_int_equal(harness_read(h, 100), 1401);
	struct tcp_info info;

	tcp_conn_info(h->conn, &info);
	assert_int_equal(info.bytes_received, 1501);
}

static void
receive_gives_about_what_is_asked_for(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	for (unsigned int i = 0; i < 4; i++)
		harness_send_pattern(h, 1 + i * 1000, 1, 1000);
	struct rte_mbuf *chain = tcp_receive(h->conn, 1500);

	assert_non_null(chain);
	/* The buffer that crosses the limit is given whole. */
	assert_int_equal(chain->pkt_len, 2000);
	assert_int_equal(chain->nb_segs, 2);
	rte_pktmbuf_free(chain);
	assert_int_equal(harness_read(h, 2000), 2000);
}

static void
scattered_segment_is_read_whole(void **state)
{
	struct harness *h = *state;
	uint8_t data[1200], bytes[1500];

	harness_accept(h);
	for (uint32_t i = 0; i < sizeof(data); i++)
		data[i] = harness_pattern(i);
	struct packet p = harness_packet(h, ACK | PSH, 1, 1);
	size_t len = packet_write(bytes, &p, data, sizeof(data));
	struct rte_mbuf *m = packet_to_mbuf(h->rx, bytes, len, 100);

	assert_true(m->nb_segs > 8);
	assert_int_equal(tcp_input(h->stack, &m, 1, h->now, h->strangers), 0);
	harness_turn(h);
	assert_int_equal(harness_read(h, 0), 1200);
}

static void
gap_is_reported_and_filled(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_send_pattern(h, 101, 1, 100);
	EXPECT_EVENTS(h, 0);
	struct sent *s = EXPECT(h, ACK, 1, 1, 0);

	assert_int_equal(s->p.n_sack, 1);
	assert_int_equal(s->p.sack[0].left - h->peer_isn, 101);
	assert_int_equal(s->p.sack[0].right - h->peer_isn, 201);
	assert_null(tcp_receive(h->conn, UINT32_MAX));
	assert_int_equal(COUNTER(h, out_of_order), 1);
	harness_send_pattern(h, 1, 1, 100);
	/* RFC 5681 section 4.2: filling a gap is acknowledged at once. */
	s = EXPECT(h, ACK, 1, 201, 0);
	assert_int_equal(s->p.n_sack, 0);
	EXPECT_EVENTS(h, TCP_EV_READABLE);
	assert_int_equal(harness_read(h, 0), 200);
}

/* RFC 2018 section 4: the block that holds the latest segment comes first. */
static void
latest_sack_block_comes_first(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	for (uint32_t i = 1; i <= 5; i++)
		harness_send_pattern(h, 1 + i * 200, 1, 100);
	for (uint32_t i = 1; i <= 5; i++) {
		struct sent *s = EXPECT(h, ACK, 1, 1, 0);

		assert_true(s->p.n_sack >= 1 && s->p.n_sack <= 3);
		assert_int_equal(s->p.sack[0].left - h->peer_isn, 1 + i * 200);
		assert_int_equal(s->p.n_sack, i < 3 ? i : 3);
	}
}

static void
peer_without_sack_gets_no_sack_blocks(void **state)
{
	struct harness *h = *state;

	h->peer_sack = false;
	harness_accept(h);
	harness_send_pattern(h, 101, 1, 100);
	assert_int_equal(EXPECT(h, ACK, 1, 1, 0)->p.n_sack, 0);
}

/* Pieces of a stream in every order, overlapping each other. */
static void
overlapping_pieces_make_one_stream(void **state)
{
	struct harness *h = *state;

	h->config.room = 200000;
	harness_accept(h);
	uint32_t base = 1, read = 0;

	for (unsigned int round = 0; round < 300; round++) {
		unsigned int pieces = (unsigned int)rng_between(&h->random, 1, 8);

		for (unsigned int i = 0; i < pieces; i++) {
			uint32_t from = (uint32_t)rng_between(&h->random, 0, 1500);
			uint32_t len = (uint32_t)rng_between(&h->random, 1, 900);
			/* Some reach back to what was taken already. */
			uint32_t back = base > 600 ? (uint32_t)rng_between(&h->random, 0, 500) : 0;

			harness_send_pattern(h, base + from - (i % 3 ? 0 : back), 1, (uint16_t)len);
		}
		for (uint32_t at = 0; at < 2600; at += 650)
			harness_send_pattern(h, base + at, 1, 650);
		read += harness_read(h, read);
		base += 2600;
		assert_int_equal(read, base - 1);
		tcp_set_room(h->conn, 200000, h->now);
		harness_discard(h);
	}
}

static void
segment_that_begins_before_the_window_is_trimmed(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_send_pattern(h, 1, 1, 500);
	assert_int_equal(harness_read(h, 0), 500);
	harness_send_pattern(h, 301, 1, 500);
	assert_int_equal(harness_read(h, 500), 300);
}

static void
segment_that_reaches_beyond_the_window_is_truncated(void **state)
{
	struct harness *h = *state;

	h->config.room = 1000;
	h->peer_wscale = -1;
	harness_accept(h);
	harness_send_pattern(h, 1, 1, 1400);
	assert_int_equal(harness_read(h, 0), 1000);
	harness_discard(h);
	harness_advance(h, 600 * MS);
	struct tcp_info info;

	tcp_conn_info(h->conn, &info);
	assert_int_equal(info.bytes_received, 1000);
}

static void
fin_beyond_the_window_is_not_believed(void **state)
{
	struct harness *h = *state;
	uint8_t data[1400];

	for (uint32_t i = 0; i < sizeof(data); i++)
		data[i] = harness_pattern(i);
	h->config.room = 1000;
	h->peer_wscale = -1;
	harness_accept(h);
	harness_send(h, ACK | FIN, 1, 1, data, sizeof(data));
	assert_int_equal(h->events & TCP_EV_EOF, 0);
	assert_int_equal(harness_state(h), TCP_ESTABLISHED);
	assert_int_equal(harness_read(h, 0), 1000);
}

/* RFC 9293 section 3.10.7.4: what is not acceptable gets an ACK, and RFC 2883 a D-SACK. */
static void
duplicate_is_acknowledged_and_dropped(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_send_pattern(h, 1, 1, 100);
	assert_int_equal(harness_read(h, 0), 100);
	harness_advance(h, 600 * MS);
	harness_discard(h);
	h->events = 0;
	harness_send_pattern(h, 1, 1, 100);
	struct sent *s = EXPECT(h, ACK, 1, 101, 0);

	assert_true(s->p.n_sack == 0 || (s->p.sack[0].left - h->peer_isn == 1 &&
					 s->p.sack[0].right - h->peer_isn == 101));
	EXPECT_EVENTS(h, 0);
	assert_null(tcp_receive(h->conn, UINT32_MAX));
	assert_true(COUNTER(h, duplicates) >= 1);
}

static void
segment_outside_the_window_is_acknowledged_and_dropped(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_send_pattern(h, 10000001, 1, 100);
	EXPECT(h, ACK, 1, 1, 0);
	EXPECT_EVENTS(h, 0);
	assert_true(COUNTER(h, outside_window) >= 1);
}

/* RFC 9293 section 3.8.6.3 */
static void
lone_segment_is_acknowledged_after_a_delay(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	uint32_t seq = pass_quick_acks(h);
	uint64_t begin = h->now;

	harness_send_pattern(h, seq, 1, 500);
	EXPECT_NOTHING(h);
	harness_advance(h, 500 * MS);
	struct sent *s = EXPECT(h, ACK, 1, seq + 500, 0);

	assert_in_range(s->at - begin, 1, 500 * MS);
	EXPECT_NOTHING(h);
}

static void
every_second_full_segment_is_acknowledged(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	uint32_t seq = pass_quick_acks(h);

	for (unsigned int i = 0; i < 10; i++) {
		harness_send_pattern(h, seq, 1, 1000);
		EXPECT_NOTHING(h);
		harness_send_pattern(h, seq + 1000, 1, 1000);
		seq += 2000;
		EXPECT(h, ACK, 1, seq, 0);
		/* The room is not renewed: no window update comes in between. */
		harness_read(h, seq - 2001);
	}
}

static void
acknowledgement_rides_on_data(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	uint32_t seq = pass_quick_acks(h);

	harness_send_pattern(h, seq, 1, 500);
	harness_write(h, 200);
	EXPECT(h, ACK, 1, seq + 500, 200);
	harness_ack(h, 201);
	harness_advance(h, 600 * MS);
	EXPECT_NOTHING(h);
}

static void
written_bytes_leave_in_full_segments(void **state)
{
	struct harness *h = *state;
	uint32_t full = (h->v6 ? 1440 : 1460) - 12;

	harness_accept(h);
	harness_write(h, full * 2 + 100);
	uint32_t seq = 1;

	for (unsigned int i = 0; i < 3; i++) {
		struct sent *s = EXPECT(h, ACK, seq, 1, i < 2 ? full : 100);

		EXPECT_PATTERN(s);
		assert_int_equal(s->path, HARNESS_PATH);
		seq += s->p.payload_len;
	}
	assert_int_equal(tcp_unacked(h->conn), full * 2 + 100);
	harness_ack(h, 1 + full);
	EXPECT_EVENTS(h, TCP_EV_SENT);
	assert_int_equal(tcp_unacked(h->conn), full + 100);
	harness_ack(h, 1 + full * 2 + 100);
	assert_int_equal(tcp_unacked(h->conn), 0);
	harness_advance(h, 5 * SECOND);
	EXPECT_NOTHING(h);
}

static void
partial_acknowledgement_frees_whole_buffers(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_write(h, 3000); /* three buffers */
	unsigned int before = rte_mempool_avail_count(h->payload);

	harness_ack(h, 1 + 999);
	assert_int_equal(rte_mempool_avail_count(h->payload), before);
	harness_ack(h, 1 + 1000);
	assert_int_equal(rte_mempool_avail_count(h->payload), before + 1);
	harness_ack(h, 1 + 3000);
	assert_int_equal(rte_mempool_avail_count(h->payload), before + 3);
	assert_int_equal(tcp_unacked(h->conn), 0);
}

static void
acknowledgement_of_unsent_bytes_is_not_believed(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_write(h, 100);
	harness_discard(h);
	h->events = 0;
	harness_ack(h, 5000);
	EXPECT(h, ACK, 101, 1, 0);
	EXPECT_EVENTS(h, 0);
	assert_int_equal(tcp_unacked(h->conn), 100);
	assert_true(COUNTER(h, bad_ack) >= 1);
}

static void
old_acknowledgement_changes_nothing(void **state)
{
	struct harness *h = *state;

	harness_accept(h);
	harness_write(h, 2000);
	harness_ack(h, 2001);
	harness_discard(h);
	h->events = 0;
	harness_write(h, 100);
	harness_discard(h);
	harness_send(h, ACK, 1, 500, NULL, 0);
	EXPECT_EVENTS(h, 0);
	assert_int_equal(tcp_unacked(h->conn), 100);
}

static void
segment_without_ack_flag_is_dropped(void **state)
{
	struct harness *h = *state;
	uint8_t data[4] = {1, 2, 3, 4};

	harness_accept(h);
	harness_send(h, PSH, 1, 0, data, sizeof(data));
	EXPECT_EVENTS(h, 0);
	assert_null(tcp_receive(h->conn, UINT32_MAX));
	assert_int_equal(harness_state(h), TCP_ESTABLISHED);
}

static void
urgent_data_is_read_in_line(void **state)
{
	struct harness *h = *state;
	uint8_t data[10];

	for (uint32_t i = 0; i < sizeof(data); i++)
		data[i] = harness_pattern(i);
	harness_accept(h);
	harness_send(h, ACK | URG, 1, 1, data, sizeof(data));
	assert_int_equal(harness_read(h, 0), 10);
}

static void
out_of_order_memory_is_bounded(void **state)
{
	struct harness *h = *state;

	h->stack_config.max_ooo_bytes = 8192;
	h->config.room = 1 << 20;
	harness_new_stack(h);
	harness_accept(h);
	unsigned int before = rte_mempool_avail_count(h->rx);

	for (uint32_t i = 1; i < 400; i++)
		harness_send_pattern(h, 1 + i * 1000, 1, i % 2 ? 1000 : 10);
	unsigned int held = before - rte_mempool_avail_count(h->rx);

	/* Counted by payload the limit holds about seventeen of these, by buffers fewer. */
	assert_true(held <= 40);
	assert_true(COUNTER(h, ooo_dropped) > 0);
	harness_discard(h);
	/* What was dropped comes again; nothing is lost. */
	for (uint32_t i = 0; i < 50; i++) {
		harness_send_pattern(h, 1 + i * 1000, 1, 1000);
		harness_discard(h);
	}
	assert_true(harness_read(h, 0) >= 50000);
}

static void
empty_pools_delay_but_lose_nothing(void **state)
{
	struct harness *h = *state;
	struct rte_mbuf *all[1024]; /* one for the NULL at the end */
	unsigned int n = 0;

	harness_accept(h);
	while ((all[n] = rte_pktmbuf_alloc(h->header)) != NULL)
		n++;
	harness_write(h, 1000);
	EXPECT_NOTHING(h);
	assert_true(COUNTER(h, no_buffers) >= 1);
	for (unsigned int i = 0; i < n; i++)
		rte_pktmbuf_free(all[i]);
	harness_turn(h);
	EXPECT_PATTERN(EXPECT(h, ACK, 1, 1, 1000));
	harness_ack(h, 1001);
	n = 0;
	while ((all[n] = rte_pktmbuf_alloc(h->indirect)) != NULL)
		n++;
	harness_write(h, 1000);
	EXPECT_NOTHING(h);
	for (unsigned int i = 0; i < n; i++)
		rte_pktmbuf_free(all[i]);
	harness_turn(h);
	EXPECT_PATTERN(EXPECT(h, ACK, 1001, 1, 1000));
}

static const struct CMUnitTest tests[] = {
	TEST_BOTH(bytes_in_order_are_readable_at_once),
	TEST(receive_gives_about_what_is_asked_for),
	TEST_BOTH(scattered_segment_is_read_whole),
	TEST_BOTH(gap_is_reported_and_filled),
	TEST(latest_sack_block_comes_first),
	TEST(peer_without_sack_gets_no_sack_blocks),
	TEST_BOTH(overlapping_pieces_make_one_stream),
	TEST(segment_that_begins_before_the_window_is_trimmed),
	TEST(segment_that_reaches_beyond_the_window_is_truncated),
	TEST(fin_beyond_the_window_is_not_believed),
	TEST_BOTH(duplicate_is_acknowledged_and_dropped),
	TEST(segment_outside_the_window_is_acknowledged_and_dropped),
	TEST_BOTH(lone_segment_is_acknowledged_after_a_delay),
	TEST_BOTH(every_second_full_segment_is_acknowledged),
	TEST(acknowledgement_rides_on_data),
	TEST_BOTH(written_bytes_leave_in_full_segments),
	TEST(partial_acknowledgement_frees_whole_buffers),
	TEST(acknowledgement_of_unsent_bytes_is_not_believed),
	TEST(old_acknowledgement_changes_nothing),
	TEST(segment_without_ack_flag_is_dropped),
	TEST(urgent_data_is_read_in_line),
	TEST(out_of_order_memory_is_bounded),
	TEST(empty_pools_delay_but_lose_nothing),
};

int
main(void)
{
	harness_init("test_data");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
