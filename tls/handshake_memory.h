/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TLS_HANDSHAKE_MEMORY_H
#define TLS_HANDSHAKE_MEMORY_H

/* Locked memory for the secrets of a handshake in progress. Any thread may call. */

struct tls_keys;

struct tls_keys *tls_hs_keys_get(void);      /* zeroed; NULL: no memory */
void tls_hs_keys_put(struct tls_keys *keys); /* wipes; NULL is ignored */
unsigned int tls_hs_keys_in_use(void);       /* for tests */

#endif
