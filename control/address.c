/* SPDX-License-Identifier: Apache-2.0 */
#include "control/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

bool
address_is_ipv4(const struct in6_addr *address)
{
	return memcmp(address, mapped, sizeof(mapped)) == 0;
}

bool
address_parse(const char *text, struct in6_addr *address)
{
	struct in6_addr parsed;

	if (inet_pton(AF_INET, text, &parsed.s6_addr[12]) == 1) {
		memcpy(&parsed, mapped, sizeof(mapped));
	} else if (inet_pton(AF_INET6, text, &parsed) != 1 || address_is_ipv4(&parsed)) {
		return false;
	}
	*address = parsed;
	return true;
}

/* One to three digits, no sign and no leading zero. */
static bool
parse_length(const char *text, unsigned int max, uint8_t *length)
{
	unsigned int value = 0;

	if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0') || strlen(text) > 3)
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return false;
		value = value * 10 + (unsigned int)(*text - '0');
	}
	if (value > max)
		return false;
	*length = (uint8_t)value;
	return true;
}

bool
address_parse_prefix(const char *text, struct policy_prefix *prefix)
{
	const char *slash = strchr(text, '/');
	struct policy_prefix parsed = {.length = 128};
	char address[ADDRESS_TEXT];
	size_t len = slash ? (size_t)(slash - text) : strlen(text);

	if (len >= sizeof(address))
		return false;
	memcpy(address, text, len);
	address[len] = '\0';
	if (!address_parse(address, &parsed.address))
		return false;
	if (slash != NULL) {
		bool ipv4 = address_is_ipv4(&parsed.address);

		if (!parse_length(slash + 1, ipv4 ? 32 : 128, &parsed.length))
			return false;
		parsed.length += ipv4 ? 96 : 0;
	}
	*prefix = parsed;
	return true;
}

bool
address_is_unspecified(const struct in6_addr *address)
{
	static const uint8_t zero[16];
	size_t from = address_is_ipv4(address) ? 12 : 0;

	return memcmp(address->s6_addr + from, zero, 16 - from) == 0;
}

bool
address_is_multicast(const struct in6_addr *address)
{
	static const uint8_t broadcast[4] = {255, 255, 255, 255};

	if (!address_is_ipv4(address))
		return address->s6_addr[0] == 0xff;
	return (address->s6_addr[12] & 0xf0) == 0xe0 ||
	       memcmp(address->s6_addr + 12, broadcast, 4) == 0;
}

bool
address_equal(const struct in6_addr *a, const struct in6_addr *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

bool
address_in_prefix(const struct in6_addr *address, const struct policy_prefix *prefix)
{
	unsigned int bytes = prefix->length / 8, bits = prefix->length % 8;
	uint8_t mask = bits ? (uint8_t)(0xff << (8 - bits)) : 0;

	if (address_is_ipv4(address) != address_is_ipv4(&prefix->address))
		return false; /* ::/0 does not take IPv4 in */
	if (memcmp(address, &prefix->address, bytes) != 0)
		return false;
	return bits == 0 ||
	       ((address->s6_addr[bytes] ^ prefix->address.s6_addr[bytes]) & mask) == 0;
}

const char *
address_format(const struct in6_addr *address, char text[ADDRESS_TEXT])
{
	if (address_is_ipv4(address))
		inet_ntop(AF_INET, &address->s6_addr[12], text, ADDRESS_TEXT);
	else
		inet_ntop(AF_INET6, address, text, ADDRESS_TEXT);
	return text;
}

const char *
address_format_prefix(const struct policy_prefix *prefix, char text[ADDRESS_TEXT])
{
	bool ipv4 = address_is_ipv4(&prefix->address);
	size_t len = strlen(address_format(&prefix->address, text));

	snprintf(text + len, 5, "/%u", (prefix->length - (ipv4 ? 96u : 0u)) & 255u);
	return text;
}

const char *
address_schema(struct arena *arena, const char *text, void *out)
{
	return address_parse(text, out) ? NULL : "an IPv4 or IPv6 address such as 10.0.0.1";
}

const char *
address_schema_prefix(struct arena *arena, const char *text, void *out)
{
	return address_parse_prefix(text, out)
		       ? NULL
		       : "an IPv4 or IPv6 prefix such as 10.0.0.0/24 or fd00::/64";
}
