/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTROL_SCHEMA_SCALAR_H
#define CONTROL_SCHEMA_SCALAR_H

/*
 * The values of single fields, for schema.c and schema_document.c.
 */

#include "control/schema.h"

#define SCHEMA_EXPECTED 512 /* bytes of the longest description */

/*
 * Puts the scalar `node` to `out`, which is the field's place in its struct. False: it is
 * not what the field takes; *wanted is then what it does take where a parse function said
 * so, else NULL. Reports nothing.
 */
bool schema_scalar(const struct schema_field *field, const struct yaml_node *node,
		   unsigned int flags, struct arena *arena, void *out, const char **wanted);

/* The field's default. A default that its own field does not take is a bug, and aborts. */
void schema_fallback(const struct schema_field *field, struct arena *arena, void *out);

/* What the field takes: "an integer from 1 to 64". Returns `text`. */
const char *schema_expected(const struct schema_field *field, char text[SCHEMA_EXPECTED]);

/* Milliseconds as people write them: "250ms", "10s", "1h". Returns `text`. */
const char *schema_duration_format(int64_t milliseconds, char text[32]);

#endif
