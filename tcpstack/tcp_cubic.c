/* SPDX-License-Identifier: Apache-2.0 */

/* CUBIC (RFC 9438): the congestion window. Section numbers are the RFC's. */

#include <math.h>

#include "tcpstack/tcp_internal.h"

#define CUBIC_C 0.4f
#define CUBIC_BETA 0.7f
/* Section 4.3: as Reno with this decrease factor would grow. */
#define CUBIC_ALPHA (3.0f * (1.0f - CUBIC_BETA) / (1.0f + CUBIC_BETA))
#define CWND_MAX TCP_ROOM_MAX

/* RFC 6928 section 2 */
uint32_t
tcp_initial_window(uint32_t mss)
{
	return RTE_MIN(10 * mss, RTE_MAX(2 * mss, 14600u));
}

void
tcp_cubic_init(struct tcp_conn *conn)
{
	struct tcp_cold *cold = tcp_cold(conn);

	memset(&cold->cubic, 0, sizeof(cold->cubic));
	cold->ssthresh = UINT32_MAX;
	conn->cwnd = tcp_initial_window(conn->mss);
}

/* Section 4.2: where the curve stands when congestion avoidance begins. */
static void
begin_epoch(struct tcp_conn *conn, struct tcp_cubic *cubic, float cwnd)
{
	cubic->epoch = conn->stack->now;
	if (cwnd < cubic->w_max) {
		cubic->k = cbrtf((cubic->w_max - cwnd) / CUBIC_C);
		cubic->origin = cubic->w_max;
	} else {
		cubic->k = 0;
		cubic->origin = cwnd;
	}
	cubic->w_est = cwnd;
}

static float
cubic_window(const struct tcp_cubic *cubic, float t)
{
	float x = t - cubic->k;

	return cubic->origin + CUBIC_C * x * x * x;
}

/* Sections 4.2 to 4.5; `acked` and the result in segments. */
static float
congestion_avoidance(struct tcp_conn *conn, float acked, float cwnd)
{
	struct tcp_cold *cold = tcp_cold(conn);
	struct tcp_cubic *cubic = &cold->cubic;
	float t, target, alpha;

	if (cubic->epoch == 0)
		begin_epoch(conn, cubic, cwnd);
	t = (float)(conn->stack->now - cubic->epoch) * 1e-6f;
	alpha = cubic->w_est < cubic->cwnd_prior ? CUBIC_ALPHA : 1.0f;
	cubic->w_est += alpha * acked / cwnd;
	if (cubic_window(cubic, t) < cubic->w_est)
		return RTE_MAX(cwnd, cubic->w_est);
	target = cubic_window(cubic, t + (float)cold->srtt_us * 1e-6f);
	target = RTE_MIN(RTE_MAX(target, cwnd), 1.5f * cwnd);
	return cwnd + (target - cwnd) * acked / cwnd;
}

void
tcp_cubic_ack(struct tcp_conn *conn, uint32_t acked)
{
	struct tcp_cold *cold = tcp_cold(conn);
	uint32_t slow = 0;

	if (conn->cwnd < cold->ssthresh) {
		slow = RTE_MIN(acked, cold->ssthresh - conn->cwnd);
		conn->cwnd += slow;
		acked -= slow;
	}
	if (acked != 0) {
		float mss = conn->mss;
		float cwnd =
			congestion_avoidance(conn, (float)acked / mss, (float)conn->cwnd / mss);

		conn->cwnd = (uint32_t)RTE_MIN(cwnd * mss, (float)CWND_MAX);
	}
	conn->cwnd = RTE_MIN(conn->cwnd, CWND_MAX);
}

/* Sections 4.6 and 4.7 */
void
tcp_cubic_loss(struct tcp_conn *conn)
{
	struct tcp_cold *cold = tcp_cold(conn);
	struct tcp_cubic *cubic = &cold->cubic;
	float cwnd = (float)conn->cwnd / (float)conn->mss;

	cubic->cwnd_prior = cwnd;
	if (cwnd < cubic->w_max) /* fast convergence */
		cubic->w_max = cwnd * (1.0f + CUBIC_BETA) / 2;
	else
		cubic->w_max = cwnd;
	cubic->epoch = 0;
	cold->ssthresh = RTE_MAX((uint32_t)((float)conn->cwnd * CUBIC_BETA), 2u * conn->mss);
}

/* Halves the window for each timeout's worth of silence, not below the restart window
 * (RFC 5681 section 4.1, RFC 2861). Section 5.8: time without data is no growth. */
void
tcp_cubic_restart(struct tcp_conn *conn, uint32_t idle_ms)
{
	struct tcp_cold *cold = tcp_cold(conn);
	uint32_t least = RTE_MIN(tcp_initial_window(conn->mss), conn->cwnd);
	uint32_t rto_ms = RTE_MAX(cold->rto_us / 1000, 1u);

	if (idle_ms < rto_ms)
		return;
	cold->ssthresh = RTE_MAX(cold->ssthresh, conn->cwnd / 4 * 3);
	for (; idle_ms >= rto_ms && conn->cwnd > least; idle_ms -= rto_ms)
		conn->cwnd /= 2;
	conn->cwnd = RTE_MAX(conn->cwnd, least);
	cold->cubic.epoch = 0;
}
