/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/tcpstack/inside.h"

/* A copy that ends where the heap block ends, for AddressSanitizer to see an over-read. */
static struct tcp_options
parse(const uint8_t *data, size_t len, bool syn)
{
	uint8_t *copy = malloc(len != 0 ? len : 1);
	struct tcp_options opt;

	assert_non_null(copy);
	memcpy(copy, data, len);
	tcp_options_parse(copy, len, syn, &opt);
	free(copy);
	return opt;
}

static const uint8_t linux_syn[] = {2, 4, 0x05, 0xb4, 4, 2, 8, 10, 1, 2,
				    3, 4, 0,    0,    0, 0, 1, 3,  3, 7};

static void
syn_of_linux_is_understood(void **state)
{
	struct tcp_options opt = parse(linux_syn, sizeof(linux_syn), true);

	assert_true(opt.has_mss && opt.sack_permitted && opt.has_timestamps && opt.has_wscale);
	assert_int_equal(opt.mss, 1460);
	assert_int_equal(opt.wscale, 7);
	assert_int_equal(opt.ts_val, 0x01020304);
	assert_int_equal(opt.ts_ecr, 0);
	assert_false(opt.broken);
}

static void
syn_options_count_on_a_syn_only(void **state)
{
	struct tcp_options opt = parse(linux_syn, sizeof(linux_syn), false);

	assert_false(opt.has_mss || opt.sack_permitted || opt.has_wscale);
	assert_true(opt.has_timestamps);
}

static void
block_cut_anywhere_keeps_what_came_before(void **state)
{
	for (size_t len = 0; len <= sizeof(linux_syn); len++) {
		struct tcp_options opt = parse(linux_syn, len, true);

		assert_int_equal(opt.has_mss, len >= 4);
		assert_int_equal(opt.sack_permitted, len >= 6);
		assert_int_equal(opt.has_timestamps, len >= 16);
		assert_int_equal(opt.has_wscale, len >= 20);
		assert_int_equal(opt.broken, len != 0 && len != 4 && len != 6 && len != 16 &&
						     len != 17 && len != 20);
	}
}

static void
length_of_zero_or_one_ends_the_parsing(void **state)
{
	const uint8_t zero[] = {99, 0, 3, 3, 7, 1}, one[] = {99, 1, 3, 3, 7, 1};

	assert_true(parse(zero, sizeof(zero), true).broken);
	assert_false(parse(zero, sizeof(zero), true).has_wscale);
	assert_true(parse(one, sizeof(one), true).broken);
}

static void
unknown_options_and_wrong_lengths_are_passed_over(void **state)
{
	const uint8_t data[] = {254, 4, 1, 2, 2, 3, 9, 8, 4, 1, 1, 3, 3, 5};
	struct tcp_options opt = parse(data, sizeof(data), true);

	assert_false(opt.broken || opt.has_mss || opt.has_timestamps);
	assert_true(opt.has_wscale);
	assert_int_equal(opt.wscale, 5);
}

static void
scale_over_fourteen_is_fourteen(void **state)
{
	const uint8_t data[] = {3, 3, 200};

	assert_int_equal(parse(data, sizeof(data), true).wscale, 14);
}

static void
nothing_is_read_behind_the_end_of_options(void **state)
{
	const uint8_t data[] = {1, 0, 3, 3, 7, 99};
	struct tcp_options opt = parse(data, sizeof(data), true);

	assert_false(opt.has_wscale || opt.broken);
}

static void
sack_blocks_are_read_up_to_four(void **state)
{
	uint8_t data[40] = {5, 34};
	struct tcp_options opt;

	for (uint8_t i = 0; i < 32; i++)
		data[2 + i] = i;
	opt = parse(data, 34, false);
	assert_int_equal(opt.n_sack, 4);
	assert_int_equal(opt.sack[0].start, 0x00010203);
	assert_int_equal(opt.sack[3].end, 0x1c1d1e1f);
	data[1] = 33; /* no whole number of blocks */
	assert_int_equal(parse(data, 34, false).n_sack, 0);
	data[1] = 2;
	assert_int_equal(parse(data, 2, false).n_sack, 0);
}

static void
what_we_write_we_read(void **state)
{
	struct inside *in = *state;
	struct tcp_cold *cold = tcp_cold(in->conn);
	uint8_t out[TCP_OPTIONS_MAX];
	struct tcp_options opt;
	uint8_t len;

	in->conn->state = TCP_SYN_SENT;
	len = tcp_options_syn(in->conn, out);
	assert_int_equal(len % 4, 0);
	opt = parse(out, len, true);
	assert_true(opt.has_mss && opt.has_wscale && opt.has_timestamps && opt.sack_permitted);
	assert_int_equal(opt.mss, 1460);
	assert_int_equal(opt.wscale, in->conn->rcv_wscale);

	in->conn->state = TCP_ESTABLISHED;
	in->conn->flags |= TCP_F_TIMESTAMPS | TCP_F_DSACK;
	cold->dsack = (struct tcp_range){10, 20};
	cold->n_sack = 4;
	cold->sack[0] = (struct tcp_range){100, 200};
	cold->sack[1] = (struct tcp_range){300, 400};
	len = tcp_options_plain(in->conn, out);
	assert_int_equal(len, TCP_TS_OPTION_LEN + tcp_options_sack_len(in->conn));
	assert_int_equal(len, TCP_OPTIONS_MAX);
	opt = parse(out, len, false);
	assert_int_equal(opt.n_sack, 3);
	assert_int_equal(opt.sack[0].start, 10); /* RFC 2883: the duplicate comes first */
	assert_int_equal(opt.sack[1].start, 100);
	assert_int_equal(opt.sack[2].end, 400);
}

static void
syn_ack_offers_only_what_the_syn_did(void **state)
{
	struct inside *in = *state;
	uint8_t out[TCP_OPTIONS_MAX];
	struct tcp_options opt;

	in->conn->state = TCP_SYN_RECEIVED;
	in->conn->flags &= ~TCP_F_SACK;
	opt = parse(out, tcp_options_syn(in->conn, out), true);
	assert_true(opt.has_mss);
	assert_false(opt.has_wscale || opt.has_timestamps || opt.sack_permitted);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(syn_of_linux_is_understood),
		cmocka_unit_test(syn_options_count_on_a_syn_only),
		cmocka_unit_test(block_cut_anywhere_keeps_what_came_before),
		cmocka_unit_test(length_of_zero_or_one_ends_the_parsing),
		cmocka_unit_test(unknown_options_and_wrong_lengths_are_passed_over),
		cmocka_unit_test(scale_over_fourteen_is_fourteen),
		cmocka_unit_test(nothing_is_read_behind_the_end_of_options),
		cmocka_unit_test(sack_blocks_are_read_up_to_four),
		cmocka_unit_test_setup_teardown(what_we_write_we_read, inside_setup,
						inside_teardown),
		cmocka_unit_test_setup_teardown(syn_ack_offers_only_what_the_syn_did, inside_setup,
						inside_teardown),
	};

	inside_init("test_options");
	return inside_run(tests, RTE_DIM(tests));
}
