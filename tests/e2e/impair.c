/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bad cable between two network interfaces, for tests: forwards Ethernet frames both ways
 * and loses, doubles, reorders and corrupts some of them, each with its own probability. The
 * same seed and the same frames give the same fate to each frame.
 *
 *     impair [--loss=PERCENT] [--duplicate=PERCENT] [--reorder=PERCENT] [--corrupt=PERCENT]
 *            [--seed=N] INTERFACE INTERFACE
 *
 * Says "ready" once it forwards, and on SIGTERM one line of counters. IPv4 and IPv6 frames
 * only are impaired; ARP and neighbour discovery always pass, so that a test of TCP stays one.
 */

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23 /* Linux 4.20 */
#endif

#define BURST 64
#define FRAME_MAX 9216
#define QUEUE_BYTES (16 * 1024 * 1024) /* of a socket: what waits is delayed, not lost */
#define HELD_MAX_NS 2000000            /* a reordered frame waits for the next one, or so long */

struct odds { /* of one in 2^32 */
	uint64_t loss, duplicate, reorder, corrupt;
};

struct direction {
	int in, out;
	uint64_t random; /* state of splitmix64: each direction has its own sequence */
	uint8_t held[FRAME_MAX];
	size_t held_len; /* 0: none */
	uint64_t held_since;
	uint64_t passed, lost, duplicated, reordered, corrupted, unsent;
};

static volatile sig_atomic_t stopping;

static void
on_signal(int number)
{
	stopping = number;
}

static void
fail(const char *what)
{
	fprintf(stderr, "impair: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint32_t
random_u32(struct direction *d)
{
	uint64_t z = (d->random += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (uint32_t)((z ^ (z >> 31)) >> 32);
}

static bool
happens(struct direction *d, uint64_t odds)
{
	return odds != 0 && random_u32(d) < odds;
}

static uint64_t
parse_percent(const char *text)
{
	char *end;
	double percent = strtod(text, &end);

	if (end == text || *end != '\0' || percent < 0 || percent > 100) {
		fprintf(stderr, "impair: not a percentage: %s\n", text);
		exit(2);
	}
	return (uint64_t)(percent / 100 * 4294967296.0);
}

static int
open_interface(const char *name)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)if_nametoindex(name),
	};
	struct packet_mreq promiscuous = {
		.mr_ifindex = address.sll_ifindex,
		.mr_type = PACKET_MR_PROMISC,
	};
	const int one = 1, bytes = QUEUE_BYTES;
	int fd;

	if (address.sll_ifindex == 0)
		fail(name);
	fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (fd < 0)
		fail("socket");
	if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) != 0)
		fail("PACKET_IGNORE_OUTGOING");
	if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof(promiscuous)) !=
	    0)
		fail("PACKET_ADD_MEMBERSHIP");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		fail("bind");
	return fd;
}

static void
transmit(struct direction *d, const uint8_t *frame, size_t len)
{
	if (send(d->out, frame, len, 0) != (ssize_t)len)
		d->unsent++;
	else
		d->passed++;
}

static void
release_held(struct direction *d)
{
	if (d->held_len == 0)
		return;
	transmit(d, d->held, d->held_len);
	d->held_len = 0;
}

/* IP, apart from ICMPv6, which carries neighbour discovery. */
static bool
is_fair_game(const uint8_t *frame, size_t len)
{
	unsigned int type;

	if (len < ETH_HLEN + 20)
		return false;
	type = (unsigned int)frame[12] << 8 | frame[13];
	if (type == ETH_P_IP)
		return true;
	return type == ETH_P_IPV6 && frame[ETH_HLEN + 6] != IPPROTO_ICMPV6;
}

static void
pass_on(struct direction *d, const struct odds *odds, uint8_t *frame, size_t len)
{
	if (!is_fair_game(frame, len)) {
		transmit(d, frame, len);
		return;
	}
	if (happens(d, odds->loss)) {
		d->lost++;
		return;
	}
	if (happens(d, odds->corrupt)) {
		frame[ETH_HLEN + random_u32(d) % (len - ETH_HLEN)] ^= 1u << random_u32(d) % 8;
		d->corrupted++;
	}
	if (d->held_len == 0 && happens(d, odds->reorder)) {
		memcpy(d->held, frame, len);
		d->held_len = len;
		d->held_since = now_ns();
		d->reordered++;
		return;
	}
	transmit(d, frame, len);
	if (happens(d, odds->duplicate)) {
		transmit(d, frame, len);
		d->duplicated++;
	}
	release_held(d);
}

static void
forward_burst(struct direction *d, const struct odds *odds)
{
	static uint8_t frames[BURST][FRAME_MAX];
	struct mmsghdr messages[BURST];
	struct iovec parts[BURST];
	int i, n;

	memset(messages, 0, sizeof(messages));
	for (i = 0; i < BURST; i++) {
		parts[i] = (struct iovec){frames[i], FRAME_MAX};
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	n = recvmmsg(d->in, messages, BURST, MSG_DONTWAIT, NULL);
	for (i = 0; i < n; i++)
		pass_on(d, odds, frames[i], messages[i].msg_len);
}

static void
forward_until_stopped(struct direction *both, const struct odds *odds)
{
	struct pollfd fds[2] = {{both[0].in, POLLIN, 0}, {both[1].in, POLLIN, 0}};
	int i, holding;

	while (!stopping) {
		holding = both[0].held_len != 0 || both[1].held_len != 0;
		if (poll(fds, 2, holding ? 1 : 100) < 0 && errno != EINTR)
			fail("poll");
		for (i = 0; i < 2; i++) {
			if (fds[i].revents != 0)
				forward_burst(&both[i], odds);
			if (both[i].held_len != 0 && now_ns() - both[i].held_since > HELD_MAX_NS)
				release_held(&both[i]);
		}
	}
}

static void
report(const struct direction *both)
{
#define SUM(field) (unsigned long long)(both[0].field + both[1].field)
	printf("passed=%llu lost=%llu duplicated=%llu reordered=%llu corrupted=%llu unsent=%llu\n",
	       SUM(passed), SUM(lost), SUM(duplicated), SUM(reordered), SUM(corrupted),
	       SUM(unsent));
#undef SUM
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{"loss", required_argument, NULL, 'l'},
		{"duplicate", required_argument, NULL, 'd'},
		{"reorder", required_argument, NULL, 'r'},
		{"corrupt", required_argument, NULL, 'c'},
		{"seed", required_argument, NULL, 's'},
		{NULL, 0, NULL, 0},
	};
	static struct direction both[2];
	struct odds odds = {0};
	uint64_t seed = 1;
	int c, left, right;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'l':
			odds.loss = parse_percent(optarg);
			break;
		case 'd':
			odds.duplicate = parse_percent(optarg);
			break;
		case 'r':
			odds.reorder = parse_percent(optarg);
			break;
		case 'c':
			odds.corrupt = parse_percent(optarg);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		default:
			return 2;
		}
	}
	if (argc - optind != 2) {
		fprintf(stderr, "usage: impair [OPTION...] INTERFACE INTERFACE\n");
		return 2;
	}
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	left = open_interface(argv[optind]);
	right = open_interface(argv[optind + 1]);
	both[0].in = both[1].out = left;
	both[0].out = both[1].in = right;
	both[0].random = seed;
	both[1].random = ~seed;
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	forward_until_stopped(both, &odds);
	report(both);
	return 0;
}
