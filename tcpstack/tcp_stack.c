/* SPDX-License-Identifier: Apache-2.0 */

/* The stack's life: its tables, its clock, its lists. */

#include <rte_malloc.h>

#include "tcpstack/tcp_internal.h"

#define DEFAULT_TIME_WAIT_MS 60000u

/* --- lists ----------------------------------------------------------------------------- */

void
tcp_list_init(struct tcp_list *list)
{
	list->head = TCP_NONE;
	list->tail = TCP_NONE;
}

void
tcp_list_push(struct tcp_stack *stack, struct tcp_list *list, struct tcp_conn *conn,
	      enum tcp_list_kind kind)
{
	uint32_t index = (uint32_t)(conn - stack->conns);

	conn->links[kind] = (struct tcp_link){.next = TCP_NONE, .prev = list->tail};
	if (list->tail != TCP_NONE)
		stack->conns[list->tail].links[kind].next = index;
	else
		list->head = index;
	list->tail = index;
}

void
tcp_list_push_front(struct tcp_stack *stack, struct tcp_list *list, struct tcp_conn *conn,
		    enum tcp_list_kind kind)
{
	uint32_t index = (uint32_t)(conn - stack->conns);

	conn->links[kind] = (struct tcp_link){.next = list->head, .prev = TCP_NONE};
	if (list->head != TCP_NONE)
		stack->conns[list->head].links[kind].prev = index;
	else
		list->tail = index;
	list->head = index;
}

void
tcp_list_remove(struct tcp_stack *stack, struct tcp_list *list, struct tcp_conn *conn,
		enum tcp_list_kind kind)
{
	struct tcp_link *link = &conn->links[kind];

	if (link->prev != TCP_NONE)
		stack->conns[link->prev].links[kind].next = link->next;
	else
		list->head = link->next;
	if (link->next != TCP_NONE)
		stack->conns[link->next].links[kind].prev = link->prev;
	else
		list->tail = link->prev;
}

/* --- the stack ------------------------------------------------------------------------- */

static void *
table_alloc(const struct tcp_stack_config *config, size_t count, size_t size)
{
	return rte_zmalloc_socket("tcp_stack", RTE_MAX(count, (size_t)1) * size,
				  RTE_CACHE_LINE_SIZE, config->socket_id);
}

static void
random_keys(struct tcp_stack *stack)
{
	const struct tcp_stack_config *config = &stack->config;

	config->random(config->random_ctx, stack->table.key, sizeof(stack->table.key));
	config->random(config->random_ctx, stack->isn_key, sizeof(stack->isn_key));
	config->random(config->random_ctx, stack->port_key, sizeof(stack->port_key));
	config->random(config->random_ctx, stack->ts_key, sizeof(stack->ts_key));
	config->random(config->random_ctx, &stack->port_next, sizeof(stack->port_next));
}

/* Each connection has a node of its own; half as many again are shared. */
static uint32_t
node_count(const struct tcp_stack_config *config)
{
	return config->max_connections + config->max_connections / 2 + 1024;
}

static void
init_free_lists(struct tcp_stack *stack)
{
	struct tcp_time_waits *tw = &stack->time_waits;
	uint32_t nodes = node_count(&stack->config);

	tcp_list_init(&stack->free);
	tcp_list_init(&stack->events);
	tcp_list_init(&stack->output);
	for (uint32_t i = 0; i < stack->config.max_connections; i++)
		tcp_list_push(stack, &stack->free, &stack->conns[i], TCP_LIST_EVENTS);
	stack->nodes.free_head = TCP_NONE;
	for (uint32_t i = nodes; i-- > stack->config.max_connections;)
		tcp_node_free(stack, i);
	tw->max = stack->config.max_time_wait;
	tw->head = TCP_TIME_WAIT_NONE;
	tw->tail = TCP_TIME_WAIT_NONE;
	tw->free_head = TCP_TIME_WAIT_NONE;
	for (uint32_t i = tw->max; i-- > 0;) {
		tw->entry[i].next = tw->free_head;
		tw->free_head = i;
	}
}

static int
allocate_tables(struct tcp_stack *stack)
{
	const struct tcp_stack_config *config = &stack->config;
	uint32_t conns = config->max_connections;

	stack->conns = table_alloc(config, conns, sizeof(*stack->conns));
	stack->nodes.node = table_alloc(config, node_count(config), sizeof(struct tcp_node));
	stack->time_waits.entry =
		table_alloc(config, config->max_time_wait, sizeof(struct tcp_time_wait));
	if (stack->conns == NULL || stack->nodes.node == NULL || stack->time_waits.entry == NULL)
		return TCP_E_NO_MEMORY;
	stack->table.conns = stack->conns;
	stack->table.conn_size = sizeof(*stack->conns);
	stack->table.time_waits = stack->time_waits.entry;
	stack->table.time_wait_size = sizeof(struct tcp_time_wait);
	return tcp_table_create(&stack->table, conns + config->max_time_wait, config->socket_id);
}

struct tcp_stack *
tcp_stack_create(const struct tcp_stack_config *config, int *error)
{
	struct tcp_stack *stack = table_alloc(config, 1, sizeof(*stack));

	*error = TCP_E_NO_MEMORY;
	if (stack == NULL)
		return NULL;
	stack->config = *config;
	stack->config.max_connections =
		rte_align32pow2(RTE_MIN(RTE_MAX(config->max_connections, 16u), 1u << 30));
	if (config->max_half_open == 0)
		stack->config.max_half_open = RTE_MAX(stack->config.max_connections / 4, 16u);
	stack->config.max_time_wait = RTE_MIN(config->max_time_wait, 1u << 30);
	if (config->time_wait_ms == 0)
		stack->config.time_wait_ms = DEFAULT_TIME_WAIT_MS;
	stack->config.time_wait_ms = RTE_MIN(stack->config.time_wait_ms, TCP_MS_MAX);
	if (allocate_tables(stack) != TCP_OK || tcp_build_init() != TCP_OK) {
		tcp_stack_destroy(stack);
		return NULL;
	}
	init_free_lists(stack);
	random_keys(stack);
	tcp_wheel_init(&stack->wheel, stack->conns, 0);
	*error = TCP_OK;
	return stack;
}

void
tcp_stack_destroy(struct tcp_stack *stack)
{
	if (stack == NULL)
		return;
	for (uint32_t i = 0; stack->n_conns > 0 && i < stack->config.max_connections; i++) {
		if (!(stack->conns[i].flags & TCP_F_USED))
			continue;
		tcp_conn_drop_buffers(&stack->conns[i]);
		tcp_reassembly_clear(&stack->conns[i]);
	}
	while (stack->replies_head != stack->replies_tail)
		rte_pktmbuf_free(stack->replies[stack->replies_head++ % TCP_REPLIES]);
	tcp_table_destroy(&stack->table);
	rte_free(stack->time_waits.entry);
	rte_free(stack->nodes.node);
	rte_free(stack->conns);
	rte_free(stack);
}

void
tcp_clock(struct tcp_stack *stack, uint64_t now)
{
	if (now < stack->now)
		return;
	stack->now = now;
	stack->tick = (uint32_t)(now / 1000);
	if (!stack->started) {
		stack->started = true;
		stack->wheel.tick = stack->tick;
	}
}

const struct tcp_counters *
tcp_stack_counters(const struct tcp_stack *stack)
{
	return &stack->counters;
}

uint32_t
tcp_stack_connections(const struct tcp_stack *stack)
{
	return stack->n_conns;
}

uint32_t
tcp_stack_time_waits(const struct tcp_stack *stack)
{
	return stack->time_waits.count;
}
