/* SPDX-License-Identifier: Apache-2.0 */
/*
 * throughput_cell: bulk transfers through one bottleneck in virtual time, one line of
 * tab-separated numbers for each cell. The tests of sim.c carry bytes and check each of
 * them; here buffers go from stack to stack without a copy, so that 100 Gbit/s can be
 * simulated. `tests/sim/throughput` makes the table of it.
 *
 * The bottleneck has a drop-tail queue of one bandwidth-delay product; the way back has
 * bandwidth without end. Data is lost or late at random, acknowledgements are not.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_mbuf_ptype.h>

#include "tcpstack/tcp.h"
#include "tests/sim/checked_pool.h"
#include "tests/sim/packet.h"
#include "tests/sim/rng.h"

#define NS 1000000000ull
#define PORT 80
#define MAX_FLOWS 2
#define FRAME_OVERHEAD 18 /* Ethernet, as in link.c */
#define HEADERS (20 + 20 + 12)
#define ROOM_MAX (1u << 30)
#define BURST 32

struct cell {
	uint64_t rate;   /* bits per second */
	uint32_t rtt_us; /* without the queue */
	uint32_t loss, reorder; /* per million */
	unsigned int flows;
};

/* --- one direction of the path ------------------------------------------------------------ */

struct flight {
	uint64_t at; /* nanoseconds */
	struct rte_mbuf *m;
};

struct path {
	uint64_t rate; /* 0: no limit */
	uint64_t delay_ns, free_ns, queue_ns;
	uint32_t loss, reorder;
	uint64_t late_ns;
	struct flight *ring; /* in order */
	uint32_t mask, head, tail;
	struct flight *heap; /* those that are late */
	uint32_t n_heap, heap_room;
	uint64_t sent, dropped;
};

struct host {
	struct tcp_stack *stack;
	struct rng random;
	struct path *out;
	struct tcp_conn *conn[MAX_FLOWS];
	uint64_t received[MAX_FLOWS];
	unsigned int accepted;
};

struct world {
	struct cell cell;
	struct rng rng;
	uint64_t now, end, quantum; /* nanoseconds */
	struct path path[2];
	struct host host[2]; /* [0] sends */
	struct tcp_conn_config config;
	uint32_t send_buffer, chunk;
	struct rte_mempool *header, *indirect, *payload;
	uint64_t starts[MAX_FLOWS];
	uint64_t at_start[MAX_FLOWS], at_half[MAX_FLOWS]; /* received by then */
};

static void
path_init(struct path *path, uint32_t room)
{
	uint32_t size = 1024;

	while (size < room)
		size *= 2;
	path->ring = malloc(size * sizeof(*path->ring));
	path->mask = size - 1;
	path->heap_room = size;
	path->heap = malloc(size * sizeof(*path->heap));
	if (path->ring == NULL || path->heap == NULL)
		abort();
}

static void
swap(struct flight *a, struct flight *b)
{
	struct flight t = *a;

	*a = *b;
	*b = t;
}

static void
heap_push(struct path *path, struct flight flight)
{
	uint32_t i = path->n_heap++;

	if (i == path->heap_room)
		abort();
	path->heap[i] = flight;
	for (; i > 0 && path->heap[i].at < path->heap[(i - 1) / 2].at; i = (i - 1) / 2)
		swap(&path->heap[i], &path->heap[(i - 1) / 2]);
}

static struct rte_mbuf *
heap_pop(struct path *path)
{
	struct rte_mbuf *m = path->heap[0].m;

	path->heap[0] = path->heap[--path->n_heap];
	for (uint32_t i = 0, child; (child = 2 * i + 1) < path->n_heap; i = child) {
		if (child + 1 < path->n_heap && path->heap[child + 1].at < path->heap[child].at)
			child++;
		if (path->heap[i].at <= path->heap[child].at)
			break;
		swap(&path->heap[i], &path->heap[child]);
	}
	return m;
}

static uint64_t
path_next(const struct path *path)
{
	uint64_t at = path->head != path->tail ? path->ring[path->head & path->mask].at
					       : UINT64_MAX;

	return path->n_heap > 0 ? RTE_MIN(at, path->heap[0].at) : at;
}

static struct rte_mbuf *
path_take(struct path *path, uint64_t now)
{
	if (path->n_heap > 0 && path->heap[0].at <= now)
		return heap_pop(path);
	if (path->head != path->tail && path->ring[path->head & path->mask].at <= now)
		return path->ring[path->head++ & path->mask].m;
	return NULL;
}

static void
path_send(struct world *w, struct path *path, struct rte_mbuf *m)
{
	bool data = m->pkt_len > (uint32_t)m->l3_len + m->l4_len;
	uint64_t begins = RTE_MAX(path->free_ns, w->now);
	uint64_t at;

	path->sent++;
	if (path->rate != 0 && begins - w->now > path->queue_ns) {
		path->dropped++;
		rte_pktmbuf_free(m);
		return;
	}
	if (path->rate != 0)
		begins += (m->pkt_len + FRAME_OVERHEAD) * 8 * NS / path->rate;
	path->free_ns = begins;
	at = begins + path->delay_ns;
	if (data && rng_chance(&w->rng, path->loss)) {
		path->dropped++;
		rte_pktmbuf_free(m);
	} else if (data && rng_chance(&w->rng, path->reorder)) {
		heap_push(path,
			  (struct flight){at + rng_between(&w->rng, 1, path->late_ns), m});
	} else {
		if (path->tail - path->head > path->mask)
			abort();
		path->ring[path->tail++ & path->mask] = (struct flight){at, m};
	}
}

static void
path_free(struct path *path)
{
	struct rte_mbuf *m;

	while ((m = path_take(path, UINT64_MAX)) != NULL)
		rte_pktmbuf_free(m);
	free(path->ring);
	free(path->heap);
}

/* --- hosts ---------------------------------------------------------------------------------- */

static uint64_t
us(const struct world *w)
{
	return w->now / 1000;
}

static void
take_stranger(struct world *w, struct host *host, struct rte_mbuf *m)
{
	struct tcp_conn *conn;

	if (host == &w->host[1] && host->accepted < w->cell.flows &&
	    tcp_accept(host->stack, m, us(w), &w->config, &conn) == TCP_OK)
		host->conn[host->accepted++] = conn;
	else
		tcp_refuse(host->stack, m, us(w));
}

static void
input(struct world *w, struct host *host, struct path *in)
{
	struct rte_mbuf *burst[BURST], *strangers[BURST];
	uint16_t n;

	do {
		for (n = 0; n < BURST && (burst[n] = path_take(in, w->now)) != NULL; n++)
			;
		uint16_t strange = tcp_input(host->stack, burst, n, us(w), strangers);

		for (uint16_t i = 0; i < strange; i++)
			take_stranger(w, host, strangers[i]);
	} while (n == BURST);
}

/* Every byte is the same one: the payload pool's buffers share their memory. */
static struct rte_mbuf *
make_chain(struct world *w)
{
	struct rte_mbuf *head = NULL, *last = NULL;

	for (unsigned int i = 0; i < 4; i++) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(w->payload);

		if (m == NULL)
			break;
		m->data_len = (uint16_t)w->chunk;
		m->pkt_len = m->data_len;
		if (head == NULL) {
			head = m;
		} else {
			last->next = m;
			head->nb_segs++;
			head->pkt_len += m->data_len;
		}
		last = m;
	}
	return head;
}

static void
keep_sending(struct world *w, struct tcp_conn *conn)
{
	while (tcp_unacked(conn) < w->send_buffer) {
		struct rte_mbuf *chain = make_chain(w);

		int rc = chain != NULL ? tcp_send(conn, chain) : TCP_E_NO_MEMORY;

		if (rc != TCP_OK) {
			fprintf(stderr, "nothing can be sent: %s\n",
				chain != NULL ? tcp_strerror(rc) : "no buffers");
			exit(1);
		}
	}
}

static void
applications(struct world *w, struct host *host)
{
	struct tcp_event events[MAX_FLOWS];
	uint16_t n = tcp_events(host->stack, events, MAX_FLOWS);

	for (uint16_t i = 0; i < n; i++) {
		if (events[i].bits & TCP_EV_FAILED) {
			fprintf(stderr, "a connection failed: %s\n",
				tcp_strerror(tcp_conn_error(events[i].conn)));
			exit(1);
		}
	}
	for (unsigned int i = 0; i < MAX_FLOWS; i++) {
		struct tcp_conn *conn = host->conn[i];
		struct rte_mbuf *m = conn != NULL ? tcp_receive(conn, UINT32_MAX) : NULL;

		if (m != NULL) {
			host->received[i] += m->pkt_len;
			rte_pktmbuf_free(m);
			tcp_set_room(conn, w->config.room, us(w));
		}
		if (host == &w->host[0] && conn != NULL)
			keep_sending(w, conn);
	}
}

static void
output(struct world *w, struct host *host)
{
	struct rte_mbuf *out[BURST];
	uint16_t n;

	do {
		n = tcp_output(host->stack, us(w), out, BURST);
		for (uint16_t i = 0; i < n; i++)
			path_send(w, host->out, out[i]);
	} while (n == BURST);
}

static void
open_flows(struct world *w)
{
	struct host *host = &w->host[0];
	struct tcp_tuple tuple = {.local = packet_v4(10, 0, 0, 1),
				  .remote = packet_v4(10, 0, 0, 2),
				  .remote_port = PORT};

	for (unsigned int i = 0; i < w->cell.flows; i++) {
		tuple.local_port = (uint16_t)(5000 + i);
		if (host->conn[i] != NULL || w->now < w->starts[i])
			continue;
		if (tcp_connect(host->stack, &tuple, us(w), &w->config, &host->conn[i]) != TCP_OK)
			abort();
	}
}

static void
turn(struct world *w, unsigned int which)
{
	struct host *host = &w->host[which];

	input(w, host, &w->path[!which]);
	tcp_timers(host->stack, us(w));
	applications(w, host);
	output(w, host);
}

static uint64_t
next_time(const struct world *w)
{
	uint64_t next = RTE_MIN(path_next(&w->path[0]), path_next(&w->path[1]));

	for (unsigned int i = 0; i < 2; i++) {
		uint64_t timer = tcp_next_timer(w->host[i].stack);

		if (timer != UINT64_MAX)
			next = RTE_MIN(next, timer * 1000);
	}
	for (unsigned int i = 0; i < w->cell.flows; i++) {
		if (w->host[0].conn[i] == NULL)
			next = RTE_MIN(next, w->starts[i]);
	}
	next = RTE_MAX(next, w->now + 1);
	return (next + w->quantum - 1) / w->quantum * w->quantum;
}

/* --- a cell ------------------------------------------------------------------------------------- */

/* Buffers that have names and places of their own, and one piece of memory between them. */
static struct rte_mempool *
shared_memory_pool(uint32_t n, uint16_t room)
{
	uint16_t size = (uint16_t)(room + RTE_PKTMBUF_HEADROOM);
	void *memory = rte_zmalloc("bytes", size, 64);
	struct rte_pktmbuf_extmem *areas = calloc(n, sizeof(*areas));

	if (memory == NULL || areas == NULL)
		abort();
	for (uint32_t i = 0; i < n; i++)
		areas[i] = (struct rte_pktmbuf_extmem){memory, rte_malloc_virt2iova(memory), size,
						       size};
	struct rte_mempool *pool = rte_pktmbuf_pool_create_extbuf("bytes", n, 256, 0, size,
								  SOCKET_ID_ANY, areas, n);
	free(areas);
	return pool;
}

static void
make_pools(struct world *w, uint64_t bdp)
{
	uint32_t segments = (uint32_t)(3 * bdp / w->config.mss) + 8192;

	w->header = rte_pktmbuf_pool_create("header", segments * 5 / 3, 256, 0,
					    RTE_PKTMBUF_HEADROOM + 128, SOCKET_ID_ANY);
	w->indirect = rte_pktmbuf_pool_create("indirect", segments * 2, 256, 0, 0, SOCKET_ID_ANY);
	w->payload = shared_memory_pool(
		(uint32_t)((w->send_buffer + w->cell.flows * (bdp * 2)) / w->chunk) *
				w->cell.flows + 8192,
		(uint16_t)w->chunk);
	if (w->header == NULL || w->indirect == NULL || w->payload == NULL) {
		fprintf(stderr, "too little memory for the pools\n");
		exit(1);
	}
	path_init(&w->path[0], segments * 2);
	path_init(&w->path[1], segments * 2);
}

static void
make_host(struct world *w, unsigned int i)
{
	struct host *host = &w->host[i];
	int error = 0;

	host->random.state = 77 + i;
	host->out = &w->path[i];
	struct tcp_stack_config config = {.max_connections = 16,
					  .max_time_wait = 16,
					  .max_ooo_bytes = 4000000000u,
					  .header_pool = w->header,
					  .indirect_pool = w->indirect,
					  .random = rng_fill,
					  .random_ctx = &host->random,
					  .socket_id = SOCKET_ID_ANY};

	host->stack = tcp_stack_create(&config, &error);
	if (host->stack == NULL)
		abort();
}

/* Long enough for many losses and some epochs of CUBIC, short enough to be simulated. */
static uint64_t
duration(const struct cell *c, uint32_t wire, uint64_t most)
{
	uint64_t rtt = (uint64_t)c->rtt_us * 1000;
	uint64_t wanted = rtt <= 100000 ? NS / 2 : rtt <= 10000000 ? 20 * NS : 100 * NS;
	uint64_t fits = most * wire * 8 * (NS / 1000000) / (c->rate / 1000000);

	return RTE_MAX(RTE_MIN(wanted, fits), 40 * rtt);
}

static void
world_create(struct world *w, const struct cell *c, uint64_t most_segments)
{
	uint64_t rtt_ns = (uint64_t)c->rtt_us * 1000;
	uint64_t bdp = c->rate / 8 * c->rtt_us / 1000000;

	memset(w, 0, sizeof(*w));
	w->cell = *c;
	w->rng.state = c->rate ^ c->rtt_us * 7919ull ^ c->loss * 104729ull ^ c->reorder * 31ull;
	w->now = 1000 * NS;
	w->config.mss = c->rate > 1000000000 ? 8960 : 1460;
	w->config.room = (uint32_t)RTE_MIN(3 * bdp + 1000000, (uint64_t)ROOM_MAX);
	w->config.user_timeout_ms = 900000;
	w->chunk = w->config.mss > 1460 ? 2 * (8960 - 12) : 12 * (1460 - 12);
	w->send_buffer = w->config.room + 4 * w->chunk;
	w->quantum = RTE_MAX(1000ull, RTE_MIN(rtt_ns / 1000, 10000ull));
	w->end = w->now + duration(c, w->config.mss + 58, most_segments);
	w->starts[0] = w->now;
	w->starts[1] = w->now + (w->end - w->now) / 10;
	make_pools(w, bdp);
	for (unsigned int i = 0; i < 2; i++) {
		w->path[i].delay_ns = rtt_ns / 2;
		make_host(w, i);
	}
	w->path[0].rate = c->rate;
	w->path[0].queue_ns = RTE_MAX(rtt_ns, 64 * (w->config.mss + 58) * 8 * NS / c->rate);
	w->path[0].loss = c->loss;
	w->path[0].reorder = c->reorder;
	w->path[0].late_ns = rtt_ns / 2;
}

static void
world_destroy(struct world *w)
{
	for (unsigned int i = 0; i < 2; i++) {
		path_free(&w->path[i]);
		tcp_stack_destroy(w->host[i].stack);
	}
	rte_mempool_free(w->header);
	rte_mempool_free(w->indirect);
	rte_mempool_free(w->payload);
}

/* The share of the path that theory gives one flow: the larger of the mean windows of CUBIC
 * (RFC 9438 section 5.2) and of its Reno-friendly region (section 4.3; Mathis with that AIMD). */
static double
theory(const struct cell *c, uint32_t payload, uint32_t room)
{
	double p = c->loss * 1e-6, rtt = c->rtt_us * 1e-6;
	double pipe = (double)c->rate * rtt / 8 / (payload + HEADERS + FRAME_OVERHEAD);
	double most = (double)room / payload;

	if (p > 0) {
		double cubic = pow(0.4 * 3.7 / (4 * 0.3), 0.25) * pow(rtt / p, 0.75);
		double reno = sqrt(1.5 / p);

		most = fmin(most, fmax(cubic, reno));
	}
	return fmin(1, c->flows * most / pipe) * (1 - p);
}

static void
report(struct world *w)
{
	const struct cell *c = &w->cell;
	uint32_t payload = w->config.mss - 12;
	double best = (double)c->rate / 8 * payload / (payload + HEADERS + FRAME_OVERHEAD);
	double seconds = (double)(w->end - w->starts[0]) / NS;
	double sum = 0, half = 0, squares = 0;
	const struct tcp_counters *k = tcp_stack_counters(w->host[0].stack);

	for (unsigned int i = 0; i < c->flows; i++) {
		double x = (double)(w->host[1].received[i] - w->at_half[i]);

		sum += (double)(w->host[1].received[i] - w->at_start[i]);
		half += x;
		squares += x * x;
	}
	printf("%" PRIu64 "\t%u\t%u\t%u\t%u\t%.4f\t%.4f\t%.4f\t%.2f\t%" PRIu64 "\t%" PRIu64
	       "\t%" PRIu64 "\t%" PRIu64 "\n",
	       c->rate, c->rtt_us, c->loss, c->reorder, c->flows,
	       100 * sum / (best * seconds * 0.8),
	       squares > 0 ? half * half / (c->flows * squares) : 0,
	       100 * theory(c, payload, w->config.room), seconds, w->path[0].sent,
	       w->path[0].dropped, k->retransmits, k->timeouts);
	fflush(stdout);
}

static void
play(const struct cell *c, uint64_t most_segments)
{
	struct world *w = calloc(1, sizeof(*w));

	if (w == NULL)
		abort();
	world_create(w, c, most_segments);
	uint64_t length = w->end - w->now;
	uint64_t from = w->now + length / 5, middle = w->now + length / 2;

	while (w->now < w->end) {
		open_flows(w);
		turn(w, 0);
		turn(w, 1);
		if (w->now < from)
			memcpy(w->at_start, w->host[1].received, sizeof(w->at_start));
		if (w->now < middle)
			memcpy(w->at_half, w->host[1].received, sizeof(w->at_half));
		w->now = next_time(w);
	}
	report(w);
	world_destroy(w);
	free(w);
}

/* RATE:RTT:LOSS:REORDER:FLOWS, in Mbit/s, microseconds, per million, per million. */
static bool
parse_cell(const char *text, struct cell *c)
{
	unsigned int rate;

	if (sscanf(text, "%u:%u:%u:%u:%u", &rate, &c->rtt_us, &c->loss, &c->reorder, &c->flows) !=
		    5 ||
	    rate == 0 || c->rtt_us == 0 || c->flows == 0 || c->flows > MAX_FLOWS)
		return false;
	c->rate = rate * 1000000ull;
	return true;
}

int
main(int argc, char **argv)
{
	struct cell c;

	if (argc < 3) {
		fputs("usage: throughput_cell MOST-SEGMENTS RATE:RTT:LOSS:REORDER:FLOWS...\n"
		      "  Mbit/s, microseconds, per million, per million, 1 or 2\n"
		      "prints rate, rtt, loss, reorder, flows, goodput %, fairness, theory %, virtual\n"
		      "seconds, segments, dropped, retransmitted, timeouts\n",
		      stderr);
		return 2;
	}
	checked_eal_init("throughput", 1500);
	for (int i = 2; i < argc; i++) {
		if (!parse_cell(argv[i], &c)) {
			fprintf(stderr, "%s: not a cell\n", argv[i]);
			return 2;
		}
		play(&c, strtoull(argv[1], NULL, 10));
	}
	return 0;
}
