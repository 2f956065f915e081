/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the beginning of a connection. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "dataplane/sniff.h"

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct sniff result, shorter;

	sniff(bytes, length, &result);
	assert(result.kind != SNIFF_MORE || (result.need > length && result.need <= SNIFF_MAX));
	assert(strlen(result.sni) < sizeof(result.sni));
	/* Bytes behind what was enough never change the answer. */
	if (length > 0) {
		sniff(bytes, length - 1, &shorter);
		assert(shorter.kind == SNIFF_MORE || shorter.kind == result.kind);
	}
	return 0;
}
