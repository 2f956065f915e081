/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_STATS_H
#define DATAPLANE_STATS_H

/*
 * The running gateway as JSON, for GET /stats: mempools, heap, ports, workers with every
 * counter by its name. Read without stopping anybody; values may lag by a turn.
 */

#include "dataplane/worker.h"

/* From malloc(); NULL: out of memory. */
char *stats_json(const struct worker_shared *shared);

#endif
