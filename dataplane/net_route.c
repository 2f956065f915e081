/* SPDX-License-Identifier: Apache-2.0 */

#include <stdlib.h>

#include "dataplane/net_internal.h"

/* A gateway has a handful of routes: an array in the order of preference is searched faster
 * than a tree, and cannot be wrong. */

static void
split(const struct in6_addr *address, uint64_t words[2])
{
	memcpy(words, address, sizeof(*address));
	words[0] = rte_be_to_cpu_64(words[0]);
	words[1] = rte_be_to_cpu_64(words[1]);
}

static void
make_mask(uint8_t length, uint64_t mask[2])
{
	mask[0] = length == 0 ? 0 : length >= 64 ? UINT64_MAX : UINT64_MAX << (64 - length);
	mask[1] = length <= 64 ? 0 : length >= 128 ? UINT64_MAX : UINT64_MAX << (128 - length);
}

static bool
matches(const struct net_fib_entry *entry, const uint64_t words[2])
{
	return ((words[0] & entry->mask[0]) ^ entry->prefix[0]) == 0 &&
	       ((words[1] & entry->mask[1]) ^ entry->prefix[1]) == 0;
}

static struct net_fib_entry
make_entry(const struct net_prefix *to, uint16_t interface)
{
	struct net_fib_entry entry = {
		.interface = interface, .length = to->length, .on_link = true};

	make_mask(to->length, entry.mask);
	split(&to->address, entry.prefix);
	entry.prefix[0] &= entry.mask[0];
	entry.prefix[1] &= entry.mask[1];
	return entry;
}

bool
net_in_prefix(const struct in6_addr *address, const struct net_prefix *prefix)
{
	struct net_fib_entry entry = make_entry(prefix, 0);
	uint64_t words[2];

	split(address, words);
	return matches(&entry, words);
}

/* Behind those that are as long: of two equal prefixes the first one counts. */
static void
insert(struct net *net, struct net_fib_entry entry)
{
	unsigned int i = net->n_fib++;

	for (; i > 0 && net->fib[i - 1].length < entry.length; i--)
		net->fib[i] = net->fib[i - 1];
	net->fib[i] = entry;
}

bool
net_routes_create(struct net *net, const struct net_config *config)
{
	size_t n = config->n_routes;

	for (unsigned int i = 0; i < net->n_interfaces; i++)
		n += net->interfaces[i].n_addresses;
	net->fib = calloc(n + 1, sizeof(*net->fib));
	if (net->fib == NULL)
		return false;
	for (unsigned int i = 0; i < net->n_interfaces; i++)
		for (unsigned int a = 0; a < net->interfaces[i].n_addresses; a++)
			insert(net, make_entry(&net->interfaces[i].addresses[a], (uint16_t)i));
	for (unsigned int r = 0; r < config->n_routes; r++) {
		const struct net_route *route = &config->routes[r];
		struct net_fib_entry entry;

		if (route->interface >= net->n_interfaces || route->to.length > 128)
			return false;
		entry = make_entry(&route->to, (uint16_t)route->interface);
		entry.on_link = IN6_IS_ADDR_UNSPECIFIED(&route->via);
		entry.via = route->via;
		insert(net, entry);
	}
	return true;
}

bool
net_route(const struct net *net, const struct in6_addr *to, struct net_hop *hop)
{
	uint64_t words[2];

	split(to, words);
	for (unsigned int i = 0; i < net->n_fib; i++) {
		const struct net_fib_entry *entry = &net->fib[i];

		if (!matches(entry, words))
			continue;
		hop->out = &net->interfaces[entry->interface];
		hop->address = entry->on_link ? *to : entry->via;
		return true;
	}
	return false;
}

static const struct in6_addr *
first_address(const struct net_if *interface, bool ip6)
{
	for (unsigned int i = 0; i < interface->n_addresses; i++)
		if (ip6 == !IN6_IS_ADDR_V4MAPPED(&interface->addresses[i].address))
			return &interface->addresses[i].address;
	return NULL;
}

bool
net_source(const struct net *net, const struct net_hop *hop, struct in6_addr *source)
{
	const struct net_if *out = hop->out;
	bool ip6 = !IN6_IS_ADDR_V4MAPPED(&hop->address);
	const struct in6_addr *any;

	for (unsigned int i = 0; i < out->n_addresses; i++) {
		if (ip6 == !IN6_IS_ADDR_V4MAPPED(&out->addresses[i].address) &&
		    net_in_prefix(&hop->address, &out->addresses[i])) {
			*source = out->addresses[i].address;
			return true;
		}
	}
	any = first_address(out, ip6);
	for (unsigned int i = 0; any == NULL && i < net->n_interfaces; i++)
		any = first_address(&net->interfaces[i], ip6);
	if (any == NULL)
		return false;
	*source = *any;
	return true;
}

bool
net_source_for(const struct net *net, const struct in6_addr *remote, struct in6_addr *source,
	       uint16_t *mtu)
{
	struct net_hop hop;

	if (!net_route(net, remote, &hop) || !net_source(net, &hop, source))
		return false;
	*mtu = hop.out->mtu;
	return true;
}

bool
net_is_broadcast(const struct net *net, rte_be32_t address)
{
	uint32_t host = rte_be_to_cpu_32(address);

	if (host == UINT32_MAX)
		return true;
	for (unsigned int i = 0; i < net->n_interfaces; i++) {
		const struct net_if *interface = &net->interfaces[i];

		for (unsigned int a = 0; a < interface->n_addresses; a++) {
			const struct net_prefix *prefix = &interface->addresses[a];
			uint32_t own = rte_be_to_cpu_32(net_ip4_of(&prefix->address));
			uint32_t hosts;

			/* RFC 3021: a /31 has no broadcast address. */
			if (!IN6_IS_ADDR_V4MAPPED(&prefix->address) || prefix->length < 96 ||
			    prefix->length > 126)
				continue;
			hosts = prefix->length == 96 ? UINT32_MAX
						     : (1u << (128 - prefix->length)) - 1;
			if (host == (own | hosts))
				return true;
		}
	}
	return false;
}
