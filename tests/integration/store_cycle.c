/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_cycle: the storage layer by itself, to be killed. test_durability.py
 * runs it.
 *
 *   store_cycle DIR write [os|disk]
 *       goes on from the last number that DIR holds; commits one number after
 *       the other, 64 at a time, and prints each once it is acknowledged
 *   store_cycle DIR verify
 *       "ok N": everything up to N is there and whole, nothing of what comes
 *       after; otherwise says what is wrong and ends with 1
 *
 * A number N is one run: kv slot N % 1024 and "last" get N, "count" is raised
 * by kv.incr, an event with N goes to the bus; now and then a blob is put that
 * never gets a name, or one that becomes the artifact "a".
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/effects.h"
#include "lib/log.h"
#include "proto/pack.h"
#include "proto/unpack.h"

enum { SLOTS = 1024, OUTSTANDING = 64, BLOB_EVERY = 37 };

struct cycle {
	uv_loop_t loop;
	struct effects_ctx ctx;
	uint64_t next; /* number to commit */
	uint64_t waiting, found;
	bool asked, broken, closed;
	bool alone; /* a number with a blob is under way */
};

static void check(struct cycle *c, bool cond, const char *what, uint64_t n)
{
	if (cond)
		return;
	c->broken = true;
	printf("broken: %s at %" PRIu64 "\n", what, n);
}

static void pack_set(struct buf *b, const char *key, uint64_t n)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, n);
	pack_array(b, 4);
	pack_cstr(b, "kv.set");
	pack_cstr(b, key);
	pack_cstr(b, text);
	pack_uint(b, 0);
}

struct step {
	struct cycle *c;
	uint64_t n;
};

static void on_committed(void *arg, int status)
{
	struct step *s = arg;

	must(status == OK);
	printf("%" PRIu64 "\n", s->n);
	s->c->waiting--;
	s->c->alone = false;
	free(s);
}

static void commit(struct step *s, uint64_t blob)
{
	struct effects_run run = {.script = slice_str("cycle"),
				  .owner = s->n + 1};
	struct buf seq = {0};
	char slot[16];

	snprintf(slot, sizeof(slot), "s%" PRIu64, s->n % SLOTS);
	pack_set(&seq, slot, s->n);
	pack_set(&seq, "last", s->n);
	pack_array(&seq, 3);
	pack_cstr(&seq, "bus.emit");
	pack_cstr(&seq, "cycle");
	pack_uint(&seq, s->n);
	if (blob) {
		pack_array(&seq, 4);
		pack_cstr(&seq, "artifact.write");
		pack_cstr(&seq, "a");
		pack_uint(&seq, blob);
		pack_uint(&seq, 5);
	}
	must(effects_apply(&s->c->ctx, &run, buf_slice(&seq), on_committed,
			   s) == OK);
	buf_fini(&seq);
}

static void on_put(void *arg, int status, uint64_t blob)
{
	must(status == OK && blob);
	commit(arg, blob);
}

static void on_orphan(void *arg, int status, uint64_t blob)
{
	(void)arg;
	must(status == OK && blob);
}

static void on_count(void *arg, int status, int64_t count)
{
	(void)arg;
	must(status == OK && count > 0);
}

/* Numbers with a blob wait for it alone: commits stay in order. */
static void begin(struct cycle *c)
{
	struct step *s = calloc(1, sizeof(*s));
	struct artifact_put put = {c->next + 1, 0, slice_str("bytes")};

	must(s);
	*s = (struct step){c, c->next++};
	c->waiting++;
	must(kv_incr(c->ctx.kv, slice_str("count"), 1, on_count, NULL) == OK);
	if (s->n % BLOB_EVERY) {
		commit(s, 0);
		return;
	}
	c->alone = true;
	must(artifact_put(c->ctx.artifacts, &put, on_orphan, NULL) == OK);
	must(artifact_put(c->ctx.artifacts, &put, on_put, s) == OK);
}

static void on_last(void *arg, int status, struct slice value)
{
	struct cycle *c = arg;
	char text[32] = "";

	must(status == OK || status == ERR_ABSENT);
	if (status == OK && value.n < sizeof(text)) {
		memcpy(text, value.p, value.n);
		c->next = strtoull(text, NULL, 10) + 1;
	}
	c->asked = true;
}

static void find_last(struct cycle *c)
{
	must(kv_get(c->ctx.kv, slice_str("last"), on_last, c) == OK);
	while (!c->asked)
		uv_run(&c->loop, UV_RUN_ONCE);
}

static void on_prepare(uv_prepare_t *turn)
{
	(void)turn;
	fflush(stdout);
}

static void write_on(struct cycle *c)
{
	uv_prepare_t turn;

	uv_prepare_init(&c->loop, &turn);
	uv_prepare_start(&turn, on_prepare);
	for (;;) {
		while (c->waiting < OUTSTANDING && !c->alone &&
		       (c->waiting == 0 || c->next % BLOB_EVERY))
			begin(c);
		uv_run(&c->loop, UV_RUN_ONCE);
	}
}

static uint64_t number(struct slice value)
{
	char text[32] = "";

	if (value.n == 0 || value.n >= sizeof(text))
		return UINT64_MAX;
	memcpy(text, value.p, value.n);
	return strtoull(text, NULL, 10);
}

static void on_rows(void *arg, int status, const struct kv_row *row, size_t n)
{
	struct cycle *c = arg;

	check(c, status == OK, "list", 0);
	for (size_t i = 0; i < n; i++) {
		uint64_t value = number(row[i].value);
		uint64_t slot =
			number(slice_of(row[i].key.p + 1, row[i].key.n - 1));

		/* The newest number of that slot, and none after the last. */
		if (row[i].key.p[0] != 's')
			continue;
		c->found++;
		check(c,
		      value % SLOTS == slot && value < c->next &&
			      value + SLOTS >= c->next,
		      "slot", slot);
	}
	c->waiting--;
}

static void on_counted(void *arg, int status, struct slice value)
{
	struct cycle *c = arg;

	if (c->next > 0)
		check(c, status == OK && number(value) >= c->next, "count",
		      number(value));
	c->waiting--;
}

static int on_event(void *arg, const struct bus_event *e)
{
	struct cursor data = cursor_of(e->data);
	struct cycle *c = arg;
	uint64_t n = cursor_uint(&data);

	check(c, n < c->next, "event", n);
	c->asked |= n + 1 == c->next;
	return OK;
}

static void on_chunks(void *arg, int status, const struct store_page *page)
{
	struct cycle *c = arg;

	c->found = status == OK ? page->n : SIZE_MAX;
	c->waiting--;
}

static size_t count_rows(struct cycle *c, const char *prefix)
{
	struct store_range range = {.prefix = slice_str(prefix),
				    .max_rows = 1000000,
				    .max_bytes = 64 << 20};

	c->waiting = 1;
	must(store_list(c->ctx.store, &range, on_chunks, c) == OK);
	while (c->waiting)
		uv_run(&c->loop, UV_RUN_ONCE);
	return c->found;
}

static void verify(struct cycle *c)
{
	struct slice all = slice_str("*");
	struct bus_filter f = {.names = &all, .n = 1};
	struct bus_sub *sub;

	c->waiting = 2;
	must(kv_list(c->ctx.kv, slice_str("s"), on_rows, c) == OK);
	must(kv_get(c->ctx.kv, slice_str("count"), on_counted, c) == OK);
	while (c->waiting)
		uv_run(&c->loop, UV_RUN_ONCE);
	check(c, c->found == (c->next < SLOTS ? c->next : SLOTS), "slots",
	      c->found);
	c->asked = c->next == 0;
	f.from = bus_next_seq(c->ctx.bus) > 50 ? bus_next_seq(c->ctx.bus) - 50
					       : 1;
	must(bus_subscribe(c->ctx.bus, &f, on_event, c, &sub) == OK);
	for (int i = 0; i < 5000 && !c->asked; i++) {
		uv_run(&c->loop, UV_RUN_NOWAIT);
		uv_sleep(1);
	}
	check(c, c->asked, "no event of the last", c->next);
	/* One named blob at most; the sweep has to find all the others. */
	for (int i = 0; i < 5000 && count_rows(c, "p"); i++)
		uv_sleep(1);
	check(c, count_rows(c, "p") == 0, "marks", c->found);
	check(c, count_rows(c, "c") <= 1, "blobs", c->found);
}

static void on_closed(void *arg)
{
	*(bool *)arg = true;
}

int main(int argc, char **argv)
{
	struct store_options o = {.kind = STORE_ROCKSDB, .floor_bytes = 1};
	struct artifact_options art = {.ns = "http", .account = 1};
	struct kv_options kv = {.ns = "http", .account = 1};
	struct cycle c = {0};
	char why[STORE_WHY];

	if (argc < 3)
		return 64;
	if (argc > 3 && strcmp(argv[3], "disk") == 0)
		o.durability = STORE_DISK;
	/* Small, so that short lives flush and compact too. */
	o.write_buffer_bytes = 256 << 10;
	uv_loop_init(&c.loop);
	if (store_open(&c.ctx.store, &c.loop, argv[1], &o, why) < 0) {
		printf("broken: %s\n", why);
		return 1;
	}
	must(kv_open(&c.ctx.kv, c.ctx.store, &kv) == OK);
	must(bus_open(&c.ctx.bus, c.ctx.store, &(struct bus_options){0}) == OK);
	must(artifact_open(&c.ctx.artifacts, c.ctx.store, &art) == OK);
	find_last(&c);
	if (strcmp(argv[2], "write") == 0)
		write_on(&c);
	verify(&c);
	if (!c.broken)
		printf("ok %" PRId64 "\n", (int64_t)c.next - 1);
	bus_close(c.ctx.bus);
	kv_close(c.ctx.kv);
	artifact_close(c.ctx.artifacts);
	store_close(c.ctx.store, on_closed, &c.closed);
	while (!c.closed)
		uv_run(&c.loop, UV_RUN_ONCE);
	uv_run(&c.loop, UV_RUN_DEFAULT);
	must(uv_loop_close(&c.loop) == 0);
	return c.broken;
}
