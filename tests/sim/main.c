/* SPDX-License-Identifier: Apache-2.0 */
/* sim: plays seeds against tcpstack; see sim.h. */
#include "tests/sim/sim.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/checked_pool.h"

struct options {
	uint64_t first, last;
	const char *scenario;
	bool trace, verbose, again;
};

static const char usage[] =
	"usage: sim [--seeds A..B | --seed N] [--scenario NAME] [--trace] [--verbose] [--twice]\n"
	"\n"
	"  --seeds A..B     play the seeds A to B (default 1..100)\n"
	"  --seed N         play one seed\n"
	"  --scenario NAME  this scenario; without it the seed chooses\n"
	"  --trace          print every packet and what became of it\n"
	"  --verbose        one line for each seed\n"
	"  --twice          play each seed twice and compare: both must send the same packets\n"
	"\nscenarios:\n";

static void
print_usage(FILE *out)
{
	const char *text, *name;

	fputs(usage, out);
	for (unsigned int i = 0; (name = scenario_name(i, &text)) != NULL; i++)
		fprintf(out, "  %-18s %s\n", name, text);
}

static bool
parse_number(const char *text, const char **end, uint64_t *value)
{
	char *stop;

	*value = strtoull(text, &stop, 0);
	*end = stop;
	return stop != text;
}

static bool
parse_range(const char *text, struct options *o)
{
	const char *end;

	return parse_number(text, &end, &o->first) && strncmp(end, "..", 2) == 0 &&
	       parse_number(end + 2, &end, &o->last) && *end == '\0' && o->first <= o->last;
}

static bool
parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"seeds", required_argument, NULL, 'S'},    {"seed", required_argument, NULL, 's'},
		{"scenario", required_argument, NULL, 'c'}, {"trace", no_argument, NULL, 't'},
		{"verbose", no_argument, NULL, 'v'},        {"twice", no_argument, NULL, '2'},
		{"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0}};
	const char *end;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'S' && parse_range(optarg, o))
			continue;
		if (c == 's' && parse_number(optarg, &end, &o->first) && *end == '\0') {
			o->last = o->first;
			o->verbose = true;
			continue;
		}
		if (c == 'c')
			o->scenario = optarg;
		else if (c == 't')
			o->trace = true;
		else if (c == 'v')
			o->verbose = true;
		else if (c == '2')
			o->again = true;
		else
			return false;
	}
	return optind == argc;
}

static void
report(const char *program, const struct options *o, uint64_t seed, const struct sim_result *r)
{
	if (r->ok && o->verbose)
		printf("seed %lu %s: ok, %.1f s virtual, %lu packets, %lu bytes, digest %016lx\n",
		       seed, r->scenario, (double)r->virtual_us / 1e6, r->packets, r->bytes,
		       r->digest);
	if (!r->ok) {
		printf("seed %lu %s: FAILED %s\n", seed, r->scenario, r->why);
		printf("  replay: %s --seed %lu --trace%s%s\n", program, seed,
		       o->scenario ? " --scenario " : "", o->scenario ? o->scenario : "");
	}
	fflush(stdout);
}

static bool
play(struct sim_pools *pools, const char *program, const struct options *o, uint64_t seed,
     struct sim_result *result)
{
	struct sim_result second;

	if (!sim_play(pools, seed, o->scenario, o->trace, result)) {
		fprintf(stderr, "no scenario of that name\n");
		print_usage(stderr);
		exit(2);
	}
	if (o->again && result->ok) {
		sim_play(pools, seed, o->scenario, false, &second);
		if (second.digest != result->digest) {
			result->ok = false;
			snprintf(result->why, sizeof(result->why),
				 "the second time other packets were sent");
		}
	}
	report(program, o, seed, result);
	return result->ok;
}

int
main(int argc, char **argv)
{
	struct options o = {.first = 1, .last = 100};
	struct sim_result result, total = {0};
	struct sim_pools pools;
	uint64_t failed = 0;

	if (!parse_options(argc, argv, &o)) {
		print_usage(stderr);
		return 2;
	}
	checked_eal_init("sim", 256);
	sim_pools_create(&pools);
	for (uint64_t seed = o.first; seed <= o.last; seed++) {
		failed += !play(&pools, argv[0], &o, seed, &result);
		total.virtual_us += result.virtual_us;
		total.packets += result.packets;
		total.bytes += result.bytes;
	}
	sim_pools_free(&pools);
	printf("%lu seeds, %lu failed; %.0f virtual seconds, %lu packets, %lu bytes verified\n",
	       o.last - o.first + 1, failed, (double)total.virtual_us / 1e6, total.packets,
	       total.bytes);
	return failed == 0 ? 0 : 1;
}
