/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What no table can say of portcullis.yaml: how its parts fit together.
 */
#include <string.h>

#include "control/address.h"
#include "control/config_document.h"

static struct diagnostics_place
at(const struct yaml_node *node, const char *path)
{
	return yaml_deepest(node, path)->place;
}

static bool
same(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/* --- workers -------------------------------------------------------------------------------- */

static void
check_cores(const struct document *document, struct diagnostics *diagnostics)
{
	const struct document_workers *workers = &document->workers;
	const struct yaml_node *list = yaml_get(yaml_get(document->yaml, "workers"), "cores");

	if (workers->n_cores == 0 || list == NULL)
		return;
	if (workers->has_count && workers->n_cores != workers->count)
		diagnostics_error(
			diagnostics, list->place,
			"workers.cores has %u elements, expected as many as workers.count, "
			"which is %u",
			workers->n_cores, workers->count);
	for (unsigned int i = 1; i < workers->n_cores && i < POLICY_MAX_WORKERS; i++) {
		for (unsigned int j = 0; j < i; j++) {
			if (workers->cores[i] != workers->cores[j] ||
			    list->values[i]->kind != YAML_INT)
				continue;
			diagnostics_error(diagnostics, list->values[i]->place,
					  "workers.cores[%u] is CPU %d again, expected another", i,
					  workers->cores[i]);
			break;
		}
	}
}

/* --- ports ---------------------------------------------------------------------------------- */

/* Of a prefix's host bits: all are zero, or all are one. */
static bool
host_bits(const struct policy_prefix *prefix, unsigned int value)
{
	for (unsigned int bit = prefix->length; bit < 128; bit++) {
		if (((prefix->address.s6_addr[bit / 8] >> (7 - bit % 8)) & 1u) != value)
			return false;
	}
	return true;
}

static const char *
unusable(const struct policy_prefix *prefix)
{
	bool ipv4 = address_is_ipv4(&prefix->address);

	if (address_is_unspecified(&prefix->address))
		return "the unspecified address";
	if (address_is_multicast(&prefix->address))
		return "a multicast address";
	if (ipv4 ? prefix->address.s6_addr[12] == 127
		 : memcmp(&prefix->address, &in6addr_loopback, sizeof(in6addr_loopback)) == 0)
		return "a loopback address";
	/* /31 has neither, RFC 3021. */
	if (ipv4 && prefix->length < 127 && host_bits(prefix, 0))
		return "the address of the network itself";
	if (ipv4 && prefix->length < 127 && host_bits(prefix, 1))
		return "the broadcast address";
	return NULL;
}

/* Whether a value was bound: what did not parse has been reported, and is zero. */
static bool
is_prefix(const struct yaml_node *written)
{
	struct policy_prefix prefix;

	return written != NULL && written->kind == YAML_STRING &&
	       address_parse_prefix(written->text, &prefix);
}

static bool
is_address(const struct yaml_node *written)
{
	struct in6_addr address;

	return written != NULL && written->kind == YAML_STRING &&
	       address_parse(written->text, &address);
}

/* The same of a port's address; :: is refused as one, so zero is not taken for it. */
static bool
is_bound(const struct policy_prefix *prefix)
{
	return !address_is_unspecified(&prefix->address);
}

/* The same address on an earlier port, or earlier on this one. */
static const struct document_port *
earlier_address(const struct document *document, unsigned int port, unsigned int index)
{
	const struct policy_prefix *prefix = &document->ports[port].addresses[index];

	for (unsigned int p = 0; p <= port; p++) {
		const struct document_port *other = &document->ports[p];
		unsigned int n = p == port ? index : other->n_addresses;

		for (unsigned int a = 0; a < n; a++) {
			if (address_equal(&other->addresses[a].address, &prefix->address))
				return other;
		}
	}
	return NULL;
}

static const struct document_port *
earlier_network(const struct document *document, unsigned int port, unsigned int index)
{
	const struct policy_prefix *prefix = &document->ports[port].addresses[index];

	for (unsigned int p = 0; p < port; p++) {
		const struct document_port *other = &document->ports[p];

		for (unsigned int a = 0; a < other->n_addresses; a++) {
			if (other->addresses[a].length == prefix->length &&
			    is_bound(&other->addresses[a]) &&
			    address_in_prefix(&prefix->address, &other->addresses[a]))
				return other;
		}
	}
	return NULL;
}

static bool
is_link_local(const struct in6_addr *address)
{
	return address->s6_addr[0] == 0xfe && (address->s6_addr[1] & 0xc0) == 0x80;
}

static void
check_address(const struct document *document, unsigned int port, unsigned int index,
	      struct diagnostics *diagnostics)
{
	const struct document_port *here = &document->ports[port], *other;
	const struct policy_prefix *prefix = &here->addresses[index];
	struct diagnostics_place place = yaml_get(here->node, "addresses")->values[index]->place;
	const char *what = unusable(prefix);
	char text[ADDRESS_TEXT];

	if (what != NULL)
		diagnostics_error(diagnostics, place,
				  "ports[%u].addresses[%u] is %s, %s, expected a host's address",
				  port, index, address_format_prefix(prefix, text), what);
	else if ((other = earlier_address(document, port, index)) != NULL)
		diagnostics_error(diagnostics, place,
				  "ports[%u].addresses[%u] is %s, which port \"%s\" has already, "
				  "expected another address",
				  port, index, address_format(&prefix->address, text),
				  other->name ? other->name : "");
	else if (!is_link_local(&prefix->address) &&
		 (other = earlier_network(document, port, index)) != NULL)
		diagnostics_error(diagnostics, place,
				  "ports[%u].addresses[%u] is %s, a network that port \"%s\" has "
				  "already, expected another network",
				  port, index, address_format_prefix(prefix, text),
				  other->name ? other->name : "");
}

static bool
has_ipv6(const struct document_port *port)
{
	for (unsigned int i = 0; i < port->n_addresses; i++) {
		if (is_bound(&port->addresses[i]) && !address_is_ipv4(&port->addresses[i].address))
			return true;
	}
	return false;
}

/* "net_af_packet0" of "net_af_packet0,iface=eth1": what DPDK wants to be unique. */
static bool
same_device(const char *a, const char *b)
{
	size_t len;

	if (a == NULL || b == NULL)
		return false;
	len = strcspn(a, ",");
	return len == strcspn(b, ",") && memcmp(a, b, len) == 0;
}

static void
check_port(const struct document *document, unsigned int i, struct diagnostics *diagnostics)
{
	const struct document_port *port = &document->ports[i];

	for (unsigned int j = 0; j < i; j++) {
		if (same(port->name, document->ports[j].name))
			diagnostics_error(
				diagnostics, at(port->node, "name"),
				"ports[%u].name is \"%s\", as ports[%u].name is, expected a "
				"name of its own",
				i, port->name, j);
		if (same_device(port->device, document->ports[j].device))
			diagnostics_error(
				diagnostics, at(port->node, "device"),
				"ports[%u].device is \"%s\", which ports[%u] has already, "
				"expected a device of its own",
				i, port->device, j);
	}
	/* RFC 8200 section 5. */
	if (port->mtu != 0 && port->mtu < 1280 && has_ipv6(port))
		diagnostics_error(
			diagnostics, at(port->node, "mtu"),
			"ports[%u].mtu is %u with an IPv6 address, expected at least 1280", i,
			port->mtu);
	for (unsigned int a = 0; a < port->n_addresses; a++) {
		if (is_prefix(yaml_get(port->node, "addresses")->values[a]))
			check_address(document, i, a, diagnostics);
	}
}

/* --- routes --------------------------------------------------------------------------------- */

static const struct document_port *
find_port(const struct document *document, const char *name)
{
	for (unsigned int i = 0; i < document->n_ports; i++) {
		if (same(document->ports[i].name, name))
			return &document->ports[i];
	}
	return NULL;
}

static const struct document_port *
owner_of(const struct document *document, const struct in6_addr *address)
{
	for (unsigned int i = 0; i < document->n_ports; i++) {
		const struct document_port *port = &document->ports[i];

		for (unsigned int a = 0; a < port->n_addresses; a++) {
			if (is_bound(&port->addresses[a]) &&
			    address_equal(&port->addresses[a].address, address))
				return port;
		}
	}
	return NULL;
}

static bool
on_link(const struct document_port *port, const struct in6_addr *address)
{
	for (unsigned int i = 0; i < port->n_addresses; i++) {
		if (is_bound(&port->addresses[i]) &&
		    address_in_prefix(address, &port->addresses[i]))
			return true;
	}
	return is_link_local(address) && has_ipv6(port);
}

static void
check_via(const struct document *document, unsigned int i, const struct document_port *port,
	  struct diagnostics *diagnostics)
{
	const struct document_route *route = &document->routes[i];
	struct diagnostics_place place = at(route->node, "via");
	char via[ADDRESS_TEXT], to[ADDRESS_TEXT];

	address_format(&route->via, via);
	if (is_prefix(yaml_get(route->node, "to")) &&
	    address_is_ipv4(&route->via) != address_is_ipv4(&route->to.address))
		diagnostics_error(diagnostics, place,
				  "routes[%u].via is %s for %s, expected an %s address", i, via,
				  address_format_prefix(&route->to, to),
				  address_is_ipv4(&route->to.address) ? "IPv4" : "IPv6");
	else if (address_is_unspecified(&route->via) || address_is_multicast(&route->via))
		diagnostics_error(diagnostics, place,
				  "routes[%u].via is %s, expected the address of a router", i, via);
	else if (owner_of(document, &route->via) != NULL)
		diagnostics_error(
			diagnostics, place,
			"routes[%u].via is %s, which is our own, expected the address of a "
			"router",
			i, via);
	else if (port != NULL && !on_link(port, &route->via))
		diagnostics_error(
			diagnostics, place,
			"routes[%u].via is %s, which is not on the link, expected an address "
			"in a network of port \"%s\"",
			i, via, port->name);
}

static void
check_destination(const struct document *document, unsigned int i, struct diagnostics *diagnostics)
{
	const struct document_route *route = &document->routes[i];
	char text[ADDRESS_TEXT];

	if (!host_bits(&route->to, 0))
		diagnostics_error(diagnostics, at(route->node, "to"),
				  "routes[%u].to is %s, expected no bits behind the prefix", i,
				  address_format_prefix(&route->to, text));
	for (unsigned int j = 0; j < i; j++) {
		if (!is_prefix(yaml_get(document->routes[j].node, "to")) ||
		    route->to.length != document->routes[j].to.length ||
		    !address_equal(&route->to.address, &document->routes[j].to.address))
			continue;
		diagnostics_error(
			diagnostics, at(route->node, "to"),
			"routes[%u].to is %s, as routes[%u].to is, expected one route to it", i,
			address_format_prefix(&route->to, text), j);
		break;
	}
}

static void
check_route(const struct document *document, unsigned int i, struct diagnostics *diagnostics)
{
	const struct document_route *route = &document->routes[i];
	const struct document_port *port = find_port(document, route->port);

	if (route->port != NULL && port == NULL)
		diagnostics_error(
			diagnostics, at(route->node, "port"),
			"routes[%u].port is \"%s\", expected the name of one of the ports", i,
			route->port);
	if (is_prefix(yaml_get(route->node, "to")))
		check_destination(document, i, diagnostics);
	if (is_address(yaml_get(route->node, "via")))
		check_via(document, i, port, diagnostics);
}

/* --- workloads and listeners ---------------------------------------------------------------- */

static bool
is_workload(const struct document *document, const char *name)
{
	for (unsigned int i = 0; i < document->n_workloads; i++) {
		if (same(document->workloads[i].name, name))
			return true;
	}
	return false;
}

static void
check_workloads(const struct document *document, struct diagnostics *diagnostics)
{
	for (unsigned int i = 1; i < document->n_workloads; i++) {
		const struct config_workload *workload = &document->workloads[i];

		for (unsigned int j = 0; j < i; j++) {
			if (!same(workload->name, document->workloads[j].name))
				continue;
			diagnostics_error(diagnostics, at(workload->node, "name"),
					  "workloads[%u].name is \"%s\", as workloads[%u].name is, "
					  "expected each workload once",
					  i, workload->name, j);
			break;
		}
	}
}

static void
check_targets(const struct document *document, unsigned int i, struct diagnostics *diagnostics)
{
	const struct config_listener *listener = &document->listeners[i];
	const struct config_inbound *in = listener->inbound;
	const struct config_outbound *out = listener->outbound;

	if ((in == NULL) == (out == NULL))
		diagnostics_error(diagnostics, listener->node->place,
				  "listeners[%u] has %s, expected inbound or outbound", i,
				  in ? "both inbound and outbound" : "no target");
	if (in != NULL && in->workload != NULL && !is_workload(document, in->workload))
		diagnostics_error(
			diagnostics, at(in->node, "workload"),
			"listeners[%u].inbound.workload is \"%s\", expected the name of one of "
			"the workloads",
			i, in->workload);
	if (out != NULL && out->client != NULL && !is_workload(document, out->client))
		diagnostics_error(
			diagnostics, at(out->node, "client"),
			"listeners[%u].outbound.client is \"%s\", expected the name of one of "
			"the workloads",
			i, out->client);
}

static void
check_listener(const struct document *document, unsigned int i, struct diagnostics *diagnostics)
{
	const struct config_listener *listener = &document->listeners[i];
	char text[ADDRESS_TEXT];

	if (listener->node == NULL)
		return;
	check_targets(document, i, diagnostics);
	if (!is_address(yaml_get(listener->node, "address")))
		return;
	if (owner_of(document, &listener->address) == NULL)
		diagnostics_error(
			diagnostics, at(listener->node, "address"),
			"listeners[%u].address is %s, expected one of the ports' own addresses", i,
			address_format(&listener->address, text));
	for (unsigned int j = 0; j < i; j++) {
		const struct config_listener *other = &document->listeners[j];

		if (listener->port == 0 || listener->port != other->port ||
		    !address_equal(&listener->address, &other->address))
			continue;
		diagnostics_error(
			diagnostics, at(listener->node, "port"),
			"listeners[%u] is %s port %u, as listeners[%u] is, expected another "
			"address or port",
			i, address_format(&listener->address, text), listener->port, j);
		break;
	}
}

static void
check_node(const struct document *document, struct diagnostics *diagnostics)
{
	const struct document_node *node = &document->node;
	const struct yaml_node *list =
		yaml_get(yaml_get(document->yaml, "node"), "trustDomainAliases");

	for (unsigned int i = 0; i < node->n_trust_domain_aliases; i++) {
		bool again = same(node->trust_domain_aliases[i], node->trust_domain);

		for (unsigned int j = 0; j < i; j++)
			again |= same(node->trust_domain_aliases[i], node->trust_domain_aliases[j]);
		if (again)
			diagnostics_error(
				diagnostics, list->values[i]->place,
				"node.trustDomainAliases[%u] is \"%s\" again, expected another "
				"trust domain",
				i, node->trust_domain_aliases[i]);
	}
}

void
config_check(const struct document *document, struct diagnostics *diagnostics)
{
	check_node(document, diagnostics);
	check_cores(document, diagnostics);
	for (unsigned int i = 0; i < document->n_ports; i++) {
		if (document->ports[i].node != NULL)
			check_port(document, i, diagnostics);
	}
	for (unsigned int i = 0; i < document->n_routes; i++) {
		if (document->routes[i].node != NULL)
			check_route(document, i, diagnostics);
	}
	check_workloads(document, diagnostics);
	for (unsigned int i = 0; i < document->n_listeners; i++)
		check_listener(document, i, diagnostics);
}
