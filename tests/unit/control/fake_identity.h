/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FAKE_IDENTITY_H
#define TESTS_FAKE_IDENTITY_H

/*
 * A stand-in for tls/identity.h, so that the control room is tested without certificates. A
 * "certificate chain" is a text file whose first line is the SPIFFE ID; one that begins with
 * "broken" cannot be loaded. The key and the trust bundle only have to be there. Nothing is
 * read for paths that begin with "/fake/": these always load.
 */

#include "tls/identity.h"

/* An identity without files. */
struct tls_identity *fake_identity(const char *spiffe_id);

/* Identities that were loaded and not yet freed. */
unsigned int fake_identities(void);

/* What an identity was loaded from; NULL: nothing. */
const char *fake_identity_trust_bundle(const struct tls_identity *identity);
const char *fake_identity_chain(const struct tls_identity *identity);
bool fake_identity_skip_verify(const struct tls_identity *identity);

#endif
