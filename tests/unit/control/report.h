/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_CONTROL_REPORT_H
#define TESTS_UNIT_CONTROL_REPORT_H

/*
 * Diagnostics as one text, a line each, for comparison with what a test expects.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/diagnostics.h"

struct report {
	char text[64 * 1024];
	size_t len;
};

static inline void
report_line(void *ctx, const char *line)
{
	struct report *report = ctx;
	size_t room = sizeof(report->text) - report->len;
	int len = snprintf(report->text + report->len, room, "%s\n", line);

	report->len += (size_t)len < room ? (size_t)len : room - 1;
}

/* Frees the diagnostics. */
static inline void
report_take(struct report *report, struct diagnostics *diagnostics)
{
	report->len = 0;
	report->text[0] = '\0';
	diagnostics_report(diagnostics, report_line, report);
	diagnostics_destroy(diagnostics);
}

#endif
