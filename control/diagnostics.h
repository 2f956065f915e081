/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTROL_DIAGNOSTICS_H
#define CONTROL_DIAGNOSTICS_H

/*
 * What is wrong with a configuration, collected over one run and reported in order:
 *
 *     mesh/web.yaml:12:9: error: spec.mtls.mode is "STRIKT", expected one of UNSET, ...
 *     mesh/web.yaml:14:3: warning: spec.hosts is not acted on by this version
 *
 * The text says what was found and, after a comma, what was expected. Lines are sorted by
 * file, line and column, and keep the order in which they came where these are equal.
 */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#define DIAGNOSTICS_MAX 500        /* kept; more are counted and summed up in one line */
#define DIAGNOSTICS_MAX_TEXT 1024  /* bytes of one message; the rest is cut */

struct diagnostics;

/* Where something is written. Lines and columns count from 1, columns in characters; 0: of
 * the file as a whole. `file` is not copied before a diagnostic is made of it. */
struct diagnostics_place {
	const char *file;
	unsigned int line, column;
};

struct diagnostics *diagnostics_create(void);
void diagnostics_destroy(struct diagnostics *diagnostics); /* NULL is fine */

/* Copies what it is given. Control characters of the message are written as \xNN, so that
 * a hostile file cannot write to a terminal. */
void diagnostics_error(struct diagnostics *diagnostics, struct diagnostics_place place,
		       const char *format, ...) __attribute__((format(printf, 3, 4)));
void diagnostics_warning(struct diagnostics *diagnostics, struct diagnostics_place place,
			 const char *format, ...) __attribute__((format(printf, 3, 4)));

unsigned int diagnostics_errors(const struct diagnostics *diagnostics);
unsigned int diagnostics_warnings(const struct diagnostics *diagnostics);

/* One call for each line, without a newline; the type of policy_report in control/policy.h.
 * May be called again, after more has been added. */
void diagnostics_report(struct diagnostics *diagnostics,
			void (*report)(void *ctx, const char *line), void *ctx);

/* "2 errors, 1 warning", "no errors, 1 warning", "no errors, no warnings". */
void diagnostics_summary(const struct diagnostics *diagnostics, char *text, size_t len);

#endif
