/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How many challenge ACKs go out (RFC 5961 section 7). A limit that connections share tells a
 * blind attacker about connections that are not his: he spends it on one of his own and sees
 * whether somebody else's took a part (CVE-2016-5696). So each connection has a limit of its
 * own, which is what counts; the stack's is there for the sum and differs from second to
 * second by more than the attacker's share.
 */

#include "tcpstack/tcp_internal.h"

#define DEFAULT_PER_SECOND 1000u

bool
tcp_challenge_allowed(struct tcp_conn *conn)
{
	struct tcp_cold *cold = tcp_cold(conn);
	uint32_t tick = conn->stack->tick;

	if (tick - cold->challenge_tick >= 1000) {
		cold->challenge_tick = tick;
		cold->challenges = 0;
	}
	if (cold->challenges >= TCP_CHALLENGES_PER_SECOND)
		return false;
	cold->challenges++;
	return true;
}

/* Half the limit and a random part of the whole. */
static uint32_t
draw_budget(struct tcp_stack *stack)
{
	uint32_t limit = stack->config.max_challenges, random;

	if (limit == 0)
		limit = DEFAULT_PER_SECOND;
	stack->config.random(stack->config.random_ctx, &random, sizeof(random));
	return limit / 2 + (uint32_t)((uint64_t)random * limit >> 32) + 1;
}

static bool
stack_allows(struct tcp_stack *stack)
{
	if (!stack->challenge_drawn || stack->tick - stack->challenge_tick >= 1000) {
		stack->challenge_drawn = true;
		stack->challenge_tick = stack->tick;
		stack->challenge_left = draw_budget(stack);
	}
	if (stack->challenge_left == 0)
		return false;
	stack->challenge_left--;
	return true;
}

void
tcp_challenge(struct tcp_conn *conn)
{
	if (!tcp_challenge_allowed(conn) || !stack_allows(conn->stack)) {
		conn->stack->counters.challenge_limited++;
		return;
	}
	conn->stack->counters.challenge_acks++;
	tcp_conn_ack_now(conn);
}
