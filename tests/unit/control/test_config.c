/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/address.h"
#include "control/config.h"
#include "control/resources.h"
#include "tests/unit/control/report.h"

/* A folder with an identity and a mesh; messages about it say "DIR". */
static char folder[64];
static struct arena *arena;
static struct report said;

static const char *
in_folder(const char *name)
{
	static char paths[4][128];
	static unsigned int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static void
put(const char *name, const char *text)
{
	FILE *file = fopen(in_folder(name), "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static int
setup(void **state)
{
	arena = arena_create();
	snprintf(folder, sizeof(folder), "/tmp/portcullis-config-XXXXXX");
	if (mkdtemp(folder) == NULL)
		return -1;
	assert_int_equal(mkdir(in_folder("certs"), 0755), 0);
	assert_int_equal(mkdir(in_folder("mesh"), 0755), 0);
	put("certs/web.pem", "");
	put("certs/web.key", "");
	put("certs/ca.pem", "");
	return 0;
}

static int
teardown(void **state)
{
	char command[128];

	arena_destroy(arena);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command);
}

/* Puts DIR for every occurrence of the folder. */
static void
hide_folder(char *text)
{
	size_t len = strlen(folder);
	char *at;

	while ((at = strstr(text, folder)) != NULL) {
		memcpy(at, "DIR", 3);
		memmove(at + 3, at + len, strlen(at + len) + 1);
	}
}

static const struct config *
parse(const char *text)
{
	struct diagnostics *diagnostics = diagnostics_create();
	const struct config *config =
		config_parse(arena, diagnostics, in_folder("p.yaml"), text, strlen(text));

	report_take(&said, diagnostics);
	hide_folder(said.text);
	return config;
}

/* The least that is good: four lines without, eight with an identity. */
#define PORTS                                                                                      \
	"node: {name: g}\n"                                                                        \
	"mesh: mesh\n"                                                                             \
	"ports:\n"                                                                                 \
	"- {name: a, device: net_ring0, addresses: [10.1.0.1/24, 'fd00:1::1/64']}\n"               \
	"- {name: b, device: net_ring1, addresses: [10.2.0.1/24]}\n"
#define IDENTITY                                                                                   \
	"identities:\n"                                                                            \
	"- {certificateChain: certs/web.pem, privateKey: certs/web.key, trustBundle: "             \
	"certs/ca.pem}\n"
#define LEAST PORTS IDENTITY /* 7 lines */

static void
least_configuration_has_the_documented_defaults(void **state)
{
	const struct config *config = parse(LEAST);
	const struct policy_node *node = &config->node;

	assert_string_equal(said.text, "");
	assert_string_equal(node->name, "g");
	assert_string_equal(node->file, in_folder("p.yaml"));
	assert_int_equal(node->workers, 1);
	for (unsigned int i = 0; i < POLICY_MAX_WORKERS; i++)
		assert_int_equal(node->cores[i], -1);
	assert_int_equal(node->idle, POLICY_IDLE_AUTO);
	assert_int_equal(node->max_connections, 65536);
	assert_int_equal(node->memory_mib, 512);
	assert_int_equal(node->buffer_bytes, 262144);
	assert_string_equal(node->crypto_device, "ipsec-mb");
	assert_int_equal(node->tls_min_version, 0x0303);
	assert_int_equal(node->connect_timeout_ms, 10000);
	assert_int_equal(node->handshake_timeout_ms, 10000);
	assert_int_equal(node->detect_timeout_ms, 0);
	assert_int_equal(node->idle_timeout_ms, 3600000);
	assert_int_equal(node->drain_ms, 5000);
	assert_int_equal(node->keepalive_ms, 0);
	assert_int_equal(node->ports[0].mtu, 1500);
	assert_int_equal(node->ports[0].vlan, 0);
	assert_string_equal(node->connection_log, "stdout");
	assert_null(node->admin_socket);
	assert_string_equal(config->trust_domain, "cluster.local");
	assert_int_equal(config->n_trust_domain_aliases, 0);
	assert_string_equal(config->root_namespace, "istio-system");
	assert_int_equal(config->n_workloads + config->n_listeners + node->n_routes, 0);
}

static void
addresses_are_mapped_and_prefixes_of_128_bits(void **state)
{
	const struct policy_node *node = &parse(LEAST)->node;
	struct in6_addr ipv4, ipv6;

	assert_int_equal(inet_pton(AF_INET6, "::ffff:10.1.0.1", &ipv4), 1);
	assert_int_equal(inet_pton(AF_INET6, "fd00:1::1", &ipv6), 1);
	assert_int_equal(node->n_ports, 2);
	assert_int_equal(node->ports[0].n_addresses, 2);
	assert_memory_equal(&node->ports[0].addresses[0].address, &ipv4, 16);
	assert_int_equal(node->ports[0].addresses[0].length, 120);
	assert_memory_equal(&node->ports[0].addresses[1].address, &ipv6, 16);
	assert_int_equal(node->ports[0].addresses[1].length, 64);
}

static void
everything_written_arrives(void **state)
{
	const struct config *config = parse(
		"node: {name: g, trustDomain: a.org, trustDomainAliases: [b.org, c.org],\n"
		"       rootNamespace: root}\n"
		"workers: {count: 2, cores: [3, 5], idle: poll, maxConnections: 100, memory: 64, "
		"buffer: 65536}\n"
		"crypto: {device: openssl}\n"
		"tls: {minVersion: 1.3}\n"
		"ports:\n"
		"- {name: a, device: 0000:3b:00.0, mtu: 9000, vlan: 7, addresses: [10.1.0.1/24]}\n"
		"routes:\n"
		"- {to: 0.0.0.0/0, via: 10.1.0.254, port: a}\n"
		"- {to: 10.9.0.0/16, port: a}\n" IDENTITY "mesh: ./mesh/\n"
		"workloads: [{name: shop/web}, {name: shop/db.v1, source: gateway}]\n"
		"listeners:\n"
		"- {address: 10.1.0.1, port: 1, inbound: {workload: shop/web, port: 8080}}\n"
		"- {address: 10.1.0.1, port: 2, outbound: {client: shop/web, host: h.org, port: "
		"80}}\n"
		"timeouts: {connect: 1s, handshake: 2s, detect: 3ms, idle: 4m, drain: 0s, "
		"keepalive: "
		"1h}\n"
		"log: {connections: logs/c.json}\n"
		"admin: {socket: /run/a.sock}\n");
	const struct policy_node *node = &config->node;

	assert_string_equal(said.text, "");
	assert_string_equal(config->trust_domain, "a.org");
	assert_string_equal(config->trust_domain_aliases[1], "c.org");
	assert_string_equal(config->root_namespace, "root");
	assert_int_equal(node->workers, 2);
	assert_int_equal(node->cores[1], 5);
	assert_int_equal(node->cores[2], -1);
	assert_int_equal(node->idle, POLICY_IDLE_POLL);
	assert_int_equal(node->max_connections, 100);
	assert_int_equal(node->memory_mib, 64);
	assert_int_equal(node->buffer_bytes, 65536);
	assert_string_equal(node->crypto_device, "openssl");
	assert_int_equal(node->tls_min_version, 0x0304);
	assert_string_equal(node->ports[0].device, "0000:3b:00.0");
	assert_int_equal(node->ports[0].mtu, 9000);
	assert_int_equal(node->ports[0].vlan, 7);
	assert_int_equal(node->n_routes, 2);
	assert_int_equal(node->routes[0].to.length, 96);
	assert_int_equal(node->routes[0].via.s6_addr[15], 254);
	assert_true(IN6_IS_ADDR_UNSPECIFIED(&node->routes[1].via));
	assert_string_equal(config->identities[0].private_key, in_folder("certs/web.key"));
	assert_string_equal(config->mesh, in_folder("./mesh/"));
	assert_int_equal(config->mesh_place.line, 13);
	assert_int_equal(config->workloads[0].source, CONFIG_SOURCE_PRESERVE);
	assert_int_equal(config->workloads[1].source, CONFIG_SOURCE_GATEWAY);
	assert_int_equal(config->listeners[0].inbound->port, 8080);
	assert_null(config->listeners[0].outbound);
	assert_string_equal(config->listeners[1].outbound->host, "h.org");
	assert_int_equal(node->connect_timeout_ms, 1000);
	assert_int_equal(node->handshake_timeout_ms, 2000);
	assert_int_equal(node->detect_timeout_ms, 3);
	assert_int_equal(node->idle_timeout_ms, 240000);
	assert_int_equal(node->drain_ms, 0);
	assert_int_equal(node->keepalive_ms, 3600000);
	assert_string_equal(node->connection_log, in_folder("logs/c.json"));
	assert_string_equal(node->admin_socket, "/run/a.sock");
}

static void
routes_know_their_port(void **state)
{
	const struct config *config = parse(LEAST "routes: [{to: 10.9.0.0/16, port: b}]\n");

	assert_string_equal(said.text, "");
	assert_int_equal(config->node.routes[0].port, 1);
}

static void
cores_without_a_count_say_how_many(void **state)
{
	assert_int_equal(parse(LEAST "workers: {cores: [1, 2, 3]}\n")->node.workers, 3);
	assert_string_equal(said.text, "");
}

static void
no_identity_is_a_warning(void **state)
{
	assert_non_null(parse(PORTS));
	assert_string_equal(said.text, "DIR/p.yaml:1:1: warning: identities is empty, expected at "
				       "least one for mutual TLS\n");
}

struct complaint {
	const char *text, *said;
};

#define AT "DIR/p.yaml:"
static const struct complaint complaints[] = {
	/* The node. */
	{LEAST "nodes: 1\n", AT "8:1: error: unknown field \"nodes\", expected node\n"},
	{LEAST "workers: {count: 0}\n",
	 AT "8:18: error: workers.count is \"0\", expected an integer from 1 to 64 threads\n"},
	{LEAST "workers: {count: 65}\n",
	 AT "8:18: error: workers.count is \"65\", expected an integer from 1 to 64 threads\n"},
	{LEAST "workers: {count: 3, cores: [1, 2]}\n", AT
	 "8:28: error: workers.cores has 2 elements, expected as many as workers.count, which is "
	 "3\n"},
	{LEAST "workers: {cores: [1, 2, 1]}\n",
	 AT "8:25: error: workers.cores[2] is CPU 1 again, expected another\n"},
	{LEAST "workers: {cores: [-1]}\n",
	 AT "8:19: error: workers.cores[0] is \"-1\", expected an integer from 0 to 4095\n"},
	{LEAST "workers: {idle: sleep}\n",
	 AT "8:17: error: workers.idle is \"sleep\", expected one of auto, poll, adaptive\n"},
	{LEAST "crypto: {device: crypto_qat}\n",
	 AT "8:18: error: crypto.device is \"crypto_qat\", expected ipsec-mb or openssl\n"},
	{LEAST "tls: {minVersion: 1.1}\n",
	 AT "8:19: error: tls.minVersion is \"1.1\", expected one of 1.2, 1.3\n"},
	{LEAST "timeouts: {connect: 5}\n", AT "8:21: error: timeouts.connect is \"5\", expected a "
					      "duration from 1ms to 10m, such as 3s\n"},
	{"node: {name: g, trustDomain: A.org, rootNamespace: a_b,\n"
	 "  trustDomainAliases: [x, x, y, 'z/']}\nmesh: mesh\nports:\n"
	 "- {name: a, device: d, addresses: [10.0.0.1]}\n" IDENTITY,
	 AT
	 "1:30: error: node.trustDomain is \"A.org\", expected a SPIFFE trust domain (lower-case "
	 "letters, digits, '.', '-' and '_') such as cluster.local\n" AT
	 "1:52: error: node.rootNamespace is \"a_b\", expected a namespace (lower-case letters, "
	 "digits and '-') such as istio-system\n" AT
	 "2:27: error: node.trustDomainAliases[1] is \"x\" again, expected another trust "
	 "domain\n" AT
	 "2:33: error: node.trustDomainAliases[3] is \"z/\", expected a SPIFFE trust domain "
	 "(lower-case letters, digits, '.', '-' and '_') such as cluster.local\n"},
	/* Ports. */
	{"node: {name: g}\nmesh: mesh\nports: []\n" IDENTITY,
	 AT "3:8: error: ports has 0 elements, expected at least 1\n"},
	{"node: {name: g}\nmesh: mesh\nports:\n"
	 "- {name: a, device: d0, mtu: 575, addresses: [10.0.0.1/33, 10.0.0.1/-1, 'fe80::1%eth0',\n"
	 "   '::ffff:1.2.3.4', 10.0.0.1/, 300.0.0.1, 10.0.0.1/08, x, 5]}\n" IDENTITY,
	 AT
	 "4:30: error: ports[0].mtu is \"575\", expected an integer from 576 to 9216 bytes\n" AT
	 "4:47: error: ports[0].addresses[0] is \"10.0.0.1/33\", expected an IPv4 or IPv6 prefix "
	 "such as 10.0.0.0/24 or fd00::/64\n" AT
	 "4:60: error: ports[0].addresses[1] is \"10.0.0.1/-1\", expected an IPv4 or IPv6 prefix "
	 "such as 10.0.0.0/24 or fd00::/64\n" AT
	 "4:73: error: ports[0].addresses[2] is \"fe80::1%eth0\", expected an IPv4 or IPv6 prefix "
	 "such as 10.0.0.0/24 or fd00::/64\n" AT
	 "5:4: error: ports[0].addresses[3] is \"::ffff:1.2.3.4\", expected an IPv4 or IPv6 prefix "
	 "such as 10.0.0.0/24 or fd00::/64\n" AT
	 "5:22: error: ports[0].addresses[4] is \"10.0.0.1/\", expected an IPv4 or IPv6 prefix "
	 "such "
	 "as 10.0.0.0/24 or fd00::/64\n" AT "5:33: error: ports[0].addresses[5] is \"300.0.0.1\", "
	 "expected an IPv4 or IPv6 prefix such "
	 "as 10.0.0.0/24 or fd00::/64\n" AT
	 "5:44: error: ports[0].addresses[6] is \"10.0.0.1/08\", expected an IPv4 or IPv6 prefix "
	 "such as 10.0.0.0/24 or fd00::/64\n" AT
	 "5:57: error: ports[0].addresses[7] is \"x\", expected an IPv4 or IPv6 prefix such as "
	 "10.0.0.0/24 or fd00::/64\n" AT
	 "5:60: error: ports[0].addresses[8] is \"5\", expected an IPv4 or IPv6 prefix such as "
	 "10.0.0.0/24 or fd00::/64\n"},
	{"node: {name: g}\nmesh: mesh\nports:\n"
	 "- {name: a, device: d0, addresses: [10.0.0.0/24, 10.0.0.255/24, 0.0.0.0, '::/0',\n"
	 "   224.0.0.1/24, 'ff02::1', 127.0.0.1/8, '::1', 10.7.0.0/31]}\n" IDENTITY,
	 AT
	 "4:37: error: ports[0].addresses[0] is 10.0.0.0/24, the address of the network itself, "
	 "expected a host's address\n" AT
	 "4:50: error: ports[0].addresses[1] is 10.0.0.255/24, the broadcast address, expected a "
	 "host's address\n" AT
	 "4:65: error: ports[0].addresses[2] is 0.0.0.0/32, the unspecified address, expected a "
	 "host's address\n" AT
	 "4:74: error: ports[0].addresses[3] is ::/0, the unspecified address, expected a host's "
	 "address\n" AT "5:4: error: ports[0].addresses[4] is 224.0.0.1/24, a multicast address, "
	 "expected a host's "
	 "address\n" AT "5:18: error: ports[0].addresses[5] is ff02::1/128, a multicast address, "
	 "expected a host's "
	 "address\n" AT
	 "5:29: error: ports[0].addresses[6] is 127.0.0.1/8, a loopback address, expected a host's "
	 "address\n" AT
	 "5:42: error: ports[0].addresses[7] is ::1/128, a loopback address, expected a host's "
	 "address\n"},
	{"node: {name: g}\nmesh: mesh\nports:\n"
	 "- {name: a, device: 'net_ring0,x=1', addresses: [10.0.0.1/24, 10.0.0.1/16]}\n"
	 "- {name: a, device: net_ring0, mtu: 1000, addresses: [10.0.0.2/24, 'fd00::1/64']}\n"
	 "- {name: b, device: '', addresses: [10.0.0.1]}\n" IDENTITY,
	 AT
	 "4:63: error: ports[0].addresses[1] is 10.0.0.1, which port \"a\" has already, expected "
	 "another address\n" AT
	 "5:10: error: ports[1].name is \"a\", as ports[0].name is, expected a name of its own\n" AT
	 "5:21: error: ports[1].device is \"net_ring0\", which ports[0] has already, expected a "
	 "device of its own\n" AT
	 "5:37: error: ports[1].mtu is 1000 with an IPv6 address, expected at least 1280\n" AT
	 "5:55: error: ports[1].addresses[0] is 10.0.0.2/24, a network that port \"a\" has "
	 "already, "
	 "expected another network\n" AT
	 "6:21: error: ports[2].device is \"\", expected DPDK devargs without blanks, such as "
	 "net_af_packet0,iface=eth1, or a PCI address\n" AT
	 "6:37: error: ports[2].addresses[0] is 10.0.0.1, which port \"a\" has already, expected "
	 "another address\n"},
	/* Routes. */
	{LEAST "routes:\n"
	       "- {to: 10.9.0.0/16, via: 10.1.0.254, port: c}\n"
	       "- {to: 10.8.0.1/16, via: 10.2.0.254, port: a}\n"
	       "- {to: 'fd00:9::/64', via: 10.1.0.254, port: a}\n"
	       "- {to: 10.9.0.0/16, via: 10.1.0.1, port: a}\n"
	       "- {to: '::/0', via: '::', port: a}\n"
	       "- {to: '::/0', via: 'fe80::1', port: a}\n"
	       "- {to: 10.7.0.0/16, via: 0.0.0.0, port: a}\n"
	       "- {to: nowhere, via: 10.1.0.0/24, port: ''}\n",
	 AT
	 "9:44: error: routes[0].port is \"c\", expected the name of one of the ports\n" AT
	 "10:8: error: routes[1].to is 10.8.0.1/16, expected no bits behind the prefix\n" AT
	 "10:26: error: routes[1].via is 10.2.0.254, which is not on the link, expected an address "
	 "in a network of port \"a\"\n" AT
	 "11:28: error: routes[2].via is 10.1.0.254 for fd00:9::/64, expected an IPv6 address\n" AT
	 "12:8: error: routes[3].to is 10.9.0.0/16, as routes[0].to is, expected one route to "
	 "it\n" AT
	 "12:26: error: routes[3].via is 10.1.0.1, which is our own, expected the address of a "
	 "router\n" AT "13:21: error: routes[4].via is ::, expected the address of a router\n" AT
	 "14:8: error: routes[5].to is ::/0, as routes[4].to is, expected one route to it\n" AT
	 "15:26: error: routes[6].via is 0.0.0.0, expected the address of a router\n" AT
	 "16:8: error: routes[7].to is \"nowhere\", expected an IPv4 or IPv6 prefix such as "
	 "10.0.0.0/24 or fd00::/64\n" AT
	 "16:22: error: routes[7].via is \"10.1.0.0/24\", expected an IPv4 or IPv6 address such as "
	 "10.0.0.1\n" AT
	 "16:41: error: routes[7].port is \"\", expected a string that is not empty\n"},
	/* What paths lead to. */
	{PORTS "identities:\n- {certificateChain: certs/none.pem, privateKey: certs, trustBundle: "
	       "certs/ca.pem}\n",
	 AT
	 "7:22: error: identities[0].certificateChain: cannot read \"DIR/certs/none.pem\" (No such "
	 "file or directory), expected a file\n" AT
	 "7:50: error: identities[0].privateKey: \"DIR/certs\" is not a file, expected one\n"},
	{PORTS "identities:\n- {certificateChain: certs/web.pem}\n",
	 AT "7:3: error: identities[0].privateKey is missing, expected a string of 1 to 4095 "
	    "bytes\n" AT
	    "7:3: error: identities[0].trustBundle is missing, expected a string of 1 to 4095 "
	    "bytes\n"},
	{"node: {name: g}\nports:\n- {name: a, device: d, addresses: [10.0.0.1]}\n" IDENTITY,
	 AT "1:1: error: mesh is missing, expected a string of 1 to 4095 bytes\n"},
	/* Workloads and listeners. */
	{LEAST "workloads: [{name: shop/web}, {name: web}, {name: shop/web, source: mine}, {name: "
	       "Shop/web}, {name: shop/-}]\n",
	 AT
	 "8:38: error: workloads[1].name is \"web\", expected namespace/name of a WorkloadEntry, "
	 "such "
	 "as shop/web\n" AT
	 "8:51: error: workloads[2].name is \"shop/web\", as workloads[0].name is, expected each "
	 "workload once\n" AT
	 "8:69: error: workloads[2].source is \"mine\", expected one of preserve, gateway\n" AT
	 "8:83: error: workloads[3].name is \"Shop/web\", expected namespace/name of a "
	 "WorkloadEntry, such as shop/web\n" AT "8:101: error: workloads[4].name is \"shop/-\", "
	 "expected namespace/name of a WorkloadEntry, "
	 "such as shop/web\n"},
	{LEAST "workloads: [{name: shop/web}]\nlisteners:\n"
	       "- {address: 10.1.0.1, port: 1, inbound: {workload: shop/db, port: 0}}\n"
	       "- {address: 10.1.0.2, port: 1, outbound: {client: shop/db, host: h, port: 1}}\n"
	       "- {address: 10.1.0.1, port: 1}\n"
	       "- {address: 10.2.0.1, port: 70000, inbound: {workload: shop/web, port: 1},\n"
	       "   outbound: {client: shop/web, host: h, port: 1}}\n"
	       "- {address: '::', port: 5, inbound: {workload: shop/web, port: 1}}\n",
	 AT
	 "10:52: error: listeners[0].inbound.workload is \"shop/db\", expected the name of one of "
	 "the workloads\n" AT "10:67: error: listeners[0].inbound.port is \"0\", expected an "
	 "integer from 1 to 65535 TCP "
	 "port\n" AT
	 "11:13: error: listeners[1].address is 10.1.0.2, expected one of the ports' own "
	 "addresses\n" AT
	 "11:51: error: listeners[1].outbound.client is \"shop/db\", expected the name of one of "
	 "the workloads\n" AT
	 "12:3: error: listeners[2] has no target, expected inbound or outbound\n" AT
	 "12:29: error: listeners[2] is 10.1.0.1 port 1, as listeners[0] is, expected another "
	 "address or port\n" AT "13:3: error: listeners[3] has both inbound and outbound, expected "
	 "inbound or outbound\n" AT
	 "13:29: error: listeners[3].port is \"70000\", expected an integer from 1 to 65535 TCP "
	 "port\n" AT
	 "15:13: error: listeners[4].address is ::, expected one of the ports' own addresses\n"},
	/* The document as a whole. */
	{"", AT "1:1: error: the document is empty, expected a mapping with node, ports, mesh and "
		"others\n"},
	{"# nothing\n",
	 AT "1:1: error: the document is empty, expected a mapping with node, ports, "
	    "mesh and others\n"},
	{"- a\n",
	 AT "1:1: error: the document is a list, expected a mapping with node, ports, mesh and "
	    "others\n"},
	{LEAST "---\n" LEAST, AT "9:1: error: a second document, expected one in this file\n"},
	{"{}\n", AT "1:1: error: node is missing, expected a mapping\n" AT
		    "1:1: error: ports is missing, expected a list\n" AT
		    "1:1: error: mesh is missing, expected a string of 1 to 4095 bytes\n" AT
		    "1:1: warning: identities is empty, expected at least one for mutual TLS\n"},
	{"node: [\n",
	 AT "2:1: error: did not find expected node content while parsing a flow node, "
	    "expected YAML\n"},
};

static void
what_is_wrong_is_said_with_its_place(void **state)
{
	for (size_t i = 0; i < sizeof(complaints) / sizeof(complaints[0]); i++) {
		parse(complaints[i].text);
		assert_string_equal(said.text, complaints[i].said);
	}
}

static void
too_many_ports_are_refused(void **state)
{
	char text[8192] = "node: {name: g}\nmesh: mesh\n" IDENTITY "ports:\n";
	size_t len = strlen(text);
	const struct config *config;

	for (int i = 0; i < POLICY_MAX_PORTS + 1; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"- {name: p%d, device: d%d, addresses: [10.%d.0.1/16]}\n",
					i, i, i);
	config = parse(text);
	assert_string_equal(said.text,
			    "DIR/p.yaml:6:1: error: ports has 17 elements, expected at most "
			    "16\n");
	assert_int_equal(config->node.n_ports, POLICY_MAX_PORTS);
}

/* argv[1]: the file of examples/, which runs as it stands once it has its files. */
static const char *example;

static void
example_is_good(void **state)
{
	struct diagnostics *diagnostics = diagnostics_create();
	const struct resources *resources;
	const struct config *config;
	const char **files;
	char command[1024];
	unsigned int n;

	snprintf(command, sizeof(command), "cp -r '%s' \"$(dirname '%s')\"/mesh %s", example,
		 example, folder);
	assert_int_equal(system(command), 0);
	config = config_read(arena, diagnostics, in_folder("portcullis.yaml"));
	n = config_mesh_files(arena, diagnostics, config->mesh, config->mesh_place, &files);
	resources = resources_read(arena, diagnostics, files, n, config->root_namespace);
	report_take(&said, diagnostics);
	assert_string_equal(said.text, "");
	assert_int_equal(config->node.n_ports, 2);
	assert_int_equal(config->n_listeners, 2);
	assert_int_equal(resources->n_peers, 1);
	assert_int_equal(resources->n_services, 3);
	assert_int_equal(resources->n_rules, 1);
	assert_int_equal(resources->n_workloads, 2);
}

static void
identities_without_their_files_are_unusable(void **state)
{
	const struct config *config =
		parse(LEAST "- {certificateChain: certs/none.pem, privateKey: certs/web.key, "
			    "trustBundle: certs/ca.pem}\n"
			    "- {certificateChain: certs/web.pem}\n");

	assert_int_equal(config->n_identities, 3);
	assert_false(config->identities[0].unusable);
	assert_true(config->identities[1].unusable);
	assert_true(config->identities[2].unusable);
	assert_string_equal(config->identities[1].certificate_chain, in_folder("certs/none.pem"));
}

static void
missing_file_is_an_error(void **state)
{
	struct diagnostics *diagnostics = diagnostics_create();

	assert_null(config_read(arena, diagnostics, in_folder("none.yaml")));
	report_take(&said, diagnostics);
	hide_folder(said.text);
	assert_string_equal(said.text,
			    "DIR/none.yaml: error: cannot be read: No such file or directory\n");
}

static void
paths_are_relative_to_the_file(void **state)
{
	assert_string_equal(config_path(arena, ".", "a"), "a");
	assert_string_equal(config_path(arena, "/etc/p", "a/b"), "/etc/p/a/b");
	assert_string_equal(config_path(arena, "/", "a"), "/a");
	assert_string_equal(config_path(arena, "/etc/p", "/a"), "/a");
}

/* --- the mesh folder ------------------------------------------------------------------------ */

static unsigned int
mesh_files(const char *name, const char ***files)
{
	struct diagnostics *diagnostics = diagnostics_create();
	struct diagnostics_place place = {"p.yaml", 3, 7};
	unsigned int n = config_mesh_files(arena, diagnostics, in_folder(name), place, files);

	report_take(&said, diagnostics);
	hide_folder(said.text);
	return n;
}

static void
mesh_files_come_in_order_of_name(void **state)
{
	const char **files;

	put("mesh/b.yaml", "");
	put("mesh/A.yml", "");
	put("mesh/a.yaml", "");
	put("mesh/.hidden.yaml", "");
	put("mesh/notes.txt", "");
	put("mesh/yaml", "");
	assert_int_equal(mkdir(in_folder("mesh/folder.yaml"), 0755), 0);
	assert_int_equal(symlink("b.yaml", in_folder("mesh/c.yaml")), 0);
	assert_int_equal(mesh_files("mesh", &files), 4);
	assert_string_equal(said.text, "");
	assert_string_equal(files[0], in_folder("mesh/A.yml"));
	assert_string_equal(files[1], in_folder("mesh/a.yaml"));
	assert_string_equal(files[2], in_folder("mesh/b.yaml"));
	assert_string_equal(files[3], in_folder("mesh/c.yaml"));
}

static void
empty_mesh_folder_is_a_warning_and_none_an_error(void **state)
{
	const char **files;

	assert_int_equal(mesh_files("mesh", &files), 0);
	assert_string_equal(said.text, "p.yaml:3:7: warning: no *.yaml or *.yml in \"DIR/mesh\", "
				       "expected Istio resources\n");
	assert_int_equal(mesh_files("none", &files), 0);
	assert_string_equal(said.text,
			    "p.yaml:3:7: error: mesh: cannot read \"DIR/none\" (No such file or "
			    "directory), expected a folder\n");
	put("file", "");
	assert_int_equal(mesh_files("file", &files), 0);
	assert_string_equal(said.text, "p.yaml:3:7: error: mesh: cannot read \"DIR/file\" (Not a "
				       "directory), expected a folder\n");
}

/* --- reload --------------------------------------------------------------------------------- */

static void
compare(const char *before, const char *now)
{
	struct diagnostics *diagnostics = diagnostics_create();
	const struct config *a = parse(before), *b = parse(now);

	config_compare(a, b, diagnostics);
	report_take(&said, diagnostics);
	hide_folder(said.text);
}

static void
changes_that_wait_for_a_restart_are_warned_of(void **state)
{
	compare(LEAST, LEAST);
	assert_string_equal(said.text, "");
	compare(LEAST, LEAST "workloads: [{name: a/b}]\n");
	assert_string_equal(said.text, "");
	compare(LEAST, LEAST "workers: {memory: 64}\nroutes: [{to: 10.9.0.0/16, port: b}]\n"
			     "timeouts: {idle: 1s}\ncrypto: {device: openssl}\n"
			     "tls: {minVersion: 1.3}\nlog: {connections: x}\nadmin: {socket: s}\n");
	assert_string_equal(
		said.text,
		AT "8:10: warning: workers has changed, which takes effect at the next start\n" AT
		   "9:9: warning: routes has changed, which takes effect at the next start\n" AT
		   "10:11: warning: timeouts has changed, which takes effect at the next start\n" AT
		   "11:9: warning: crypto has changed, which takes effect at the next start\n" AT
		   "12:6: warning: tls has changed, which takes effect at the next start\n" AT
		   "13:6: warning: log has changed, which takes effect at the next start\n" AT
		   "14:8: warning: admin has changed, which takes effect at the next start\n");
	compare("node: {name: g}\nmesh: mesh\nports: [{name: a, device: d, addresses: "
		"[10.0.0.1]}]\n",
		"node: {name: h}\nmesh: mesh\nports: [{name: a, device: d, addresses: "
		"[10.0.0.2]}]\n");
	assert_string_equal(
		said.text,
		AT "1:14: warning: node.name has changed, which takes effect at the next start\n" AT
		   "3:8: warning: ports has changed, which takes effect at the next start\n");
}

/* --- addresses ------------------------------------------------------------------------------ */

static void
prefixes_hold_addresses_of_their_family(void **state)
{
	static const struct {
		const char *prefix, *address;
		bool inside;
	} cases[] = {
		{"10.0.0.0/8", "10.255.0.1", true},
		{"10.0.0.0/8", "11.0.0.0", false},
		{"10.1.2.128/25", "10.1.2.255", true},
		{"10.1.2.128/25", "10.1.2.127", false},
		{"10.1.2.3", "10.1.2.3", true},
		{"10.1.2.3", "10.1.2.2", false},
		{"0.0.0.0/0", "8.8.8.8", true},
		{"0.0.0.0/0", "fd00::1", false},
		{"::/0", "fd00::1", true},
		{"::/0", "8.8.8.8", false},
		{"fd00::/9", "fd7f::1", true},
		{"fd00::/9", "fd80::1", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct policy_prefix prefix;
		struct in6_addr address;

		assert_true(address_parse_prefix(cases[i].prefix, &prefix));
		assert_true(address_parse(cases[i].address, &address));
		if (address_in_prefix(&address, &prefix) != cases[i].inside)
			fail_msg("%s in %s", cases[i].address, cases[i].prefix);
	}
}

int
main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(least_configuration_has_the_documented_defaults),
		TEST(addresses_are_mapped_and_prefixes_of_128_bits),
		TEST(everything_written_arrives),
		TEST(routes_know_their_port),
		TEST(cores_without_a_count_say_how_many),
		TEST(no_identity_is_a_warning),
		TEST(what_is_wrong_is_said_with_its_place),
		TEST(too_many_ports_are_refused),
		TEST(example_is_good),
		TEST(identities_without_their_files_are_unusable),
		TEST(missing_file_is_an_error),
		TEST(paths_are_relative_to_the_file),
		TEST(mesh_files_come_in_order_of_name),
		TEST(empty_mesh_folder_is_a_warning_and_none_an_error),
		TEST(changes_that_wait_for_a_restart_are_warned_of),
		TEST(prefixes_hold_addresses_of_their_family),
	};

	if (argc < 2)
		return 2;
	example = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
