/* SPDX-License-Identifier: Apache-2.0 */
#include "control/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <rte_jhash.h>

#include "control/address.h"

#define FIRST_SLOTS 64u

#ifdef __SANITIZE_ADDRESS__
#define POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISON 1
#endif
#endif

/* --- the table ------------------------------------------------------------------------------ */

static uint32_t
hash_key(const struct snapshot_key *key)
{
	return rte_jhash(key, sizeof(*key), 0x706f7274);
}

static bool
same_key(const struct snapshot_key *a, const struct snapshot_key *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static void *
checked(void *memory)
{
	if (memory == NULL)
		abort(); /* as an arena does; sizes are bounded by SNAPSHOT_MAX_ENTRIES */
	return memory;
}

struct policy_snapshot *
snapshot_create(void)
{
	struct policy_snapshot *snapshot;

	snapshot = checked(aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*snapshot)));
	memset(snapshot, 0, sizeof(*snapshot));
	snapshot->arena = arena_create();
	snapshot->mask = FIRST_SLOTS - 1;
	snapshot->slots = checked(calloc(FIRST_SLOTS, sizeof(*snapshot->slots)));
	return snapshot;
}

void
snapshot_destroy(struct policy_snapshot *snapshot)
{
	if (snapshot == NULL)
		return;
	for (unsigned int i = 0; i < snapshot->n_identities; i++)
		tls_identity_free(snapshot->identities[i].identity);
	free(snapshot->identities);
	free(snapshot->slots);
	free(snapshot->entries);
	arena_destroy(snapshot->arena);
#ifdef POISON
	/* A reader that should not be one any more is seen even if the memory is not. */
	memset(snapshot, 0xdb, sizeof(*snapshot));
#endif
	free(snapshot);
}

static void
place_entry(struct policy_snapshot *snapshot, uint32_t index)
{
	uint32_t slot = snapshot->entries[index].hash & snapshot->mask;

	while (snapshot->slots[slot] != 0)
		slot = (slot + 1) & snapshot->mask;
	snapshot->slots[slot] = index + 1;
}

/* Slots stay less than half full, so that a miss is found soon. */
static void
make_room(struct policy_snapshot *snapshot)
{
	if (snapshot->n_entries == snapshot->room) {
		snapshot->room = snapshot->room * 2 + 16;
		snapshot->entries = checked(
			realloc(snapshot->entries, snapshot->room * sizeof(*snapshot->entries)));
	}
	if ((snapshot->n_entries + 1) * 2 <= snapshot->mask)
		return;
	free(snapshot->slots);
	snapshot->mask = snapshot->mask * 2 + 1;
	snapshot->slots = checked(calloc((size_t)snapshot->mask + 1, sizeof(*snapshot->slots)));
	for (uint32_t i = 0; i < snapshot->n_entries; i++)
		place_entry(snapshot, i);
}

static void
note_length(struct policy_snapshot *snapshot, uint8_t length)
{
	unsigned int i = 0;

	while (i < snapshot->n_lengths && snapshot->lengths[i] > length)
		i++;
	if (i < snapshot->n_lengths && snapshot->lengths[i] == length)
		return;
	memmove(&snapshot->lengths[i + 1], &snapshot->lengths[i], snapshot->n_lengths - i);
	snapshot->lengths[i] = length;
	snapshot->n_lengths++;
}

const struct snapshot_entry *
snapshot_insert(struct policy_snapshot *snapshot, const struct snapshot_key *key, const void *value,
		int endpoint, bool *full)
{
	const struct snapshot_entry *found = snapshot_find(snapshot, key);
	struct snapshot_entry *entry;

	if (found != NULL)
		return found;
	if (snapshot->n_entries >= SNAPSHOT_MAX_ENTRIES) {
		*full = true;
		return NULL;
	}
	make_room(snapshot);
	entry = &snapshot->entries[snapshot->n_entries];
	memset(entry, 0, sizeof(*entry));
	entry->key = *key;
	entry->value = value;
	entry->endpoint = endpoint;
	entry->hash = hash_key(key);
	place_entry(snapshot, snapshot->n_entries++);
	if (key->scope == SNAPSHOT_OUTBOUND)
		note_length(snapshot, key->length);
	return NULL;
}

const struct snapshot_entry *
snapshot_find(const struct policy_snapshot *snapshot, const struct snapshot_key *key)
{
	uint32_t hash = hash_key(key), slot = hash & snapshot->mask;

	while (snapshot->slots[slot] != 0) {
		const struct snapshot_entry *entry = &snapshot->entries[snapshot->slots[slot] - 1];

		if (entry->hash == hash && same_key(&entry->key, key))
			return entry;
		slot = (slot + 1) & snapshot->mask;
	}
	return NULL;
}

/* --- keys ------------------------------------------------------------------------------------- */

static void
mask_address(struct in6_addr *address, uint8_t length)
{
	for (unsigned int i = 0; i < 16; i++) {
		unsigned int kept = length > i * 8 ? length - i * 8u : 0;

		if (kept < 8)
			address->s6_addr[i] &= (uint8_t)(0xff00u >> kept);
	}
}

struct snapshot_key
snapshot_address_key(enum snapshot_scope scope, const struct in6_addr *address, uint16_t port)
{
	struct snapshot_key key = {.address = *address, .port = port, .scope = (uint8_t)scope};

	return key;
}

struct snapshot_key
snapshot_inbound_key(uint32_t workload, uint16_t port)
{
	struct snapshot_key key = {.index = workload, .port = port, .scope = SNAPSHOT_INBOUND};

	return key;
}

struct snapshot_key
snapshot_outbound_key(uint32_t client, const struct policy_prefix *prefix, uint16_t port)
{
	struct snapshot_key key = {.address = prefix->address,
				   .index = client,
				   .port = port,
				   .scope = SNAPSHOT_OUTBOUND,
				   .length = prefix->length};

	mask_address(&key.address, prefix->length);
	return key;
}

void
snapshot_keep_identity(struct policy_snapshot *snapshot, struct tls_identity *identity,
		       const char *terms)
{
	if (snapshot->n_identities == snapshot->identities_room) {
		snapshot->identities_room = snapshot->identities_room * 2 + 8;
		snapshot->identities =
			checked(realloc(snapshot->identities,
					snapshot->identities_room * sizeof(*snapshot->identities)));
	}
	snapshot->identities[snapshot->n_identities].identity = identity;
	snapshot->identities[snapshot->n_identities].terms = arena_string(snapshot->arena, terms);
	snapshot->n_identities++;
}

/* --- what readers do ----------------------------------------------------------------------------
 */

uint64_t
policy_generation(const struct policy_snapshot *snapshot)
{
	return snapshot->generation;
}

const char *const *
policy_trust_domains(const struct policy_snapshot *snapshot, unsigned int *n)
{
	*n = snapshot->n_trust_domains;
	return snapshot->trust_domains;
}

static const struct snapshot_workload *
find_workload(const struct policy_snapshot *snapshot, const struct in6_addr *address)
{
	struct snapshot_key key = snapshot_address_key(SNAPSHOT_WORKLOAD, address, 0);
	const struct snapshot_entry *entry = snapshot_find(snapshot, &key);

	return entry != NULL ? entry->value : NULL;
}

const struct policy_workload *
policy_workload(const struct policy_snapshot *snapshot, const struct in6_addr *address)
{
	const struct snapshot_workload *workload = find_workload(snapshot, address);

	return workload != NULL ? &workload->workload : NULL;
}

static bool
lookup_listener(const struct policy_snapshot *snapshot, const struct in6_addr *server,
		uint16_t port, struct policy_verdict *verdict)
{
	struct snapshot_key key = snapshot_address_key(SNAPSHOT_LISTENER, server, port);
	const struct snapshot_entry *entry = snapshot_find(snapshot, &key);
	const struct snapshot_listener *listener;

	if (entry == NULL)
		return false;
	listener = entry->value;
	verdict->inbound = listener->inbound;
	verdict->outbound = listener->outbound;
	if (listener->inbound != NULL) {
		verdict->direction = POLICY_INBOUND;
		return true;
	}
	verdict->direction = POLICY_OUTBOUND;
	verdict->client = &snapshot->workloads[listener->client].workload;
	return true;
}

static bool
lookup_outbound(const struct policy_snapshot *snapshot, const struct snapshot_workload *client,
		const struct in6_addr *server, uint16_t port, struct policy_verdict *verdict)
{
	struct policy_prefix prefix = {.address = *server};
	bool ipv4 = address_is_ipv4(server);

	for (unsigned int i = 0; i < snapshot->n_lengths; i++) {
		const struct snapshot_entry *entry;
		struct snapshot_key key;

		prefix.length = snapshot->lengths[i];
		if (ipv4 && prefix.length < 96)
			break; /* IPv6 prefixes do not cover the mapped addresses */
		key = snapshot_outbound_key(client->index, &prefix, port);
		entry = snapshot_find(snapshot, &key);
		if (entry == NULL)
			continue;
		verdict->direction = POLICY_OUTBOUND;
		verdict->outbound = entry->value;
		verdict->client = &client->workload;
		verdict->endpoint = entry->endpoint;
		return true;
	}
	return false;
}

void
policy_lookup(const struct policy_snapshot *snapshot, const struct in6_addr *client,
	      const struct in6_addr *server, uint16_t port, struct policy_verdict *verdict)
{
	const struct snapshot_workload *workload;
	const struct snapshot_entry *entry;
	struct snapshot_key key;

	memset(verdict, 0, sizeof(*verdict));
	verdict->endpoint = -1;
	if (lookup_listener(snapshot, server, port, verdict))
		return;
	workload = find_workload(snapshot, client);
	if (workload != NULL && lookup_outbound(snapshot, workload, server, port, verdict))
		return;
	workload = find_workload(snapshot, server);
	if (workload == NULL)
		return;
	key = snapshot_inbound_key(workload->index, port);
	entry = snapshot_find(snapshot, &key);
	verdict->direction = POLICY_INBOUND;
	verdict->inbound = entry != NULL ? entry->value : &workload->undeclared;
}

/* The counters are the worker's own; the release orders its reads before the snapshot may be
 * seen as unused. */
void
policy_hold(const struct policy_snapshot *snapshot, unsigned int worker)
{
	uint64_t *taken = (uint64_t *)(uintptr_t)&snapshot->holds[worker].taken;

	__atomic_store_n(taken, *taken + 1, __ATOMIC_RELEASE);
}

void
policy_drop(const struct policy_snapshot *snapshot, unsigned int worker)
{
	uint64_t *taken = (uint64_t *)(uintptr_t)&snapshot->holds[worker].taken;

	__atomic_store_n(taken, *taken - 1, __ATOMIC_RELEASE);
}

uint64_t
snapshot_held(const struct policy_snapshot *snapshot)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < POLICY_MAX_WORKERS; i++)
		sum += __atomic_load_n(&snapshot->holds[i].taken, __ATOMIC_ACQUIRE);
	return sum;
}

/* --- names
 * ----------------------------------------------------------------------------------------- */

const char *
policy_mode_name(enum policy_mode mode)
{
	static const char *const names[] = {"DISABLE", "PERMISSIVE", "STRICT"};

	return (unsigned int)mode < RTE_DIM(names) ? names[mode] : "?";
}

const char *
policy_protocol_name(enum policy_protocol protocol)
{
	static const char *const names[] = {"AUTO", "TCP", "HTTP", "HTTP2", "TLS"};

	return (unsigned int)protocol < RTE_DIM(names) ? names[protocol] : "?";
}

const char *
policy_tls_name(enum policy_tls tls)
{
	static const char *const names[] = {"DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"};

	return (unsigned int)tls < RTE_DIM(names) ? names[tls] : "?";
}

/* --- the digest
 * -------------------------------------------------------------------------------------- */

static void
add_bytes(EVP_MD_CTX *hash, const void *bytes, size_t len)
{
	if (len > 0)
		EVP_DigestUpdate(hash, bytes, len);
}

static void
add_number(EVP_MD_CTX *hash, uint64_t number)
{
	add_bytes(hash, &number, sizeof(number));
}

static void
add_text(EVP_MD_CTX *hash, const char *text)
{
	add_number(hash, text != NULL ? strlen(text) : UINT64_MAX);
	add_bytes(hash, text, text != NULL ? strlen(text) : 0);
}

static void
add_identity(EVP_MD_CTX *hash, const struct tls_identity *identity)
{
	add_text(hash, identity != NULL ? tls_identity_fingerprint(identity) : NULL);
}

static void
add_source(EVP_MD_CTX *hash, const struct policy_source *source)
{
	add_text(hash, source->kind);
	add_text(hash, source->name);
	add_text(hash, source->file);
	add_number(hash, (uint64_t)source->line);
}

static void
add_workload(EVP_MD_CTX *hash, const struct policy_workload *workload)
{
	add_text(hash, workload->name);
	add_text(hash, workload->service_account);
	add_bytes(hash, &workload->address, sizeof(workload->address));
	add_number(hash, workload->preserve_source);
	add_identity(hash, workload->identity);
}

static void
add_inbound(EVP_MD_CTX *hash, const struct policy_inbound *inbound)
{
	add_text(hash, inbound->workload->name);
	add_number(hash, inbound->port);
	add_number(hash, inbound->mode);
	add_number(hash, inbound->protocol);
	add_source(hash, &inbound->source);
}

static void
add_outbound(EVP_MD_CTX *hash, const struct policy_outbound *outbound)
{
	add_text(hash, outbound->host);
	add_number(hash, outbound->port);
	add_number(hash, outbound->protocol);
	add_source(hash, &outbound->source);
	add_identity(hash, outbound->identity);
	add_text(hash, outbound->sni);
	add_number(hash, outbound->alpn_len);
	add_bytes(hash, outbound->alpn, outbound->alpn_len);
	add_number(hash, outbound->san_check);
	add_number(hash, outbound->n_sans);
	for (unsigned int i = 0; i < outbound->n_sans; i++)
		add_text(hash, outbound->sans[i]);
	add_number(hash, outbound->n_endpoints);
	for (unsigned int i = 0; i < outbound->n_endpoints; i++) {
		const struct policy_endpoint *endpoint = &outbound->endpoints[i];

		add_bytes(hash, &endpoint->address, sizeof(endpoint->address));
		add_number(hash, endpoint->port);
		add_number(hash, endpoint->tls);
		add_text(hash, endpoint->reason);
		add_text(hash, endpoint->workload);
	}
}

static void
add_entry(EVP_MD_CTX *hash, const struct snapshot_entry *entry)
{
	const struct snapshot_listener *listener = entry->value;

	add_bytes(hash, &entry->key, sizeof(entry->key));
	add_number(hash, (uint64_t)entry->endpoint);
	if (entry->key.scope == SNAPSHOT_INBOUND) {
		add_inbound(hash, entry->value);
	} else if (entry->key.scope == SNAPSHOT_OUTBOUND) {
		add_outbound(hash, entry->value);
	} else if (entry->key.scope == SNAPSHOT_LISTENER) {
		add_number(hash, listener->client);
		if (listener->inbound != NULL)
			add_inbound(hash, listener->inbound);
		else
			add_outbound(hash, listener->outbound);
	}
}

void
snapshot_digest(const struct policy_snapshot *snapshot, uint8_t digest[SNAPSHOT_DIGEST])
{
	EVP_MD_CTX *hash = checked(EVP_MD_CTX_new());

	EVP_DigestInit_ex(hash, EVP_sha256(), NULL);
	add_number(hash, snapshot->n_workloads);
	for (unsigned int i = 0; i < snapshot->n_workloads; i++) {
		add_workload(hash, &snapshot->workloads[i].workload);
		add_inbound(hash, &snapshot->workloads[i].undeclared);
	}
	for (unsigned int i = 0; i < snapshot->n_trust_domains; i++)
		add_text(hash, snapshot->trust_domains[i]);
	add_number(hash, snapshot->n_identities);
	for (unsigned int i = 0; i < snapshot->n_identities; i++) {
		add_identity(hash, snapshot->identities[i].identity);
		add_text(hash, snapshot->identities[i].terms);
	}
	add_number(hash, snapshot->n_entries);
	for (uint32_t i = 0; i < snapshot->n_entries; i++)
		add_entry(hash, &snapshot->entries[i]);
	EVP_DigestFinal_ex(hash, digest, NULL);
	EVP_MD_CTX_free(hash);
}
