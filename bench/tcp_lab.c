/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/tcp_lab.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <rte_byteorder.h>
#include <rte_eal.h>
#include <rte_ip.h>
#include <rte_malloc.h>
#include <rte_memory.h>
#include <rte_tcp.h>

#define HEAP "bench_thp"
#define HUGE_PAGE (2ul << 20)
#define HEADERS_LEN 52 /* IPv4, TCP, timestamps */
#define TIME_WAITS 65536

static struct rte_mempool *rx_pool, *header_pool, *indirect_pool;

void
lab_check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench/tcp: %s\n", what);
	exit(1);
}

/* --- memory ---------------------------------------------------------------------------- */

const char *
lab_memory_name(enum lab_memory memory)
{
	static const char *const name[] = {
		[LAB_PAGES] = "4 KiB pages",
		[LAB_TRANSPARENT] = "transparent huge pages",
		[LAB_HUGE] = "2 MiB huge pages",
	};

	return name[memory];
}

bool
lab_has_huge_pages(unsigned int megabytes)
{
	FILE *f = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "r");
	unsigned long pages = 0;

	if (f == NULL)
		return false;
	if (fscanf(f, "%lu", &pages) != 1)
		pages = 0;
	fclose(f);
	return pages * 2 >= megabytes + 128;
}

/* A heap for the tables in memory of our own, so that it can ask for huge pages. */
static bool
transparent_heap(size_t size)
{
	uint8_t *memory = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		return false;
	memory = (uint8_t *)RTE_ALIGN_CEIL((uintptr_t)memory, HUGE_PAGE);
	if (madvise(memory, size, MADV_HUGEPAGE) != 0)
		return false;
	for (size_t at = 0; at < size; at += HUGE_PAGE)
		memory[at] = 0;
	return rte_malloc_heap_create(HEAP) == 0 &&
	       rte_malloc_heap_memory_add(HEAP, memory, size, NULL, size / HUGE_PAGE, HUGE_PAGE) ==
		       0;
}

static int
table_socket(enum lab_memory memory)
{
	return memory == LAB_TRANSPARENT ? rte_malloc_heap_get_socket(HEAP) : SOCKET_ID_ANY;
}

enum lab_memory
lab_init(enum lab_memory memory, unsigned int megabytes)
{
	char size[16];
	char *no_huge[] = {"bench",
			   "--no-huge",
			   "--no-shconf",
			   "--no-pci",
			   "--no-telemetry",
			   "--log-level=error",
			   "-l",
			   "0",
			   "-m",
			   size,
			   NULL};
	char *huge[] = {"bench",
			"--in-memory",
			"--no-pci",
			"--no-telemetry",
			"--log-level=error",
			"-l",
			"0",
			"-m",
			size,
			NULL};
	bool own = memory == LAB_HUGE;

	snprintf(size, sizeof(size), "%u", 64 + (memory == LAB_TRANSPARENT ? 0 : megabytes));
	if (rte_eal_init((own ? (int)RTE_DIM(huge) : (int)RTE_DIM(no_huge)) - 1,
			 own ? huge : no_huge) < 0)
		lab_check(false, "the EAL does not start");
	if (memory == LAB_TRANSPARENT && !transparent_heap((size_t)megabytes << 20))
		lab_check(false, "no transparent huge pages: use --memory=pages");
	rx_pool = rte_pktmbuf_pool_create("rx", 2047, 256, 0, RTE_PKTMBUF_HEADROOM + 2048,
					  SOCKET_ID_ANY);
	header_pool = rte_pktmbuf_pool_create("header", 2047, 256, 0, RTE_PKTMBUF_HEADROOM + 128,
					      SOCKET_ID_ANY);
	indirect_pool = rte_pktmbuf_pool_create("indirect", 2047, 256, 0, 0, SOCKET_ID_ANY);
	lab_check(rx_pool != NULL && header_pool != NULL && indirect_pool != NULL, "no pools");
	return memory;
}

/* --- segments -------------------------------------------------------------------------- */

static uint64_t
random_word(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static void
fill_random(void *ctx, void *buf, size_t len)
{
	uint8_t *out = buf;

	while (len-- > 0)
		*out++ = (uint8_t)random_word(ctx);
}

static rte_be32_t
remote_address(uint32_t id)
{
	return rte_cpu_to_be_32((11u << 24) + (id >> 14));
}

static uint16_t
local_port(uint32_t id)
{
	return 1024 + (id & 0x3fff);
}

static struct in6_addr
mapped(rte_be32_t address)
{
	struct in6_addr out = {.s6_addr32 = {0, 0, RTE_BE32(0xffff), 0}};

	out.s6_addr32[3] = address;
	return out;
}

#define LOCAL RTE_BE32(0x0a000001)
#define REMOTE_PORT 443

static struct tcp_tuple
tuple_of(uint32_t id)
{
	return (struct tcp_tuple){
		.local = mapped(LOCAL),
		.remote = mapped(remote_address(id)),
		.local_port = local_port(id),
		.remote_port = REMOTE_PORT,
	};
}

struct tcp_tuple
lab_new_tuple(struct lab *lab, struct peer *peer)
{
	*peer = (struct peer){.id = lab->next_id++, .snd_nxt = (uint32_t)random_word(&lab->random)};
	return tuple_of(peer->id);
}

static uint32_t
write_options(const struct lab *lab, const struct peer *peer, uint8_t flags, uint8_t *out)
{
	static const uint8_t syn[] = {2, 4, 1460 >> 8, 1460 & 0xff, 1, 1, 4, 2, 1, 3, 3, 7};
	static const uint8_t timestamps[] = {1, 1, 8, 10};
	rte_be32_t val = rte_cpu_to_be_32((uint32_t)(lab->now / 1000));
	rte_be32_t ecr = rte_cpu_to_be_32(peer->ts_ecr);
	uint32_t len = 0;

	if (flags & RTE_TCP_SYN_FLAG) {
		memcpy(out, syn, sizeof(syn));
		len = sizeof(syn);
	}
	memcpy(out + len, timestamps, 4);
	memcpy(out + len + 4, &val, 4);
	memcpy(out + len + 8, &ecr, 4);
	return len + 12;
}

void
lab_segment(struct lab *lab, const struct peer *peer, uint8_t flags, uint32_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(rx_pool);
	struct rte_ipv4_hdr *ip;
	struct rte_tcp_hdr *tcp;
	uint32_t options;

	lab_check(m != NULL && lab->n_in < LAB_BURST, "out of buffers");
	ip = rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *);
	tcp = (struct rte_tcp_hdr *)(ip + 1);
	options = write_options(lab, peer, flags, (uint8_t *)(tcp + 1));
	*tcp = (struct rte_tcp_hdr){
		.src_port = rte_cpu_to_be_16(REMOTE_PORT),
		.dst_port = rte_cpu_to_be_16(local_port(peer->id)),
		.sent_seq = rte_cpu_to_be_32(peer->snd_nxt),
		.recv_ack = flags & RTE_TCP_ACK_FLAG ? rte_cpu_to_be_32(peer->rcv_nxt) : 0,
		.data_off = (uint8_t)((sizeof(*tcp) + options) / 4 << 4),
		.tcp_flags = flags,
		.rx_win = RTE_BE16(0xffff),
	};
	m->data_len = (uint16_t)(sizeof(*ip) + sizeof(*tcp) + options + len);
	m->pkt_len = m->data_len;
	m->l3_len = sizeof(*ip);
	m->packet_type = RTE_PTYPE_L3_IPV4;
	*ip = (struct rte_ipv4_hdr){
		.version_ihl = RTE_IPV4_VHL_DEF,
		.total_length = rte_cpu_to_be_16(m->data_len),
		.time_to_live = 64,
		.next_proto_id = IPPROTO_TCP,
		.src_addr = remote_address(peer->id),
		.dst_addr = LOCAL,
	};
	lab->in[lab->n_in++] = m;
}

struct rte_mbuf *
lab_payload(uint32_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(rx_pool);

	lab_check(m != NULL, "out of buffers");
	m->data_len = (uint16_t)len;
	m->pkt_len = len;
	return m;
}

/* The timestamps of the stack's segments stand last in the SYN's block but for the window
 * scale, and first otherwise: they are looked for. */
static uint32_t
find_timestamp(const struct rte_tcp_hdr *tcp)
{
	const uint8_t *p = (const uint8_t *)(tcp + 1);
	const uint8_t *end = (const uint8_t *)tcp + (tcp->data_off >> 4) * 4;
	uint32_t val = 0;

	while (p + 2 <= end && *p != 0) {
		if (*p == 1) {
			p++;
			continue;
		}
		if (*p == 8 && p + 6 <= end)
			memcpy(&val, p + 2, 4);
		p += RTE_MAX(p[1], 1);
	}
	return rte_be_to_cpu_32(val);
}

void
lab_learn(struct lab *lab, struct peer *peers, uint16_t n)
{
	lab_check(lab->n_out == n, "the stack sent another number of segments");
	for (uint16_t i = 0; i < n; i++) {
		const struct rte_ipv4_hdr *ip =
			rte_pktmbuf_mtod(lab->out[i], const struct rte_ipv4_hdr *);
		const struct rte_tcp_hdr *tcp = (const struct rte_tcp_hdr *)(ip + 1);
		uint32_t len = lab->out[i]->pkt_len - 20u - (tcp->data_off >> 4) * 4u;

		lab_check(tcp->src_port == rte_cpu_to_be_16(local_port(peers[i].id)),
			  "the stack sent in another order");
		len += !!(tcp->tcp_flags & (RTE_TCP_SYN_FLAG | RTE_TCP_FIN_FLAG));
		peers[i].rcv_nxt = rte_be_to_cpu_32(tcp->sent_seq) + len;
		peers[i].ts_ecr = find_timestamp(tcp);
	}
}

void
lab_clear(struct lab *lab)
{
	for (uint16_t i = 0; i < lab->n_out; i++)
		rte_pktmbuf_free(lab->out[i]);
	for (uint16_t i = 0; i < lab->n_taken; i++)
		rte_pktmbuf_free(lab->taken[i]);
	lab->n_in = 0;
	lab->n_out = 0;
	lab->n_taken = 0;
}

/* --- the stack ------------------------------------------------------------------------- */

static struct tcp_stack *
new_stack(enum lab_memory memory, uint32_t n, uint32_t time_waits, uint64_t *random)
{
	struct tcp_stack_config config = {
		.max_connections = n,
		.max_time_wait = time_waits,
		.max_ooo_bytes = 256 << 10,
		.time_wait_ms = 1000,
		.header_pool = header_pool,
		.indirect_pool = indirect_pool,
		.random = fill_random,
		.random_ctx = random,
		.socket_id = table_socket(memory),
	};
	int error;
	struct tcp_stack *stack = tcp_stack_create(&config, &error);

	lab_check(stack != NULL, "no memory for the stack");
	return stack;
}

static void
establish(struct lab *lab, struct peer *peers, uint16_t n)
{
	struct tcp_conn_config config = {.room = LAB_ROOM};
	struct tcp_event events[LAB_BURST];

	for (uint16_t i = 0; i < n; i++) {
		struct tcp_tuple tuple = lab_new_tuple(lab, &peers[i]);
		int rc = tcp_connect(lab->stack, &tuple, lab->now, &config, &peers[i].conn);

		lab_check(rc == TCP_OK, tcp_strerror(rc));
	}
	lab->n_out = tcp_output(lab->stack, lab->now, lab->out, RTE_DIM(lab->out));
	lab_learn(lab, peers, n);
	for (uint16_t i = 0; i < n; i++)
		lab_segment(lab, &peers[i], RTE_TCP_SYN_FLAG | RTE_TCP_ACK_FLAG, 0);
	lab_clear(lab);
	tcp_input(lab->stack, lab->in, n, lab->now, lab->taken);
	lab_check(tcp_events(lab->stack, events, LAB_BURST) == n, "not all are established");
	lab->n_out = tcp_output(lab->stack, lab->now, lab->out, RTE_DIM(lab->out));
	lab_learn(lab, peers, n);
	lab_clear(lab);
	for (uint16_t i = 0; i < n; i++)
		peers[i].snd_nxt++;
}

static void
shuffle(struct lab *lab)
{
	for (uint32_t i = 0; i < lab->n; i++) {
		uint32_t j = (uint32_t)(random_word(&lab->random) % (i + 1));

		lab->order[i] = lab->order[j];
		lab->order[j] = i;
	}
}

void
lab_open(struct lab *lab, enum lab_memory memory, uint32_t n)
{
	*lab = (struct lab){.now = 1000000000, .memory = memory, .n = n, .random = 1};
	lab->stack = new_stack(memory, n + 2 * LAB_BURST, TIME_WAITS, &lab->random);
	lab->peers = calloc((size_t)n + LAB_BURST, sizeof(*lab->peers));
	lab->order = calloc(n, sizeof(*lab->order));
	lab_check(lab->peers != NULL && lab->order != NULL, "no memory");
	for (uint32_t i = 0; i < n; i += LAB_BURST)
		establish(lab, &lab->peers[i], (uint16_t)RTE_MIN(n - i, (uint32_t)LAB_BURST));
	shuffle(lab);
	/* What the handshakes left on the wheel is worked off. */
	for (int i = 0; i < 20; i++) {
		lab->now += 1000000;
		tcp_timers(lab->stack, lab->now);
	}
}

void
lab_close(struct lab *lab)
{
	tcp_stack_destroy(lab->stack);
	free(lab->peers);
	free(lab->order);
}

struct peer *
lab_next(struct lab *lab)
{
	if (lab->at == lab->n)
		lab->at = 0;
	return &lab->peers[lab->order[lab->at++]];
}

static uint64_t
heap_bytes(enum lab_memory memory)
{
	struct rte_malloc_socket_stats stats = {0};
	int socket = table_socket(memory);

	rte_malloc_get_socket_stats(socket == SOCKET_ID_ANY ? 0 : socket, &stats);
	return stats.heap_allocsz_bytes;
}

uint64_t
lab_table_bytes(enum lab_memory memory, uint32_t n, uint32_t time_waits)
{
	uint64_t before = heap_bytes(memory), random = 1, bytes;
	struct tcp_stack *stack = new_stack(memory, n, time_waits, &random);

	bytes = heap_bytes(memory) - before;
	tcp_stack_destroy(stack);
	return bytes;
}
