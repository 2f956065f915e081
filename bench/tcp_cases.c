/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/tcp_cases.h"

#include <stdlib.h>

#include <rte_cycles.h>
#include <rte_tcp.h>

#include "tcpstack/tcp_internal.h"

/* Turns that are timed together when there is one connection. */
#define TURNS 16
/* Long enough for the stack to acknowledge at once again (TCP_QUICK_IDLE_MS). */
#define PAUSE_US 1100000

static uint64_t cycles;
static uint64_t clock_cost;

/* The name is known to callgrind. */
__rte_noinline void tcp_case_step(void (*step)(struct lab *lab), struct lab *lab);

__rte_noinline void
tcp_case_step(void (*step)(struct lab *lab), struct lab *lab)
{
	step(lab);
}

static void
timed(void (*step)(struct lab *lab), struct lab *lab)
{
	uint64_t start = rte_rdtsc_precise();

	tcp_case_step(step, lab);
	cycles += rte_rdtsc_precise() - start - clock_cost;
}

uint64_t
bench_cycles(void)
{
	return cycles;
}

static void
nothing(struct lab *lab)
{
}

void
bench_calibrate(void)
{
	uint64_t least = UINT64_MAX;

	clock_cost = 0;
	for (int i = 0; i < 10000; i++) {
		cycles = 0;
		timed(nothing, NULL);
		least = RTE_MIN(least, cycles);
	}
	clock_cost = least;
}

/* --- data in, ACK out ------------------------------------------------------------------ */

/* What a caller does with a burst, as tcp.h draws it. */
static void
receive_turn(struct lab *lab, struct rte_mbuf **in, uint16_t n)
{
	struct rte_mbuf *strangers[LAB_BURST];
	struct tcp_event events[LAB_BURST];
	uint16_t n_events;

	tcp_input(lab->stack, in, n, lab->now, strangers);
	tcp_timers(lab->stack, lab->now);
	n_events = tcp_events(lab->stack, events, LAB_BURST);
	for (uint16_t i = 0; i < n_events; i++) {
		lab->taken[lab->n_taken++] = tcp_receive(events[i].conn, UINT32_MAX);
		tcp_set_room(events[i].conn, LAB_ROOM, lab->now);
	}
	lab->n_out += tcp_output(lab->stack, lab->now, lab->out + lab->n_out, 2 * LAB_BURST);
}

static void
receive_burst(struct lab *lab)
{
	receive_turn(lab, lab->in, lab->n_in);
}

static void
receive_one_by_one(struct lab *lab)
{
	for (uint16_t i = 0; i < lab->n_in; i++) {
		receive_turn(lab, &lab->in[i], 1);
		lab->now += PAUSE_US;
	}
}

static void
data_from(struct lab *lab, struct peer *peer)
{
	lab_segment(lab, peer, RTE_TCP_ACK_FLAG, LAB_SEGMENT);
	peer->snd_nxt += LAB_SEGMENT;
}

static uint32_t
receive_batch(struct lab *lab)
{
	uint16_t n = lab->n == 1 ? TURNS : LAB_BURST;

	for (uint16_t i = 0; i < n; i++)
		data_from(lab, lab_next(lab));
	timed(n == LAB_BURST ? receive_burst : receive_one_by_one, lab);
	lab_check(lab->n_out == n, "a segment without an ACK of its own");
	lab_clear(lab);
	/* Every connection is quiet for more than a second before its next segment. */
	if (lab->at + LAB_BURST > lab->n)
		lab->now += PAUSE_US;
	return n;
}

/* A burst of one connection, which is acknowledged once. */
static uint32_t
bulk_batch(struct lab *lab)
{
	struct peer *peer = lab_next(lab);

	for (uint16_t i = 0; i < LAB_BURST; i++)
		data_from(lab, peer);
	timed(receive_burst, lab);
	lab_check(lab->n_out == 1 && lab->n_taken == 1, "a burst is acknowledged once");
	lab_clear(lab);
	return LAB_BURST;
}

/* --- data out, ACK in ------------------------------------------------------------------ */

static struct tcp_conn *senders[LAB_BURST];
static struct rte_mbuf *payloads[LAB_BURST];
static uint16_t n_senders;

static void
send_burst(struct lab *lab)
{
	tcp_timers(lab->stack, lab->now);
	for (uint16_t i = 0; i < n_senders; i++)
		tcp_send(senders[i], payloads[i]);
	lab->n_out = tcp_output(lab->stack, lab->now, lab->out, 2 * LAB_BURST);
}

static void
send_one_by_one(struct lab *lab)
{
	for (uint16_t i = 0; i < n_senders; i++) {
		tcp_timers(lab->stack, lab->now);
		tcp_send(senders[i], payloads[i]);
		lab->n_out +=
			tcp_output(lab->stack, lab->now, lab->out + lab->n_out, 2 * LAB_BURST);
	}
}

static void
acked_turn(struct lab *lab, struct rte_mbuf **in, uint16_t n)
{
	struct rte_mbuf *strangers[LAB_BURST];
	struct tcp_event events[LAB_BURST];

	tcp_input(lab->stack, in, n, lab->now, strangers);
	tcp_timers(lab->stack, lab->now);
	tcp_events(lab->stack, events, LAB_BURST);
}

static void
acked_burst(struct lab *lab)
{
	acked_turn(lab, lab->in, lab->n_in);
}

static void
acked_one_by_one(struct lab *lab)
{
	for (uint16_t i = 0; i < lab->n_in; i++)
		acked_turn(lab, &lab->in[i], 1);
}

/* A window of eight segments for the one connection, one segment each for many. */
static uint32_t
send_batch(struct lab *lab)
{
	uint16_t n = lab->n == 1 ? 8 : LAB_BURST;
	struct peer *peers[LAB_BURST];

	n_senders = n;
	for (uint16_t i = 0; i < n; i++) {
		peers[i] = lab_next(lab);
		senders[i] = peers[i]->conn;
		payloads[i] = lab_payload(LAB_SEGMENT);
	}
	timed(lab->n == 1 ? send_one_by_one : send_burst, lab);
	lab_check(lab->n_out == n, "a segment was not sent");
	for (uint16_t i = 0; i < n; i++) {
		peers[i]->rcv_nxt += LAB_SEGMENT;
		lab_segment(lab, peers[i], RTE_TCP_ACK_FLAG, 0);
	}
	for (uint16_t i = 0; i < n; i++)
		rte_pktmbuf_free(lab->out[i]); /* the port has sent it */
	lab->n_out = 0;
	lab->now += 50;
	timed(lab->n == 1 ? acked_one_by_one : acked_burst, lab);
	lab_check(tcp_unacked(senders[n - 1]) == 0, "a segment was not acknowledged");
	lab_clear(lab);
	return n;
}

/* --- open and close -------------------------------------------------------------------- */

static uint16_t
churn_size(const struct lab *lab)
{
	return lab->n == 1 ? 1 : LAB_BURST;
}

static struct peer *
churn_peers(struct lab *lab)
{
	return &lab->peers[lab->n];
}

static const struct tcp_conn_config churn_config = {.room = LAB_ROOM};
static struct tcp_tuple churn_tuples[LAB_BURST];

static void
output_turn(struct lab *lab)
{
	lab->n_out += tcp_output(lab->stack, lab->now, lab->out + lab->n_out, 2 * LAB_BURST);
}

static void
connect_burst(struct lab *lab)
{
	struct peer *peers = churn_peers(lab);

	tcp_timers(lab->stack, lab->now);
	for (uint16_t i = 0; i < churn_size(lab); i++)
		tcp_connect(lab->stack, &churn_tuples[i], lab->now, &churn_config, &peers[i].conn);
	output_turn(lab);
}

/* The SYN-ACK comes, the ACK leaves; then we close. */
static void
connected_burst(struct lab *lab)
{
	struct rte_mbuf *strangers[LAB_BURST];
	struct tcp_event events[LAB_BURST];
	uint16_t n;

	tcp_input(lab->stack, lab->in, lab->n_in, lab->now, strangers);
	n = tcp_events(lab->stack, events, LAB_BURST);
	output_turn(lab);
	for (uint16_t i = 0; i < n; i++)
		tcp_shutdown(events[i].conn, lab->now);
	output_turn(lab);
}

/* The last segments come; the handles are given back. */
static void
closed_burst(struct lab *lab)
{
	struct rte_mbuf *strangers[LAB_BURST];
	struct tcp_event events[LAB_BURST];
	uint16_t n;

	tcp_input(lab->stack, lab->in, lab->n_in, lab->now, strangers);
	n = tcp_events(lab->stack, events, LAB_BURST);
	for (uint16_t i = 0; i < n; i++)
		tcp_release(events[i].conn, lab->now);
	output_turn(lab);
}

static void
answer_all(struct lab *lab, uint8_t flags)
{
	struct peer *peers = churn_peers(lab);

	for (uint16_t i = 0; i < churn_size(lab); i++)
		lab_segment(lab, &peers[i], flags, 0);
}

static void
skip_all(struct lab *lab)
{
	for (uint16_t i = 0; i < churn_size(lab); i++)
		churn_peers(lab)[i].snd_nxt++;
}

static void
learn_last(struct lab *lab)
{
	uint16_t n = churn_size(lab), extra = lab->n_out - n;

	lab_check(lab->n_out >= n, "segments are missing");
	for (uint16_t i = 0; i < extra; i++)
		rte_pktmbuf_free(lab->out[i]);
	for (uint16_t i = 0; i < n; i++)
		lab->out[i] = lab->out[i + extra];
	lab->n_out = n;
	lab_learn(lab, churn_peers(lab), n);
	lab_clear(lab);
}

static void
end_of_churn(struct lab *lab)
{
	lab_check(tcp_stack_connections(lab->stack) == lab->n, "a connection was not closed");
	lab_clear(lab);
	lab->now += 1000;
}

static uint32_t
connect_batch(struct lab *lab)
{
	uint16_t n = churn_size(lab);

	for (uint16_t i = 0; i < n; i++)
		churn_tuples[i] = lab_new_tuple(lab, &churn_peers(lab)[i]);
	timed(connect_burst, lab);
	learn_last(lab);
	answer_all(lab, RTE_TCP_SYN_FLAG | RTE_TCP_ACK_FLAG);
	timed(connected_burst, lab);
	lab_check(lab->n_out == 2 * n, "an ACK and a FIN for each");
	skip_all(lab);
	lab->n_in = 0;
	learn_last(lab);
	answer_all(lab, RTE_TCP_FIN_FLAG | RTE_TCP_ACK_FLAG);
	timed(closed_burst, lab);
	lab_check(lab->n_out == n, "the ACK of a FIN");
	end_of_churn(lab);
	return n;
}

static void
accept_burst(struct lab *lab)
{
	struct rte_mbuf *strangers[LAB_BURST];
	struct peer *peers = churn_peers(lab);
	uint16_t n = tcp_input(lab->stack, lab->in, lab->n_in, lab->now, strangers);

	tcp_timers(lab->stack, lab->now);
	for (uint16_t i = 0; i < n; i++)
		tcp_accept(lab->stack, strangers[i], lab->now, &churn_config, &peers[i].conn);
	output_turn(lab);
}

static void
accepted_burst(struct lab *lab)
{
	struct rte_mbuf *strangers[LAB_BURST];
	struct tcp_event events[LAB_BURST];

	tcp_input(lab->stack, lab->in, lab->n_in, lab->now, strangers);
	tcp_events(lab->stack, events, LAB_BURST);
	output_turn(lab);
}

/* The peer's FIN comes, ours leaves with the ACK of it. */
static void
eof_burst(struct lab *lab)
{
	struct rte_mbuf *strangers[LAB_BURST];
	struct tcp_event events[LAB_BURST];
	uint16_t n;

	tcp_input(lab->stack, lab->in, lab->n_in, lab->now, strangers);
	n = tcp_events(lab->stack, events, LAB_BURST);
	for (uint16_t i = 0; i < n; i++)
		tcp_shutdown(events[i].conn, lab->now);
	output_turn(lab);
}

static uint32_t
accept_batch(struct lab *lab)
{
	uint16_t n = churn_size(lab);

	for (uint16_t i = 0; i < n; i++)
		lab_new_tuple(lab, &churn_peers(lab)[i]);
	answer_all(lab, RTE_TCP_SYN_FLAG);
	timed(accept_burst, lab);
	lab->n_in = 0;
	skip_all(lab);
	learn_last(lab);
	answer_all(lab, RTE_TCP_ACK_FLAG);
	timed(accepted_burst, lab);
	lab_check(lab->n_out == 0, "nothing is to be said yet");
	lab->n_in = 0;
	answer_all(lab, RTE_TCP_FIN_FLAG | RTE_TCP_ACK_FLAG);
	timed(eof_burst, lab);
	lab->n_in = 0;
	skip_all(lab);
	learn_last(lab);
	answer_all(lab, RTE_TCP_ACK_FLAG);
	timed(closed_burst, lab);
	end_of_churn(lab);
	return n;
}

/* --- timers ---------------------------------------------------------------------------- */

/* The delayed ACK's timer does nothing on a connection that owes no ACK: what is left is
 * the work of the wheel. Every connection is taken once, in random order. */
#define TIMER TCP_TIMER_ACK

/* For one connection, so many operations are one batch. */
#define TIMER_ROUNDS 32

static struct tcp_conn *
timer_conn(struct lab *lab)
{
	return lab_next(lab)->conn;
}

static uint32_t
timer_ms(uint32_t i)
{
	return 1 + i * 2654435761u % 20000;
}

static void
set_timers(struct lab *lab)
{
	for (uint32_t i = 0; i < lab->n; i++)
		tcp_timer_set(timer_conn(lab), TIMER, timer_ms(i));
}

static void
set_one_timer(struct lab *lab)
{
	tcp_timer_set(lab->peers[0].conn, TIMER, timer_ms(lab->next_id++));
}

static void
postpone_timers(struct lab *lab)
{
	for (uint32_t i = 0; i < lab->n; i++)
		tcp_timer_set(timer_conn(lab), TIMER, 40000 + timer_ms(i));
}

static void
run_timers(struct lab *lab)
{
	uint64_t end = lab->now + 20002000;

	/* A tick of the poll loop is 1 ms here. */
	for (; lab->now <= end; lab->now += 1000)
		tcp_timers(lab->stack, lab->now);
}

static void
clear_timers(struct lab *lab)
{
	for (uint32_t i = 0; i < lab->n; i++)
		tcp_timer_clear_all(lab->peers[i].conn);
}

/* The wheel turns 20,000 times for a batch; for few connections that would be all that is
 * seen, and the due time is one and the same instead. */
static void
jump(struct lab *lab)
{
	lab->now += 20002000;
	tcp_timers(lab->stack, lab->now);
}

static uint32_t
insert_batch(struct lab *lab)
{
	if (lab->n > 1) {
		lab->at = 0;
		timed(set_timers, lab);
		clear_timers(lab);
		return lab->n;
	}
	for (uint32_t i = 0; i < TIMER_ROUNDS; i++) {
		timed(set_one_timer, lab);
		clear_timers(lab);
	}
	return TIMER_ROUNDS;
}

static uint32_t
postpone_batch(struct lab *lab)
{
	lab->at = 0;
	set_timers(lab);
	lab->at = 0;
	timed(postpone_timers, lab);
	clear_timers(lab);
	return lab->n;
}

static void
check_idle(struct lab *lab)
{
	lab_check(lab->stack->wheel.count == 0, "a timer did not run");
}

static uint32_t
fire_batch(struct lab *lab)
{
	lab->at = 0;
	set_timers(lab);
	timed(lab->n > 1000 ? run_timers : jump, lab);
	check_idle(lab);
	return lab->n;
}

/* Every timer was put off before the wheel came round: it is put in again, and no more. */
static uint32_t
reinsert_batch(struct lab *lab)
{
	lab->at = 0;
	set_timers(lab);
	lab->at = 0;
	postpone_timers(lab);
	timed(lab->n > 1000 ? run_timers : jump, lab);
	lab_check(lab->stack->wheel.count == lab->n, "a timer ran early");
	clear_timers(lab);
	return lab->n;
}

const struct bench_case bench_cases[] = {
	{"receive", "segment", "in-order data segment in, its ACK out", receive_batch},
	{"receive-bulk", "segment", "32 data segments of one connection in, one ACK out",
	 bulk_batch},
	{"send", "segment", "data segment out, its ACK in", send_batch},
	{"connect", "connection", "opened and closed by us, TIME-WAIT and its end included",
	 connect_batch},
	{"accept", "connection", "opened and closed by the peer", accept_batch},
	{"timer-insert", "timer", "a timer set on a connection that has none running",
	 insert_batch},
	{"timer-postpone", "timer", "a running timer set to later", postpone_batch},
	{"timer-fire", "timer", "a timer runs out", fire_batch},
	{"timer-reinsert", "timer", "the wheel comes round to a timer that was put off",
	 reinsert_batch},
};
const unsigned int bench_n_cases = RTE_DIM(bench_cases);
