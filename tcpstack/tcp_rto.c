/* SPDX-License-Identifier: Apache-2.0 */

/* Round-trip times and the retransmission timer (RFC 6298). */

#include "tcpstack/tcp_internal.h"

#define BACKOFF_MAX 12

/* RFC 6298 section 2. The floor stands under the variance term, not under the sum: a peer
 * that delays its ACKs by 200 ms must not look like a loss. */
void
tcp_rtt_sample(struct tcp_conn *conn, uint32_t rtt_us)
{
	struct tcp_cold *cold = tcp_cold(conn);
	uint32_t delta;

	rtt_us = RTE_MIN(RTE_MAX(rtt_us, 1u), TCP_RTO_MAX_US);
	if (cold->srtt_us == 0) {
		cold->srtt_us = rtt_us;
		cold->rttvar_us = rtt_us / 2;
	} else {
		delta = rtt_us > cold->srtt_us ? rtt_us - cold->srtt_us : cold->srtt_us - rtt_us;
		cold->rttvar_us = (3 * cold->rttvar_us + delta) / 4;
		cold->srtt_us = RTE_MAX((7 * cold->srtt_us + rtt_us) / 8, 1u);
	}
	cold->rto_us = cold->srtt_us + RTE_MAX(4 * cold->rttvar_us, TCP_RTO_VAR_MIN_US);
	cold->rto_us = RTE_MIN(cold->rto_us, TCP_RTO_MAX_US);
	cold->backoff = 0;
}

uint32_t
tcp_rto(const struct tcp_conn *conn)
{
	const struct tcp_cold *cold = tcp_cold(conn);
	uint64_t rto = (uint64_t)cold->rto_us << cold->backoff;

	return (uint32_t)RTE_MIN(rto, (uint64_t)TCP_RTO_MAX_US);
}

void
tcp_rto_start(struct tcp_conn *conn)
{
	tcp_timer_set_us(conn, TCP_TIMER_REXMT, tcp_rto(conn));
}

/* Karn's algorithm: a segment that is sent twice times nothing. */
void
tcp_rtt_cancel(struct tcp_conn *conn, uint32_t seq)
{
	if (conn->flags & TCP_F_RTT_TIMED && seq_lt(seq, tcp_cold(conn)->rtt_seq))
		conn->flags &= ~TCP_F_RTT_TIMED;
}

static void
back_off(struct tcp_conn *conn)
{
	struct tcp_cold *cold = tcp_cold(conn);

	if (cold->backoff < BACKOFF_MAX)
		cold->backoff++;
	tcp_rto_start(conn);
}

static void
syn_expired(struct tcp_conn *conn)
{
	conn->stack->counters.timeouts++;
	conn->flags |= TCP_F_SEND_SYN | TCP_F_SYN_RETRANSMITTED;
	conn->flags &= ~TCP_F_RTT_TIMED;
	tcp_cold(conn)->retransmits++;
	tcp_cold(conn)->total_retransmits++;
	conn->stack->counters.retransmits++;
}

/* Nothing is in flight: the window is closed, or too small to be worth a segment so far
 * (RFC 9293 sections 3.8.6.1 and 3.8.6.2.1). */
static void
window_expired(struct tcp_conn *conn)
{
	if (conn->snd_wnd > 0) {
		conn->flags |= TCP_F_SWS_OVERRIDE;
	} else {
		conn->flags |= TCP_F_SEND_PROBE;
		conn->stack->counters.zero_window_probes++;
	}
}

void
tcp_rto_expired(struct tcp_conn *conn)
{
	bool unsent = conn->snd_nxt != conn->snd_end ||
		      (conn->flags & (TCP_F_FIN_QUEUED | TCP_F_FIN_SENT)) == TCP_F_FIN_QUEUED;

	if (conn->state == TCP_SYN_SENT || conn->state == TCP_SYN_RECEIVED) {
		syn_expired(conn);
	} else if (tcp_in_flight(conn) > 0) {
		conn->stack->counters.timeouts++;
		conn->flags &= ~TCP_F_RTT_TIMED;
		tcp_recovery_timeout(conn);
	} else if (unsent) {
		window_expired(conn);
	} else {
		return;
	}
	back_off(conn);
	tcp_conn_want_output(conn);
}
