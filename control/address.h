/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTROL_ADDRESS_H
#define CONTROL_ADDRESS_H

/*
 * Addresses and prefixes as text. In memory all are 16 bytes, IPv4 as IPv4-mapped (RFC 4291
 * section 2.5.5.2). An IPv4-mapped address written as IPv6 is refused: it would be taken
 * for IPv4. So are scope ids.
 */

#include <stdbool.h>
#include <stddef.h>

#include "control/arena.h"
#include "control/policy.h"

#define ADDRESS_TEXT 48 /* bytes that the longest text and its NUL need, a prefix included */

bool address_parse(const char *text, struct in6_addr *address);
/* "10.0.0.1/24", "fd00::1/64"; without a length: all bits. Host bits are kept. */
bool address_parse_prefix(const char *text, struct policy_prefix *prefix);

bool address_is_ipv4(const struct in6_addr *address);
bool address_is_unspecified(const struct in6_addr *address); /* 0.0.0.0 or :: */
bool address_is_multicast(const struct in6_addr *address);   /* 255.255.255.255 included */
bool address_equal(const struct in6_addr *a, const struct in6_addr *b);
/* Both of one family, and the first `length` bits equal. */
bool address_in_prefix(const struct in6_addr *address, const struct policy_prefix *prefix);

/* Returns `text`. A prefix of an IPv4 address is written with IPv4's length. */
const char *address_format(const struct in6_addr *address, char text[ADDRESS_TEXT]);
const char *address_format_prefix(const struct policy_prefix *prefix, char text[ADDRESS_TEXT]);

/* For SCHEMA_CUSTOM: to struct in6_addr and struct policy_prefix. */
const char *address_schema(struct arena *arena, const char *text, void *out);
const char *address_schema_prefix(struct arena *arena, const char *text, void *out);

#endif
