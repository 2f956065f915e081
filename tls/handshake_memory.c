/* SPDX-License-Identifier: Apache-2.0 */
/* Apart from the other files of the handshake because OpenSSL's headers and IPsec-MB's, which
 * tls/crypto_internal.h needs, do not go together. */

#include "tls/handshake_memory.h"

#include <pthread.h>

#include "tls/crypto_internal.h"
#include "tls/record.h"

#define KEYS_CHUNK (64u * 1024)

/* For all threads: a handshake takes the lock twice, among 200 microseconds of arithmetic. */
static struct {
	pthread_mutex_t lock;
	struct crypto_slab slab;
} memory = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct tls_keys *
tls_hs_keys_get(void)
{
	struct tls_keys *keys;

	pthread_mutex_lock(&memory.lock);
	if (memory.slab.slot == 0)
		crypto_slab_init(&memory.slab, sizeof(*keys), KEYS_CHUNK);
	keys = crypto_slab_get(&memory.slab);
	pthread_mutex_unlock(&memory.lock);
	return keys;
}

void
tls_hs_keys_put(struct tls_keys *keys)
{
	if (keys == NULL)
		return;
	pthread_mutex_lock(&memory.lock);
	crypto_slab_put(&memory.slab, keys);
	pthread_mutex_unlock(&memory.lock);
}

unsigned int
tls_hs_keys_in_use(void)
{
	unsigned int n;

	pthread_mutex_lock(&memory.lock);
	n = memory.slab.in_use;
	pthread_mutex_unlock(&memory.lock);
	return n;
}
