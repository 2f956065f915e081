/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What tcpstack costs: cycles and instructions per unit, bytes per idle connection. The
 * stack runs under a virtual clock against peers made by hand; see docs/tcp-performance.md.
 */

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rte_cycles.h>

#include "bench/tcp_cases.h"
#include "tcpstack/tcp_internal.h"

#define MAX_RUNS 101
#define HUGE_N 1000000u
#define MEGABYTES_PER_MILLION 1600u

struct options {
	const char *only; /* a case's name, or NULL */
	const char *self;
	uint32_t connections; /* 0: 1, 1,000 and 1,000,000 */
	unsigned int runs;
	enum lab_memory memory;
	bool memory_given, json, callgrind, child;
};

struct result {
	const struct bench_case *bench;
	uint32_t connections;
	double median, least, most;
	double instructions; /* 0: not counted */
};

static void
usage(void)
{
	fputs("bench/tcp [--case NAME] [--connections N] [--runs N] [--json]\n"
	      "          [--memory pages|transparent|huge] [--callgrind]\n"
	      "  Without options: every case with 1, 1,000 and 1,000,000 connections.\n"
	      "  --callgrind counts instructions instead of cycles (1 and 1,000 connections).\n",
	      stderr);
	exit(2);
}

/* --- running --------------------------------------------------------------------------- */

static unsigned int
megabytes(uint32_t connections)
{
	return 64 + (unsigned int)((uint64_t)connections * MEGABYTES_PER_MILLION / HUGE_N);
}

/* Enough batches for a run to last some milliseconds, and to visit everybody. */
static uint64_t
units_wanted(const struct bench_case *bench, uint32_t connections)
{
	if (strncmp(bench->name, "timer", 5) == 0)
		return connections == 1 ? 4096 : RTE_MAX(connections, 20000u);
	if (strcmp(bench->name, "connect") == 0 || strcmp(bench->name, "accept") == 0)
		return 40000;
	return connections == 1 ? 100000 : RTE_MAX(connections, 100000u);
}

static double
run_once(const struct bench_case *bench, struct lab *lab)
{
	uint64_t wanted = units_wanted(bench, lab->n), units = 0, start = bench_cycles();

	while (units < wanted)
		units += bench->batch(lab);
	return (double)(bench_cycles() - start) / (double)units;
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void
measure(const struct bench_case *bench, struct lab *lab, unsigned int runs, struct result *result)
{
	double value[MAX_RUNS];

	run_once(bench, lab); /* warms up */
	for (unsigned int i = 0; i < runs; i++)
		value[i] = run_once(bench, lab);
	qsort(value, runs, sizeof(value[0]), by_value);
	*result = (struct result){
		.bench = bench,
		.connections = lab->n,
		.median = value[runs / 2],
		.least = value[0],
		.most = value[runs - 1],
	};
}

/* --- callgrind ------------------------------------------------------------------------- */

/* Under valgrind: a few batches, so that only tcp_case_step() is collected. */
static void
run_child(const struct options *options, const struct bench_case *bench)
{
	struct lab lab;
	uint64_t units = 0;

	lab_open(&lab, options->memory, options->connections);
	for (int i = 0; i < 40; i++)
		units += bench->batch(&lab);
	printf("units %lu\n", units);
	lab_close(&lab);
}

/* valgrind's last word is "Collected : N". */
static void
parse_line(const char *line, double *units, double *instructions)
{
	const char *collected = strstr(line, "Collected :");

	if (strncmp(line, "units ", 6) == 0)
		*units = atof(line + 6);
	else if (collected != NULL)
		*instructions = atof(collected + strlen("Collected :"));
}

static void
exec_callgrind(const struct options *options, const struct bench_case *bench, uint32_t connections,
	       int out)
{
	char n[16];

	snprintf(n, sizeof(n), "%u", connections);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	execlp("valgrind", "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
	       "--collect-atstart=no", "--toggle-collect=tcp_case_step", options->self, "--child",
	       "--case", bench->name, "--connections", n, "--memory", "pages", (char *)NULL);
	perror("valgrind");
	_exit(127);
}

static void
count_instructions(const struct options *options, const struct bench_case *bench,
		   uint32_t connections, struct result *result)
{
	double units = 0, instructions = 0;
	int fds[2], status = -1;
	char line[512];
	FILE *in;
	pid_t pid;

	lab_check(pipe(fds) == 0, "no pipe");
	pid = fork();
	if (pid == 0)
		exec_callgrind(options, bench, connections, fds[1]);
	close(fds[1]);
	in = fdopen(fds[0], "r");
	lab_check(pid > 0 && in != NULL, "no child");
	while (fgets(line, sizeof(line), in) != NULL)
		parse_line(line, &units, &instructions);
	fclose(in);
	waitpid(pid, &status, 0);
	lab_check(status == 0 && units > 0 && instructions > 0, "callgrind counted nothing");
	*result = (struct result){
		.bench = bench,
		.connections = connections,
		.instructions = instructions / units,
	};
}

/* --- reporting ------------------------------------------------------------------------- */

static const char *
cpu_name(char *buf, size_t room)
{
	FILE *f = fopen("/proc/cpuinfo", "r");
	char line[256];

	snprintf(buf, room, "unknown CPU");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, "model name", 10) == 0) {
			snprintf(buf, room, "%s", strchr(line, ':') + 2);
			buf[strcspn(buf, "\n")] = '\0';
			break;
		}
	if (f != NULL)
		fclose(f);
	return buf;
}

static void
print_head(const struct options *options)
{
	char cpu[128];

	cpu_name(cpu, sizeof(cpu));
	if (options->json) {
		printf("{\n  \"cpu\": \"%s\",\n", cpu);
		if (!options->callgrind)
			printf("  \"tsc_hz\": %lu,\n  \"memory\": \"%s\",\n  \"runs\": %u,\n",
			       rte_get_tsc_hz(), lab_memory_name(options->memory), options->runs);
		printf("  \"results\": [");
		return;
	}
	printf("%s", cpu);
	if (options->callgrind)
		printf("\n\n%-16s %12s %12s\n", "case", "connections", "instructions");
	else
		printf(", TSC %.3f GHz, tables in %s, %u runs\n\n%-16s %12s %10s %10s %10s %8s\n",
		       (double)rte_get_tsc_hz() * 1e-9, lab_memory_name(options->memory),
		       options->runs, "case", "connections", "cycles", "least", "most", "ns");
}

static void
print_result(const struct options *options, const struct result *result, bool first)
{
	double ns = options->callgrind ? 0 : result->median * 1e9 / (double)rte_get_tsc_hz();

	if (options->json) {
		printf("%s\n    {\"case\": \"%s\", \"connections\": %u, \"per\": \"%s\", ",
		       first ? "" : ",", result->bench->name, result->connections,
		       result->bench->unit);
		if (options->callgrind)
			printf("\"instructions\": %.1f}", result->instructions);
		else
			printf("\"cycles\": {\"median\": %.1f, \"min\": %.1f, \"max\": %.1f}}",
			       result->median, result->least, result->most);
	} else if (options->callgrind) {
		printf("%-16s %12u %12.1f\n", result->bench->name, result->connections,
		       result->instructions);
	} else {
		printf("%-16s %12u %10.1f %10.1f %10.1f %8.1f\n", result->bench->name,
		       result->connections, result->median, result->least, result->most, ns);
	}
	fflush(stdout);
}

static void
print_memory(const struct options *options)
{
	uint32_t n = 1u << 18;
	uint64_t bytes = lab_table_bytes(options->memory, n, 0);
	uint64_t with = lab_table_bytes(options->memory, n, n);
	double each = (double)bytes / n, time_wait = (double)(with - bytes) / n;

	if (options->json) {
		printf("\n  ],\n  \"bytes\": {\"connection\": %.1f, \"hot\": %zu, \"cold\": %zu, "
		       "\"time_wait\": %.1f}\n}\n",
		       each, offsetof(struct tcp_conn, cold), sizeof(struct tcp_cold), time_wait);
		return;
	}
	printf("\n%.1f bytes for an idle connection, everything included (hot %zu, cold %zu); "
	       "%.1f for a TIME-WAIT entry\n",
	       each, offsetof(struct tcp_conn, cold), sizeof(struct tcp_cold), time_wait);
}

/* --- main ------------------------------------------------------------------------------ */

static const struct bench_case *
find_case(const char *name)
{
	for (unsigned int i = 0; i < bench_n_cases; i++)
		if (strcmp(bench_cases[i].name, name) == 0)
			return &bench_cases[i];
	fprintf(stderr, "bench/tcp: no case %s; there are:\n", name);
	for (unsigned int i = 0; i < bench_n_cases; i++)
		fprintf(stderr, "  %-16s %s\n", bench_cases[i].name, bench_cases[i].what);
	exit(2);
}

static enum lab_memory
parse_memory(const char *text)
{
	if (strcmp(text, "pages") == 0)
		return LAB_PAGES;
	if (strcmp(text, "transparent") == 0)
		return LAB_TRANSPARENT;
	if (strcmp(text, "huge") == 0)
		return LAB_HUGE;
	usage();
	return LAB_PAGES;
}

static void
parse(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{"case", required_argument, NULL, 'c'},
		{"connections", required_argument, NULL, 'n'},
		{"runs", required_argument, NULL, 'r'},
		{"memory", required_argument, NULL, 'm'},
		{"json", no_argument, NULL, 'j'},
		{"callgrind", no_argument, NULL, 'i'},
		{"child", no_argument, NULL, 'k'},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1)
		switch (c) {
		case 'c':
			options->only = optarg;
			break;
		case 'n':
			options->connections = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'r':
			options->runs = (unsigned int)strtoul(optarg, NULL, 10);
			break;
		case 'm':
			options->memory = parse_memory(optarg);
			options->memory_given = true;
			break;
		case 'j':
			options->json = true;
			break;
		case 'i':
			options->callgrind = true;
			break;
		case 'k':
			options->child = true;
			break;
		default:
			usage();
		}
	if (optind != argc || options->runs < 1 || options->runs > MAX_RUNS ||
	    options->connections > HUGE_N)
		usage();
}

/* A burst of 32 needs 32 connections, or the one. */
static void
for_connections(const struct options *options, uint32_t n, bool *first)
{
	struct result result;
	struct lab lab;

	if (!options->callgrind)
		lab_open(&lab, options->memory, n);
	for (unsigned int i = 0; i < bench_n_cases; i++) {
		const struct bench_case *bench = &bench_cases[i];

		if (options->only != NULL && bench != find_case(options->only))
			continue;
		if (strcmp(bench->name, "receive-bulk") == 0 && n != 1)
			continue;
		if (options->callgrind)
			count_instructions(options, bench, n, &result);
		else
			measure(bench, &lab, n > 1000 ? RTE_MIN(options->runs, 5u) : options->runs,
				&result);
		print_result(options, &result, *first);
		*first = false;
	}
	if (!options->callgrind)
		lab_close(&lab);
}

int
main(int argc, char **argv)
{
	struct options options = {.runs = 11, .self = argv[0]};
	uint32_t counts[] = {1, 1000, HUGE_N};
	bool first = true;
	uint32_t most;

	parse(argc, argv, &options);
	most = options.connections != 0 ? options.connections : HUGE_N;
	if (!options.memory_given)
		options.memory = lab_has_huge_pages(megabytes(most)) ? LAB_HUGE : LAB_TRANSPARENT;
	if (!options.callgrind)
		options.memory = lab_init(options.memory, RTE_MAX(megabytes(most), 512u));
	if (options.child) {
		run_child(&options, find_case(options.only));
		return 0;
	}
	bench_calibrate();
	print_head(&options);
	for (unsigned int i = 0; i < RTE_DIM(counts); i++) {
		uint32_t n = options.connections != 0 ? options.connections : counts[i];

		if (options.callgrind && n > 1000)
			continue;
		for_connections(&options, n, &first);
		if (options.connections != 0)
			break;
	}
	if (!options.callgrind)
		print_memory(&options);
	else if (options.json)
		printf("\n  ]\n}\n");
	return 0;
}
