/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_TCP_CASES_H
#define BENCH_TCP_CASES_H

#include "bench/tcp_lab.h"

/*
 * One measurement. A batch is prepared, timed and checked in steps: whatever tcp_case_step()
 * calls is measured, the rest is not.
 */
struct bench_case {
	const char *name;
	const char *unit;
	const char *what;
	/* Runs a batch and returns how many units it was. */
	uint32_t (*batch)(struct lab *lab);
};

extern const struct bench_case bench_cases[];
extern const unsigned int bench_n_cases;

/* Cycles that the steps have taken so far, the reading of the clock not counted. */
uint64_t bench_cycles(void);
/* Measures what reading the clock costs. */
void bench_calibrate(void);

#endif
