/* SPDX-License-Identifier: Apache-2.0 */

/*
 * SYN cookies (RFC 4987 section 3.6): past a number of half-open connections a SYN is
 * answered without keeping anything. What the SYN said travels in our initial sequence
 * number and, where the peer does timestamps, in the low bits of ours; the peer's first ACK
 * brings both back.
 *
 *     ISN:        28 bits of SipHash(secret; tuple, peer's ISN, all that follows)
 *                 3 bits of MSS, 1 bit that says which secret
 *     timestamp:  4 bits of our window scale, 1 of ECN, 1 of SACK, 4 of the peer's scale
 *
 * A secret lives for one period and is believed for one more.
 */

#include "tcpstack/tcp_internal.h"

#define PERIOD_US 64000000ull
#define PERIOD_MS 64000u
#define NO_SCALE 15u

#define TS_BITS 10
#define TS_MASK ((1u << TS_BITS) - 1)
#define TS_SACK (1u << 4)
#define TS_ECN (1u << 5)
#define TS_OWN_SHIFT 6
#define NO_TIMESTAMP (1u << TS_BITS) /* in the hash, in place of the bits */

/* The largest that is not above the peer's is taken. */
static const uint16_t mss_table[8] = {TCP_MSS_MIN, 536, 1220, 1360, 1400, 1440, 1460, 8960};

static uint32_t
mss_index(uint16_t mss)
{
	uint32_t i = RTE_DIM(mss_table) - 1;

	while (i > 0 && mss_table[i] > mss)
		i--;
	return i;
}

static void
draw_secret(struct tcp_stack *stack, uint32_t which)
{
	stack->config.random(stack->config.random_ctx, stack->cookies.secret[which],
			     sizeof(stack->cookies.secret[which]));
}

/* Draws the secrets of the periods that have begun since the last call. */
static void
rotate(struct tcp_stack *stack)
{
	struct tcp_cookies *cookies = &stack->cookies;
	uint32_t period = (uint32_t)(stack->now / PERIOD_US) + 1; /* 0: never */
	uint32_t old = cookies->period;

	if (period == old)
		return;
	cookies->period = period;
	draw_secret(stack, period & 1);
	if (old == 0 || period - old != 1)
		draw_secret(stack, !(period & 1));
}

static uint32_t
make_cookie(const struct tcp_stack *stack, const struct tcp_tuple *tuple, uint32_t irs,
	    uint32_t mss, uint32_t ts_bits, uint32_t which)
{
	const uint64_t *secret = stack->cookies.secret[which];
	uint64_t words[3] = {
		tcp_tuple_hash(secret, tuple),
		irs,
		(uint64_t)ts_bits << 3 | mss,
	};
	uint32_t hash = (uint32_t)tcp_siphash(secret, words, RTE_DIM(words));

	return hash << 4 | mss << 1 | which;
}

bool
tcp_cookie_wanted(const struct tcp_stack *stack)
{
	return stack->half_open >= stack->config.max_half_open;
}

/* --- the SYN-ACK ----------------------------------------------------------------------- */

/* The options that the SYN-ACK carries; without timestamps there is no place to keep more
 * than the MSS. */
static uint32_t
choose_bits(const struct tcp_segment *segment, uint32_t room, struct tcp_syn_options *syn)
{
	const struct tcp_options *opt = &segment->opt;
	uint32_t bits = NO_SCALE | NO_SCALE << TS_OWN_SHIFT;

	if (!opt->has_timestamps)
		return NO_TIMESTAMP;
	syn->timestamps = true;
	syn->sack = opt->sack_permitted;
	syn->wscale = opt->has_wscale;
	if (opt->has_wscale) {
		syn->scale = tcp_window_scale(room);
		bits = opt->wscale | (uint32_t)syn->scale << TS_OWN_SHIFT;
	}
	if (opt->sack_permitted)
		bits |= TS_SACK;
	return bits;
}

/* The present time with its low bits replaced, never one in the future: the timestamps of
 * the connection go on from it. */
static uint32_t
timestamp(const struct tcp_stack *stack, const struct tcp_tuple *tuple, uint32_t bits)
{
	uint32_t now = stack->tick + tcp_ts_offset(stack, tuple);
	uint32_t ts = (now & ~TS_MASK) | bits;

	return seq_gt(ts, now) ? ts - (TS_MASK + 1) : ts;
}

void
tcp_cookie_answer(struct tcp_stack *stack, const struct tcp_tuple *tuple,
		  const struct tcp_segment *segment, const struct tcp_conn_config *config)
{
	bool ipv4 = tcp_is_mapped(&tuple->local) && tcp_is_mapped(&tuple->remote);
	uint16_t peer = segment->opt.has_mss ? segment->opt.mss
			: ipv4               ? TCP_MSS_DEFAULT_V4
					     : TCP_MSS_DEFAULT_V6;
	uint32_t room = tcp_config_room(config), bits, which;
	struct tcp_syn_options syn = {.mss = tcp_config_mss(config, ipv4)};
	uint8_t options[TCP_OPTIONS_MAX];
	struct tcp_header header = {
		.ack = segment->seq + 1,
		.flags = TCP_SYN | TCP_ACK,
		.window = (uint16_t)RTE_MIN(room, (uint32_t)UINT16_MAX),
		.options = options,
		.path = config->path,
	};

	rotate(stack);
	which = stack->cookies.period & 1;
	bits = choose_bits(segment, room, &syn);
	if (syn.timestamps && tcp_ecn_asked(stack, segment)) {
		bits |= TS_ECN;
		header.flags |= TCP_ECE;
	}
	if (syn.timestamps) {
		syn.ts_val = timestamp(stack, tuple, bits);
		syn.ts_ecr = segment->opt.ts_val;
	}
	header.options_len = tcp_options_write_syn(&syn, options);
	header.seq = make_cookie(stack, tuple, segment->seq, mss_index(peer), bits, which);
	stack->cookies.sent = true;
	stack->cookies.last_tick = stack->tick;
	stack->counters.cookies_sent++;
	tcp_reply(stack, tuple, &header);
}

/* --- the ACK --------------------------------------------------------------------------- */

static void
restore_options(const struct tcp_segment *segment, uint32_t cookie, uint32_t bits,
		struct tcp_cookie *out)
{
	struct tcp_options *opt = &out->syn.opt;

	out->syn = (struct tcp_segment){.seq = segment->seq - 1, .flags = TCP_SYN};
	opt->has_mss = true;
	opt->mss = mss_table[cookie >> 1 & 7];
	out->isn = cookie;
	out->scale = 0;
	if (bits == NO_TIMESTAMP)
		return;
	opt->has_timestamps = true;
	opt->ts_val = segment->opt.ts_val;
	opt->sack_permitted = bits & TS_SACK;
	if (bits & TS_ECN)
		out->syn.flags |= TCP_ECE | TCP_CWR;
	opt->has_wscale = (bits & NO_SCALE) != NO_SCALE;
	if (opt->has_wscale) {
		opt->wscale = bits & NO_SCALE;
		out->scale = bits >> TS_OWN_SHIFT;
	}
}

bool
tcp_cookie_check(struct tcp_stack *stack, const struct tcp_tuple *tuple,
		 const struct tcp_segment *segment, struct tcp_cookie *out)
{
	uint32_t cookie = segment->ack - 1, bits = NO_TIMESTAMP;

	if ((segment->flags & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_ACK)
		return false;
	if (!stack->cookies.sent)
		return false;
	/* None is out that is still good: a guess is not even looked at. */
	if (stack->tick - stack->cookies.last_tick > 2 * PERIOD_MS) {
		stack->cookies.sent = false;
		return false;
	}
	rotate(stack);
	if (segment->opt.has_timestamps)
		bits = segment->opt.ts_ecr & TS_MASK;
	if (make_cookie(stack, tuple, segment->seq - 1, cookie >> 1 & 7, bits, cookie & 1) !=
	    cookie)
		return false;
	restore_options(segment, cookie, bits, out);
	return true;
}
