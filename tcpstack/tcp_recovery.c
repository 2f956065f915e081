/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Loss: when it is seen, and the window while it is repaired. RFC 6675 with SACK, RFC 6582
 * (NewReno) without; during recovery the window is that of RFC 6937 (proportional rate
 * reduction), after a timeout that of slow start.
 */

#include "tcpstack/tcp_internal.h"

static void
enter(struct tcp_conn *conn)
{
	struct tcp_cold *cold = tcp_cold(conn);

	tcp_cubic_loss(conn);
	cold->recovery = TCP_RECOVERY;
	cold->recover = conn->snd_nxt;
	cold->prr_delivered = 0;
	cold->prr_out = 0;
	cold->prr_flight = RTE_MAX(tcp_in_flight(conn), 1u);
	conn->flags |= TCP_F_FORCE_RTX;
	conn->stack->counters.fast_retransmits++;
}

static void
leave(struct tcp_conn *conn)
{
	struct tcp_cold *cold = tcp_cold(conn);

	if (cold->recovery == TCP_RECOVERY)
		conn->cwnd = cold->ssthresh;
	cold->recovery = TCP_OPEN;
	conn->dup_acks = 0;
	if (!(conn->flags & TCP_F_SACK))
		tcp_sack_clear(conn);
}

/* RFC 6937 section 3, with the slow-start reduction bound. */
static void
proportional_rate(struct tcp_conn *conn, uint32_t delivered)
{
	struct tcp_cold *cold = tcp_cold(conn);
	uint32_t pipe = tcp_sack_pipe(conn), send;

	cold->prr_delivered += delivered;
	if (pipe > cold->ssthresh) {
		uint64_t share =
			((uint64_t)cold->prr_delivered * cold->ssthresh + cold->prr_flight - 1) /
			cold->prr_flight;

		send = share > cold->prr_out ? (uint32_t)share - cold->prr_out : 0;
	} else {
		uint32_t owed = cold->prr_delivered > cold->prr_out
					? cold->prr_delivered - cold->prr_out
					: 0;

		send = RTE_MIN(cold->ssthresh - pipe, RTE_MAX(owed, delivered) + conn->mss);
	}
	if (cold->prr_out == 0)
		send = RTE_MAX(send, (uint32_t)conn->mss); /* the fast retransmission itself */
	conn->cwnd = pipe + send;
}

/* Without SACK a duplicate ACK stands for one segment delivered; an advance first uses up
 * those that were counted. Returns the bytes delivered. */
static uint32_t
infer_delivered(struct tcp_conn *conn, const struct tcp_ack_news *news)
{
	struct tcp_cold *cold = tcp_cold(conn);
	uint32_t segments;

	if (news->duplicate && cold->recovery != TCP_LOSS) {
		conn->dup_acks += conn->dup_acks < UINT8_MAX;
		return conn->mss;
	}
	if (news->acked == 0)
		return 0;
	if (cold->recovery == TCP_OPEN) {
		conn->dup_acks = 0;
		return news->acked;
	}
	segments = news->acked / conn->mss;
	segments = RTE_MIN(segments > 0 ? segments - 1 : 0, (uint32_t)conn->dup_acks);
	conn->dup_acks -= segments;
	return news->acked - segments * conn->mss;
}

static bool
loss_seen(struct tcp_conn *conn)
{
	if (conn->flags & TCP_F_SACK)
		return tcp_sack_detect(conn);
	/* RFC 6582 section 3.2, step 2: not for what an earlier recovery resent. */
	if (conn->dup_acks < TCP_DUP_THRESH || seq_le(conn->snd_una, tcp_cold(conn)->recover))
		return false;
	tcp_sack_lose_first(conn);
	return true;
}

static void
open_ack(struct tcp_conn *conn, const struct tcp_ack_news *news, uint32_t delivered)
{
	if (loss_seen(conn)) {
		enter(conn);
		proportional_rate(conn, delivered);
	} else if (news->acked > 0 && conn->flags & TCP_F_CWND_LIMITED) {
		tcp_cubic_ack(conn, news->acked);
	}
}

void
tcp_recovery_ack(struct tcp_conn *conn, const struct tcp_ack_news *news)
{
	struct tcp_cold *cold = tcp_cold(conn);
	uint32_t delivered = news->delivered;

	if (!(conn->flags & TCP_F_SACK))
		delivered = infer_delivered(conn, news);
	if (cold->recovery != TCP_OPEN && seq_ge(conn->snd_una, cold->recover))
		leave(conn);
	/* Or it would be ahead again when the sequence space has gone half round. */
	if (cold->recovery == TCP_OPEN && seq_gt(conn->snd_una - 1, cold->recover))
		cold->recover = conn->snd_una - 1;
	switch (cold->recovery) {
	case TCP_OPEN:
		open_ack(conn, news, delivered);
		break;
	case TCP_RECOVERY:
		if (conn->flags & TCP_F_SACK)
			tcp_sack_detect(conn);
		else if (news->acked > 0)
			tcp_sack_lose_first(conn); /* a partial ACK, RFC 6582 section 3.2 */
		proportional_rate(conn, delivered);
		break;
	case TCP_LOSS:
		if (conn->flags & TCP_F_SACK)
			tcp_sack_detect(conn);
		if (news->acked > 0)
			tcp_cubic_ack(conn, news->acked);
		break;
	}
}

/* RFC 5681 section 3.1: ssthresh falls once for a loss however often the timer expires. */
void
tcp_recovery_timeout(struct tcp_conn *conn)
{
	struct tcp_cold *cold = tcp_cold(conn);

	if (cold->recovery != TCP_LOSS)
		tcp_cubic_loss(conn);
	cold->recovery = TCP_LOSS;
	cold->recover = conn->snd_nxt;
	conn->cwnd = conn->mss;
	conn->dup_acks = 0;
	tcp_sack_lose_all(conn);
	conn->flags |= TCP_F_FORCE_RTX;
}
