/* SPDX-License-Identifier: Apache-2.0 */

/* What ICMP says about our segments, as far as RFC 5927 lets us believe it. */

#include "tcpstack/tcp_internal.h"

#define MTU_MIN_V4 296  /* below this a next hop is not believed (RFC 5927 section 7.2) */
#define MTU_MIN_V6 1280 /* RFC 8200 section 5 */

/* RFC 1191 section 7: old routers tell no MTU; the next lower plateau is tried. */
static uint16_t
plateau_below(uint32_t mtu)
{
	static const uint16_t plateau[] = {32000, 17914, 8166, 4352, 2002, 1492, 1006, 508};

	for (uint32_t i = 0; i < RTE_DIM(plateau); i++)
		if (plateau[i] < mtu)
			return plateau[i];
	return MTU_MIN_V4;
}

static void
reduce_mss(struct tcp_conn *conn, uint16_t mtu)
{
	struct tcp_cold *cold = tcp_cold(conn);
	bool ipv4 = conn->flags & TCP_F_IPV4;
	uint16_t headers = ipv4 ? 40 : 60;
	uint16_t options = conn->flags & TCP_F_TIMESTAMPS ? TCP_TS_OPTION_LEN : 0;
	uint16_t mss;

	if (mtu == 0)
		mtu = plateau_below((uint32_t)conn->mss + options + headers);
	mtu = RTE_MAX(mtu, ipv4 ? MTU_MIN_V4 : MTU_MIN_V6);
	mss = mtu - headers - options;
	if (mss >= conn->mss)
		return;
	conn->mss = mss;
	cold->path_mss = RTE_MIN(cold->path_mss, (uint16_t)(mtu - headers));
	if (!tcp_synchronized(conn) || tcp_in_flight(conn) == 0)
		return;
	/* What is in flight was too big. It is resent smaller; the window is not to blame
	 * (RFC 1191 section 6.4). */
	tcp_sack_lose_all(conn);
	if (cold->recovery == TCP_OPEN) {
		cold->recovery = TCP_LOSS;
		cold->recover = conn->snd_nxt;
	}
	conn->flags &= ~TCP_F_RTT_TIMED;
	conn->flags |= TCP_F_FORCE_RTX;
	tcp_conn_want_output(conn);
}

static void
unreachable(struct tcp_conn *conn, enum tcp_icmp kind)
{
	/* RFC 5927 section 4.1: soft on a connection that once worked. */
	if (conn->state != TCP_SYN_SENT)
		return;
	if (kind == TCP_ICMP_HARD)
		tcp_conn_fail(conn, TCP_E_UNREACHABLE);
	else
		conn->flags |= TCP_F_SOFT_ERROR;
}

void
tcp_icmp_error(struct tcp_stack *stack, const struct tcp_tuple *tuple, uint32_t seq,
	       enum tcp_icmp kind, uint16_t mtu, uint64_t now)
{
	uint32_t index;
	struct tcp_conn *conn;

	tcp_clock(stack, now);
	index = tcp_table_find(&stack->table, tuple, tcp_table_hash(&stack->table, tuple));
	if (index == TCP_NONE || index & TCP_INDEX_TIME_WAIT)
		return;
	conn = &stack->conns[index];
	if (seq_lt(seq, conn->snd_una) || seq_ge(seq, conn->snd_nxt))
		return;
	if (kind == TCP_ICMP_TOO_BIG)
		reduce_mss(conn, mtu);
	else
		unreachable(conn, kind);
	tcp_conn_reap(conn);
}
