/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_TCPSTACK_INSIDE_H
#define UNIT_TCPSTACK_INSIDE_H

/* For tests of one mechanism of tcpstack: a stack and a connection that never sent or
 * received a segment, to be set up by hand. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tcpstack/tcp_internal.h"
#include "tests/sim/checked_pool.h"
#include "tests/sim/rng.h"

#define INSIDE_NOW 1000000000ull

struct inside {
	struct rng rng;
	struct tcp_stack *stack;
	struct tcp_conn *conn;
};

static struct rte_mempool *inside_pool, *inside_headers, *inside_indirect;

static inline struct in6_addr
inside_address(uint8_t last)
{
	return (struct in6_addr){.s6_addr = {[10] = 0xff, 0xff, 10, 0, 0, last}};
}

static inline struct tcp_tuple
inside_tuple(uint16_t local_port, uint16_t remote_port)
{
	return (struct tcp_tuple){.local = inside_address(1),
				  .remote = inside_address(2),
				  .local_port = local_port,
				  .remote_port = remote_port};
}

static inline struct tcp_stack *
inside_stack(struct tcp_stack_config *config, struct rng *rng)
{
	struct tcp_stack *stack;
	int error;

	config->header_pool = inside_headers;
	config->indirect_pool = inside_indirect;
	config->random = rng_fill;
	config->random_ctx = rng;
	config->socket_id = SOCKET_ID_ANY;
	stack = tcp_stack_create(config, &error);
	assert_non_null(stack);
	assert_int_equal(error, TCP_OK);
	tcp_clock(stack, INSIDE_NOW);
	return stack;
}

static inline int
inside_setup(void **state)
{
	struct tcp_stack_config config = {
		.max_connections = 16, .max_time_wait = 16, .max_ooo_bytes = 1 << 20};
	struct inside *in = calloc(1, sizeof(*in));
	struct tcp_tuple tuple = inside_tuple(80, 5000);

	assert_non_null(in);
	in->rng.state = 1;
	in->stack = inside_stack(&config, &in->rng);
	in->conn = tcp_conn_new(in->stack, &tuple, NULL);
	assert_non_null(in->conn);
	in->conn->state = TCP_ESTABLISHED;
	in->conn->flags |= TCP_F_SACK;
	*state = in;
	return 0;
}

static inline int
inside_teardown(void **state)
{
	struct inside *in = *state;

	tcp_stack_destroy(in->stack);
	free(in);
	return rte_mempool_in_use_count(inside_pool) == 0 ? 0 : -1;
}

static inline void
inside_init(const char *name)
{
	checked_eal_init(name, 64);
	inside_pool = checked_pool_create("payload", 1023, 2048);
	inside_headers = checked_pool_create("header", 127, 128);
	inside_indirect = checked_pool_create("indirect", 127, 0);
}

static inline int
inside_run(const struct CMUnitTest *tests, size_t n)
{
	int failed = _cmocka_run_group_tests("inside", tests, n, NULL, NULL);

	checked_pool_free(inside_pool);
	checked_pool_free(inside_headers);
	checked_pool_free(inside_indirect);
	return failed;
}

#endif
