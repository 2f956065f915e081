/* SPDX-License-Identifier: Apache-2.0 */

#include <stdlib.h>

#include <rte_common.h>
#include <rte_random.h>

#include "dataplane/net_internal.h"

/*
 * The states are those of RFC 4861 section 7.3.2, for ARP too, without DELAY: a stale entry
 * that is used is asked again at once.
 *
 * Who may write into the table: an answer to a question of ours. A claim that nobody asked
 * for (gratuitous ARP, an unsolicited advertisement) never makes an entry, and changes one
 * only by making us ask everybody again; the old Ethernet address serves until the answer.
 */

#define REACHABLE_TIME (30 * NET_SECOND)
#define STALE_TIME (600 * NET_SECOND) /* unused, until it is forgotten */
#define RETRY_TIME (1 * NET_SECOND)
#define MAX_TRIES 3
/* Deadlines are looked at together, so that many of them cost one walk of the table. */
#define TIMER_GRAIN (NET_SECOND / 20)
#define REQUESTS_PER_SECOND 1000
#define REQUESTS_BURST 256

/* --- the table ------------------------------------------------------------------------------ */

bool
net_neighbours_create(struct net *net, unsigned int max)
{
	struct neighbour_table *table = &net->neighbours;

	table->max = max;
	table->n_buckets = rte_align32pow2(max);
	table->entries = calloc(max, sizeof(*table->entries));
	table->buckets = calloc(table->n_buckets, sizeof(*table->buckets));
	if (table->entries == NULL || table->buckets == NULL)
		return false;
	TAILQ_INIT(&table->resolved);
	TAILQ_INIT(&table->incomplete);
	TAILQ_INIT(&table->free);
	for (unsigned int i = 0; i < max; i++)
		TAILQ_INSERT_TAIL(&table->free, &table->entries[i], age);
	table->next_deadline = UINT64_MAX;
	table->hash_key = rte_rand();
	net_bucket_init(&table->requests, REQUESTS_PER_SECOND, REQUESTS_BURST);
	return true;
}

/* Keyed, so that nobody can choose addresses that share a chain. */
static struct neighbour_bucket *
bucket_of(struct neighbour_table *table, uint16_t interface, const struct in6_addr *address)
{
	uint64_t words[2], hash;

	memcpy(words, address, sizeof(words));
	hash = (words[0] ^ table->hash_key) * 0x9e3779b97f4a7c15ull;
	hash = (hash ^ (hash >> 29) ^ words[1] ^ interface) * 0xbf58476d1ce4e5b9ull;
	hash = (hash ^ (hash >> 32) ^ table->hash_key) * 0x94d049bb133111ebull;
	return &table->buckets[(hash >> 32) & (table->n_buckets - 1)];
}

static struct neighbour *
find(struct neighbour_table *table, uint16_t interface, const struct in6_addr *address)
{
	struct neighbour *n;

	LIST_FOREACH (n, bucket_of(table, interface, address), chain)
		if (n->interface == interface && net_same(&n->address, address))
			return n;
	return NULL;
}

static struct neighbour_list *
list_of(struct neighbour_table *table, const struct neighbour *n)
{
	return n->state == NEIGHBOUR_INCOMPLETE ? &table->incomplete : &table->resolved;
}

static void
set_deadline(struct neighbour_table *table, struct neighbour *n, uint64_t deadline)
{
	n->deadline = deadline;
	table->next_deadline = RTE_MIN(table->next_deadline, deadline);
}

/* Frees what waits; `net` then knows why by `counter`. */
static void
drop_queue(struct net *net, struct neighbour *n, uint64_t *counter)
{
	for (unsigned int i = 0; i < n->n_queued; i++)
		net_drop(n->queue[i], counter);
	net->neighbours.n_queued -= n->n_queued;
	n->n_queued = 0;
}

static void
forget(struct net *net, struct neighbour *n)
{
	struct neighbour_table *table = &net->neighbours;

	drop_queue(net, n, &net->counters.neighbour_failed);
	if (n->state == NEIGHBOUR_INCOMPLETE)
		table->n_incomplete--;
	TAILQ_REMOVE(list_of(table, n), n, age);
	LIST_REMOVE(n, chain);
	n->state = NEIGHBOUR_FREE;
	TAILQ_INSERT_HEAD(&table->free, n, age);
}

void
net_neighbours_destroy(struct net *net)
{
	struct neighbour_table *table = &net->neighbours;
	struct neighbour *n;

	if (table->buckets != NULL && table->entries != NULL) {
		while ((n = TAILQ_FIRST(&table->incomplete)) != NULL)
			forget(net, n);
	}
	free(table->entries);
	free(table->buckets);
}

/* Somebody who scans a prefix of ours makes unresolved entries only, and those make room
 * for each other before they push out neighbours that are known. */
static void
evict(struct net *net)
{
	struct neighbour_table *table = &net->neighbours;
	struct neighbour *victim = TAILQ_FIRST(&table->resolved);

	if (victim == NULL || table->n_incomplete > table->max / 2)
		victim = TAILQ_FIRST(&table->incomplete);
	net->counters.neighbour_table_full++;
	forget(net, victim);
}

static struct neighbour *
add(struct net *net, uint16_t interface, const struct in6_addr *address)
{
	struct neighbour_table *table = &net->neighbours;
	struct neighbour *n;

	if (TAILQ_EMPTY(&table->free))
		evict(net);
	n = TAILQ_FIRST(&table->free);
	TAILQ_REMOVE(&table->free, n, age);
	n->address = *address;
	n->interface = interface;
	n->state = NEIGHBOUR_INCOMPLETE;
	n->tries = 0;
	n->n_queued = 0;
	n->broadcast_probe = false;
	table->n_incomplete++;
	TAILQ_INSERT_TAIL(&table->incomplete, n, age);
	LIST_INSERT_HEAD(bucket_of(table, interface, address), n, chain);
	return n;
}

/* --- questions ------------------------------------------------------------------------------ */

static void
ask(struct net *net, struct neighbour *n, uint64_t now)
{
	struct net_if *out = &net->interfaces[n->interface];
	bool unicast = n->state == NEIGHBOUR_PROBE && !n->broadcast_probe;
	const struct rte_ether_addr *to = unicast ? &n->mac : NULL;

	n->tries++;
	set_deadline(&net->neighbours, n, now + RETRY_TIME);
	/* A question that is not asked now counts as one that nobody answered. */
	if (!net_bucket_take(&net->neighbours.requests, now))
		return;
	if (IN6_IS_ADDR_V4MAPPED(&n->address))
		net_arp_request(net, out, net_ip4_of(&n->address), to);
	else
		net_nd_solicit(net, out, &n->address, to);
}

static void
start_probe(struct net *net, struct neighbour *n, bool broadcast, uint64_t now)
{
	n->state = NEIGHBOUR_PROBE;
	n->broadcast_probe = broadcast;
	n->tries = 0;
	ask(net, n, now);
}

/* --- output --------------------------------------------------------------------------------- */

static void
send_to(struct net *net, const struct neighbour *n, struct rte_mbuf *m)
{
	uint16_t type =
		IN6_IS_ADDR_V4MAPPED(&n->address) ? RTE_ETHER_TYPE_IPV4 : RTE_ETHER_TYPE_IPV6;

	net_ether_output(net, &net->interfaces[n->interface], m, &n->mac, type);
}

/* RFC 1122 section 2.3.2.2: the latest packets are worth more than the oldest. */
static void
enqueue(struct net *net, struct neighbour *n, struct rte_mbuf *m)
{
	struct neighbour_table *table = &net->neighbours;

	if (n->n_queued == NET_NEIGHBOUR_QUEUE) {
		net_drop(n->queue[0], &net->counters.neighbour_queue_full);
		memmove(&n->queue[0], &n->queue[1], (n->n_queued - 1u) * sizeof(n->queue[0]));
		n->queue[n->n_queued - 1] = m;
		return;
	}
	if (table->n_queued == NET_NEIGHBOUR_QUEUED) {
		net_drop(m, &net->counters.neighbour_queue_full);
		return;
	}
	n->queue[n->n_queued++] = m;
	table->n_queued++;
}

static void
touch(struct neighbour_table *table, struct neighbour *n)
{
	if (TAILQ_NEXT(n, age) == NULL)
		return;
	TAILQ_REMOVE(list_of(table, n), n, age);
	TAILQ_INSERT_TAIL(list_of(table, n), n, age);
}

void
net_neighbour_output(struct net *net, const struct net_hop *hop, struct rte_mbuf *m, uint64_t now)
{
	struct neighbour_table *table = &net->neighbours;
	struct neighbour *n = find(table, hop->out->index, &hop->address);

	if (unlikely(n == NULL)) {
		n = add(net, hop->out->index, &hop->address);
		enqueue(net, n, m);
		ask(net, n, now);
		return;
	}
	touch(table, n);
	if (unlikely(n->state == NEIGHBOUR_INCOMPLETE)) {
		enqueue(net, n, m);
		return;
	}
	if (unlikely(n->state == NEIGHBOUR_REACHABLE && now >= n->deadline))
		n->state = NEIGHBOUR_STALE;
	if (unlikely(n->state == NEIGHBOUR_STALE))
		start_probe(net, n, false, now);
	send_to(net, n, m);
}

/* --- answers -------------------------------------------------------------------------------- */

static void
add_news(struct neighbour_table *table, const struct net_if *in, const struct in6_addr *address,
	 const struct rte_ether_addr *mac, bool unasked)
{
	struct net_neighbour *news;

	if (table->news_count == NET_NEWS) {
		table->news_head = (table->news_head + 1) % NET_NEWS;
		table->news_count--;
	}
	news = &table->news[(table->news_head + table->news_count++) % NET_NEWS];
	news->interface = in->index;
	news->address = *address;
	news->mac = *mac;
	news->unasked = unasked;
}

/* Puts `mac` into the entry and releases what waited for it. */
static void
resolve(struct net *net, struct neighbour *n, const struct rte_ether_addr *mac,
	enum neighbour_state state, uint64_t now)
{
	struct neighbour_table *table = &net->neighbours;

	if (n->state == NEIGHBOUR_INCOMPLETE) {
		TAILQ_REMOVE(&table->incomplete, n, age);
		TAILQ_INSERT_TAIL(&table->resolved, n, age);
		table->n_incomplete--;
	}
	n->mac = *mac;
	n->state = (uint8_t)state;
	n->tries = 0;
	set_deadline(table, n, now + (state == NEIGHBOUR_REACHABLE ? REACHABLE_TIME : STALE_TIME));
	for (unsigned int i = 0; i < n->n_queued; i++)
		send_to(net, n, n->queue[i]);
	table->n_queued -= n->n_queued;
	n->n_queued = 0;
}

static bool
is_asked(const struct neighbour *n)
{
	return n->state == NEIGHBOUR_INCOMPLETE || n->state == NEIGHBOUR_PROBE;
}

/* Takes what was heard of an entry that exists. */
static void
update(struct net *net, struct neighbour *n, const struct rte_ether_addr *mac, enum net_heard heard,
       uint64_t now)
{
	bool same = n->state != NEIGHBOUR_INCOMPLETE && rte_is_same_ether_addr(&n->mac, mac);

	if (heard == NET_HEARD_ANSWER && (is_asked(n) || same))
		resolve(net, n, mac, NEIGHBOUR_REACHABLE, now);
	else if (n->state == NEIGHBOUR_INCOMPLETE)
		resolve(net, n, mac, NEIGHBOUR_STALE, now);
	else if (!same && (n->state != NEIGHBOUR_PROBE || !n->broadcast_probe))
		start_probe(net, n, true, now);
}

void
net_neighbour_heard(struct net *net, struct net_if *in, const struct in6_addr *address,
		    const struct rte_ether_addr *mac, enum net_heard heard, uint64_t now)
{
	struct neighbour_table *table = &net->neighbours;
	struct neighbour *n = find(table, in->index, address);

	/* The answer to another worker's question may come to our queue. */
	if (heard == NET_HEARD_ANSWER)
		add_news(table, in, address, mac, n == NULL || !is_asked(n));
	if (n != NULL)
		update(net, n, mac, heard, now);
}

/* --- between workers -------------------------------------------------------------------------- */

unsigned int
net_news(struct net *net, struct net_neighbour *neighbours, unsigned int max)
{
	struct neighbour_table *table = &net->neighbours;
	unsigned int n;

	for (n = 0; n < max && table->news_count > 0; n++) {
		neighbours[n] = table->news[table->news_head];
		table->news_head = (table->news_head + 1) % NET_NEWS;
		table->news_count--;
	}
	return n;
}

void
net_learn(struct net *net, const struct net_neighbour *neighbour, uint64_t now)
{
	struct neighbour *n;

	if (neighbour->interface >= net->n_interfaces)
		return;
	n = find(&net->neighbours, (uint16_t)neighbour->interface, &neighbour->address);
	if (n == NULL && !neighbour->unasked) {
		n = add(net, (uint16_t)neighbour->interface, &neighbour->address);
		resolve(net, n, &neighbour->mac, NEIGHBOUR_REACHABLE, now);
	} else if (n != NULL && !neighbour->unasked) {
		resolve(net, n, &neighbour->mac, NEIGHBOUR_REACHABLE, now);
	} else if (n != NULL) {
		update(net, n, &neighbour->mac, NET_HEARD_ANSWER, now);
	}
	net_flush(net);
}

/* --- time ---------------------------------------------------------------------------------------
 */

/* Whose packets waited deserves to hear it. The entry goes first, since what we send may need
 * room in the table. */
static void
give_up(struct net *net, struct neighbour *n, uint64_t now)
{
	struct rte_mbuf *queue[NET_NEIGHBOUR_QUEUE];
	unsigned int n_queued = n->n_queued;

	memcpy(queue, n->queue, n_queued * sizeof(queue[0]));
	net->neighbours.n_queued -= n_queued;
	n->n_queued = 0;
	forget(net, n);
	for (unsigned int i = 0; i < n_queued; i++) {
		if (queue[i]->port != RTE_MBUF_PORT_INVALID)
			net_icmp_complain(net, queue[i], NET_HOST_UNREACHABLE, 0, now);
		else
			net_icmp_note_unreachable(net, queue[i]);
		net_drop(queue[i], &net->counters.neighbour_failed);
	}
}

static void
expire(struct net *net, struct neighbour *n, uint64_t now)
{
	switch (n->state) {
	case NEIGHBOUR_REACHABLE:
		n->state = NEIGHBOUR_STALE;
		set_deadline(&net->neighbours, n, now + STALE_TIME);
		break;
	case NEIGHBOUR_STALE:
		forget(net, n);
		break;
	case NEIGHBOUR_INCOMPLETE:
	case NEIGHBOUR_PROBE:
		if (n->tries < MAX_TRIES)
			ask(net, n, now);
		else
			give_up(net, n, now);
		break;
	default:
		break;
	}
}

void
net_neighbour_timers(struct net *net, uint64_t now)
{
	struct neighbour_table *table = &net->neighbours;
	uint64_t deadline = UINT64_MAX;

	if (now < table->next_deadline)
		return;
	for (unsigned int i = 0; i < table->max; i++)
		if (table->entries[i].state != NEIGHBOUR_FREE && now >= table->entries[i].deadline)
			expire(net, &table->entries[i], now);
	for (unsigned int i = 0; i < table->max; i++)
		if (table->entries[i].state != NEIGHBOUR_FREE)
			deadline = RTE_MIN(deadline, table->entries[i].deadline);
	table->next_deadline =
		deadline == UINT64_MAX ? UINT64_MAX : RTE_MAX(deadline, now + TIMER_GRAIN);
}
