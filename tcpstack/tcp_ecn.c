/* SPDX-License-Identifier: Apache-2.0 */

/* Explicit congestion notification (RFC 3168; section numbers are that RFC's). */

#include "tcpstack/tcp_internal.h"

#define CE 3
#define SETUP (TCP_ECE | TCP_CWR)

/* Section 6.1.1.1: a SYN that has to be repeated goes without, for the sake of middleboxes
 * that drop what they do not know. */
uint8_t
tcp_ecn_syn_flags(const struct tcp_conn *conn)
{
	if (conn->state != TCP_SYN_SENT)
		return tcp_cold(conn)->ecn & TCP_ECN_F_OK ? TCP_ECE : 0;
	if (conn->stack->config.ecn != TCP_ECN_ON || conn->flags & TCP_F_SYN_RETRANSMITTED)
		return 0;
	return SETUP;
}

/* Section 6.1.1. A SYN that is marked itself does not come from somebody who keeps to RFC
 * 3168; since RFC 8311 section 4.3 it may mean anything, and is answered without ECN. */
bool
tcp_ecn_asked(const struct tcp_stack *stack, const struct tcp_segment *syn)
{
	return stack->config.ecn != TCP_ECN_OFF && (syn->flags & SETUP) == SETUP && syn->ecn == 0;
}

/* Both flags in a SYN-ACK: the peer gives back what it got (section 6.1.1). In a simultaneous
 * open neither side can know what the other's last SYN said: no ECN. */
void
tcp_ecn_negotiate(struct tcp_conn *conn, const struct tcp_segment *segment)
{
	struct tcp_cold *cold = tcp_cold(conn);
	bool ack = segment->flags & TCP_ACK;

	if (conn->flags & TCP_F_ACTIVE) {
		if (!ack || (segment->flags & SETUP) != TCP_ECE ||
		    conn->stack->config.ecn != TCP_ECN_ON)
			return;
		cold->ecn = TCP_ECN_F_OK;
		/* Who has sent a SYN without must not send ECT, but echoes (section 6.1.1). */
		if (!(conn->flags & TCP_F_SYN_RETRANSMITTED))
			cold->ecn |= TCP_ECN_F_ECT;
	} else if (tcp_ecn_asked(conn->stack, segment)) {
		cold->ecn = TCP_ECN_F_OK | TCP_ECN_F_ECT;
	}
}

void
tcp_ecn_syn_again(struct tcp_conn *conn, const struct tcp_segment *segment)
{
	if ((segment->flags & SETUP) != SETUP)
		tcp_cold(conn)->ecn &= ~TCP_ECN_F_ECT;
}

/* Section 6.1.3: from CE on every ACK says so, until the peer has reduced its window. */
void
tcp_ecn_data(struct tcp_conn *conn, const struct tcp_segment *segment)
{
	struct tcp_cold *cold = tcp_cold(conn);

	if (!(cold->ecn & TCP_ECN_F_OK) || segment->len == 0)
		return;
	if (segment->flags & TCP_CWR)
		cold->ecn &= ~TCP_ECN_F_ECHO;
	if (segment->ecn != CE)
		return;
	conn->stack->counters.ecn_marked++;
	if (cold->ecn & TCP_ECN_F_ECHO)
		return;
	cold->ecn |= TCP_ECN_F_ECHO;
	tcp_conn_ack_now(conn);
}

bool
tcp_ecn_is_echo(const struct tcp_conn *conn, const struct tcp_segment *segment)
{
	return (segment->flags & (TCP_ECE | TCP_SYN)) == TCP_ECE &&
	       tcp_cold(conn)->ecn & TCP_ECN_F_ECT;
}

/* Section 6.1.2: as for a loss, but nothing is to be sent again, and once for each window of
 * data, whether ECN or a loss told. */
void
tcp_ecn_echoed(struct tcp_conn *conn)
{
	struct tcp_cold *cold = tcp_cold(conn);

	if (cold->recovery != TCP_OPEN) {
		cold->ecn |= TCP_ECN_F_CWR; /* the loss has reduced it */
		return;
	}
	if (cold->ecn & TCP_ECN_F_REDUCED && seq_lt(conn->snd_una, cold->ecn_recover))
		return;
	tcp_cubic_loss(conn);
	conn->cwnd = RTE_MIN(conn->cwnd, cold->ssthresh);
	cold->ecn |= TCP_ECN_F_CWR | TCP_ECN_F_REDUCED;
	cold->ecn_recover = conn->snd_nxt;
	conn->stack->counters.ecn_reductions++;
}

/* Sections 6.1.4 to 6.1.6: ACKs, retransmissions and probes are not ECN-capable. */
void
tcp_ecn_mark(const struct tcp_conn *conn, bool new_data, struct tcp_header *header)
{
	uint8_t ecn = tcp_cold(conn)->ecn;

	if (header->flags & (TCP_SYN | TCP_RST))
		return;
	if (ecn & TCP_ECN_F_ECHO)
		header->flags |= TCP_ECE;
	if (!new_data)
		return;
	if (ecn & TCP_ECN_F_ECT)
		header->ecn = TCP_ECT_0;
	if (ecn & TCP_ECN_F_CWR)
		header->flags |= TCP_CWR;
}
