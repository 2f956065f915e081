/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a reload finds changed that only a restart can change.
 */
#include <string.h>

#include "control/address.h"
#include "control/config.h"

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool
same_prefix(const struct policy_prefix *a, const struct policy_prefix *b)
{
	return a->length == b->length && address_equal(&a->address, &b->address);
}

static bool
same_port(const struct policy_port *a, const struct policy_port *b)
{
	if (!same_text(a->name, b->name) || !same_text(a->device, b->device) || a->mtu != b->mtu ||
	    a->vlan != b->vlan || a->n_addresses != b->n_addresses)
		return false;
	for (unsigned int i = 0; i < a->n_addresses; i++) {
		if (!same_prefix(&a->addresses[i], &b->addresses[i]))
			return false;
	}
	return true;
}

static bool
same_ports(const struct policy_node *a, const struct policy_node *b)
{
	bool same = a->n_ports == b->n_ports;

	for (unsigned int i = 0; same && i < a->n_ports; i++)
		same = same_port(&a->ports[i], &b->ports[i]);
	return same;
}

static bool
same_routes(const struct policy_node *a, const struct policy_node *b)
{
	bool same = a->n_routes == b->n_routes;

	for (unsigned int i = 0; same && i < a->n_routes; i++)
		same = same_prefix(&a->routes[i].to, &b->routes[i].to) &&
		       address_equal(&a->routes[i].via, &b->routes[i].via) &&
		       a->routes[i].port == b->routes[i].port;
	return same;
}

static bool
same_workers(const struct policy_node *a, const struct policy_node *b)
{
	return a->workers == b->workers && memcmp(a->cores, b->cores, sizeof(a->cores)) == 0 &&
	       a->idle == b->idle && a->max_connections == b->max_connections &&
	       a->memory_mib == b->memory_mib && a->buffer_bytes == b->buffer_bytes;
}

static bool
same_timeouts(const struct policy_node *a, const struct policy_node *b)
{
	return a->connect_timeout_ms == b->connect_timeout_ms &&
	       a->handshake_timeout_ms == b->handshake_timeout_ms &&
	       a->detect_timeout_ms == b->detect_timeout_ms &&
	       a->idle_timeout_ms == b->idle_timeout_ms && a->drain_ms == b->drain_ms &&
	       a->keepalive_ms == b->keepalive_ms;
}

void
config_compare(const struct config *before, const struct config *now,
	       struct diagnostics *diagnostics)
{
	const struct policy_node *a = &before->node, *b = &now->node;
	const struct {
		const char *section;
		bool same;
	} sections[] = {
		{"node.name", same_text(a->name, b->name)},
		{"workers", same_workers(a, b)},
		{"crypto", same_text(a->crypto_device, b->crypto_device)},
		{"tls", a->tls_min_version == b->tls_min_version},
		{"ports", same_ports(a, b)},
		{"routes", same_routes(a, b)},
		{"timeouts", same_timeouts(a, b)},
		{"log", same_text(a->connection_log, b->connection_log)},
		{"admin", same_text(a->admin_socket, b->admin_socket)},
	};

	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		if (!sections[i].same)
			diagnostics_warning(diagnostics,
					    yaml_deepest(now->yaml, sections[i].section)->place,
					    "%s has changed, which takes effect at the next start",
					    sections[i].section);
	}
}
