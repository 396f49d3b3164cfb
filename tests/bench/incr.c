/* SPDX-License-Identifier: Apache-2.0 */
/*
 * incr: how many kv.incr a second the storage layer takes by itself, without
 * sockets and workers: `outstanding` callers that each ask again as soon as
 * they are answered, all on one counter, in a temporary database.
 *
 *   incr [os|disk] [outstanding] [seconds]
 */
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "broker/kv.h"

struct bench {
	struct kv *kv;
	uint64_t asked, answered, end_ns;
	int64_t last;
	bool closed;
	unsigned int outstanding;
};

static void ask(struct bench *b);

static void on_sum(void *arg, int status, int64_t sum)
{
	struct bench *b = arg;

	must(status == OK && sum == b->last + 1);
	b->last = sum;
	b->answered++;
	if ((b->answered & 63) || uv_hrtime() < b->end_ns)
		ask(b);
	else
		b->end_ns = 0;
}

static void ask(struct bench *b)
{
	if (!b->end_ns)
		return;
	b->asked++;
	must(kv_incr(b->kv, slice_str("counter"), 1, on_sum, b) == OK);
}

static void on_closed(void *arg)
{
	*(bool *)arg = true;
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static double cpu_seconds(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
	       (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static void run(struct bench *b, uv_loop_t *loop, struct store *store,
		double seconds)
{
	uint64_t from = uv_hrtime();
	struct store_status st;
	double took, cpu = cpu_seconds();

	b->end_ns = from + (uint64_t)(seconds * 1e9);
	for (unsigned int i = 0; i < b->outstanding; i++)
		ask(b);
	while (b->answered < b->asked)
		uv_run(loop, UV_RUN_ONCE);
	took = (double)(uv_hrtime() - from) / 1e9;
	cpu = cpu_seconds() - cpu;
	store_status(store, &st);
	printf("outstanding=%u incr/s=%.0f incr/group=%.1f cpu_us/incr=%.2f\n",
	       b->outstanding, (double)b->answered / took,
	       (double)b->answered / (double)st.groups,
	       cpu * 1e6 / (double)b->answered);
}

int main(int argc, char **argv)
{
	struct store_options o = {.kind = STORE_ROCKSDB};
	struct kv_options kv = {.ns = "http", .account = 1};
	char dir[] = "/tmp/pinfold-incr-XXXXXX", why[STORE_WHY];
	struct bench b = {.outstanding = 64};
	struct store *store;
	uv_loop_t loop;

	if (argc > 1 && strcmp(argv[1], "disk") == 0)
		o.durability = STORE_DISK;
	if (argc > 2)
		b.outstanding = (unsigned int)atoi(argv[2]);
	must(mkdtemp(dir) && uv_loop_init(&loop) == 0);
	if (store_open(&store, &loop, dir, &o, why) < 0) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	must(kv_open(&b.kv, store, &kv) == OK);
	run(&b, &loop, store, argc > 3 ? atof(argv[3]) : 3);
	kv_close(b.kv);
	store_close(store, on_closed, &b.closed);
	while (!b.closed)
		uv_run(&loop, UV_RUN_ONCE);
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}
