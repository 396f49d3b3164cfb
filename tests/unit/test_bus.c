/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bus: numbers, order, filters, subscribers that fall behind, restarts,
 * trimming.
 */
#include "broker/bus.h"
#include "proto/pack.h"
#include "tests/unit/store_room.h"

static uint64_t clock_ms;

static uint64_t test_now(void)
{
	return clock_ms;
}

struct bus_room {
	struct room r;
	struct bus *bus;
	struct bus_options options;
};

static void bus_start(struct bus_room *b)
{
	cr_assert_eq(bus_open(&b->bus, b->r.store, &b->options), OK);
}

static void bus_room_open(struct bus_room *b, const struct store_options *o)
{
	b->options = (struct bus_options){.now = test_now};
	clock_ms = 1000000;
	room_open(&b->r, o);
	bus_start(b);
}

static void bus_room_close(struct bus_room *b)
{
	bus_close(b->bus);
	room_close(&b->r);
}

static void emit_hops(struct bus_room *b, const char *name, const char *from,
		      uint32_t hops)
{
	struct bus_event e = {.name = s(name), .from = s(from), .hops = hops};
	struct buf data = {0};
	struct answer w = {0};

	pack_cstr(&data, name);
	e.data = buf_slice(&data);
	cr_assert_eq(bus_emit(b->bus, &e, on_status, &w), OK);
	room_wait(&b->r, w.calls);
	cr_assert_eq(w.status, OK);
	buf_fini(&data);
}

static void emit(struct bus_room *b, const char *name)
{
	emit_hops(b, name, "alpha", 0);
}

/* What a subscriber has seen, as "seq:name " text. */
struct ear {
	struct buf text;
	uint64_t last;
	int n, take; /* take: so many before it is full; -1: all */
	struct bus_sub *sub;
};

static int on_event(void *arg, const struct bus_event *e)
{
	struct ear *ear = arg;

	if (ear->take == 0)
		return ERR_FULL;
	if (ear->take > 0)
		ear->take--;
	cr_assert_gt(e->seq, ear->last);
	cr_assert_gt(e->data.n, 0);
	cr_assert_geq(e->time_ms, 1000000);
	ear->last = e->seq;
	ear->n++;
	buf_addf(&ear->text, "%d:%.*s ", (int)e->seq, (int)e->name.n,
		 e->name.p);
	return OK;
}

static void listen_to(struct bus_room *b, struct ear *ear, const char *pattern,
		      uint64_t from, const char *script)
{
	struct slice name = s(pattern);
	struct bus_filter f = {&name, 1, from, s(script)};

	*ear = (struct ear){.take = -1};
	cr_assert_eq(bus_subscribe(b->bus, &f, on_event, ear, &ear->sub), OK);
	cr_assert_eq(ear->n, 0, "never before it returns");
}

static void heard(struct bus_room *b, struct ear *ear, const char *text)
{
	for (int i = 0; i < 100 && ear->text.n < strlen(text); i++) {
		uv_run(&b->r.loop, UV_RUN_NOWAIT);
		usleep(1000);
	}
	cr_assert(slice_is(buf_slice(&ear->text), text), "'%.*s'",
		  (int)ear->text.n, ear->text.p);
}

Test(bus, live_and_from_a_number)
{
	each_kind(o)
	{
		struct ear all, some, old;
		struct bus_room b;

		bus_room_open(&b, &o);
		listen_to(&b, &all, "*", 0, "");
		listen_to(&b, &some, "job.*", 0, "");
		emit(&b, "job.a");
		emit(&b, "other");
		emit(&b, "job.b");
		heard(&b, &all, "1:job.a 2:other 3:job.b ");
		heard(&b, &some, "1:job.a 3:job.b ");
		listen_to(&b, &old, "*", 2, "");
		heard(&b, &old, "2:other 3:job.b ");
		emit(&b, "job.c");
		heard(&b, &old, "2:other 3:job.b 4:job.c ");
		bus_unsubscribe(some.sub);
		emit(&b, "job.d");
		heard(&b, &some, "1:job.a 3:job.b 4:job.c ");
		bus_room_close(&b);
		buf_fini(&all.text);
		buf_fini(&some.text);
		buf_fini(&old.text);
	}
}

Test(bus, patterns)
{
	cr_assert(bus_name_matches(s("*"), s("")));
	cr_assert(bus_name_matches(s("*"), s("a")));
	cr_assert(bus_name_matches(s("a.*"), s("a.")));
	cr_assert(bus_name_matches(s("a"), s("a")));
	cr_assert(!bus_name_matches(s("a.*"), s("a")));
	cr_assert(!bus_name_matches(s("a"), s("ab")));
	cr_assert(!bus_name_matches(s(""), s("a")));
	cr_assert(!bus_name_matches(s("*a"), s("ba")));
}

Test(bus, a_script_hears_neither_itself_nor_endless_chains)
{
	each_kind(o)
	{
		struct ear script, tool;
		struct bus_room b;

		bus_room_open(&b, &o);
		listen_to(&b, &script, "*", 0, "alpha");
		listen_to(&b, &tool, "*", 0, "");
		emit_hops(&b, "mine", "alpha", 0);
		emit_hops(&b, "seven", "beta", BUS_MAX_HOPS - 1);
		emit_hops(&b, "eight", "beta", BUS_MAX_HOPS);
		heard(&b, &script, "2:seven ");
		heard(&b, &tool, "1:mine 2:seven 3:eight ");
		cr_assert_eq(bus_dropped(b.bus), 1);
		bus_room_close(&b);
		buf_fini(&script.text);
		buf_fini(&tool.text);
	}
}

/* One that is full gets the same event again, and all that it missed. */
Test(bus, a_slow_subscriber_misses_nothing)
{
	each_kind(o)
	{
		struct bus_room b;
		struct ear ear;

		bus_room_open(&b, &o);
		listen_to(&b, &ear, "*", 0, "");
		ear.take = 2;
		for (int i = 0; i < 300; i++)
			emit(&b, "e");
		heard(&b, &ear, "1:e 2:e ");
		ear.take = 1;
		bus_resume(ear.sub);
		heard(&b, &ear, "1:e 2:e 3:e ");
		ear.take = -1;
		bus_resume(ear.sub);
		while (ear.n < 300)
			uv_run(&b.r.loop, UV_RUN_ONCE);
		emit(&b, "e");
		while (ear.n < 301)
			uv_run(&b.r.loop, UV_RUN_ONCE);
		cr_assert_eq(ear.last, 301);
		bus_room_close(&b);
		buf_fini(&ear.text);
	}
}

static int on_event_leave(void *arg, const struct bus_event *e)
{
	struct ear *ear = arg;
	struct ear *other = ear + 1;

	(void)e;
	ear->n++;
	/* Leaving, and taking a neighbour along, within a delivery. */
	bus_unsubscribe(ear->sub);
	bus_unsubscribe(other->sub);
	other->sub = NULL;
	return OK;
}

Test(bus, leaving_within_a_delivery)
{
	each_kind(o)
	{
		struct slice name = s("*");
		struct bus_filter f = {.names = &name, .n = 1};
		struct bus_room b;
		struct ear ear[2];

		bus_room_open(&b, &o);
		ear[0] = (struct ear){0};
		cr_assert_eq(bus_subscribe(b.bus, &f, on_event_leave, &ear[0],
					   &ear[0].sub),
			     OK);
		listen_to(&b, &ear[1], "*", 0, "");
		emit(&b, "e");
		emit(&b, "e");
		cr_assert_eq(ear[0].n, 1);
		cr_assert_eq(ear[1].n, 0);
		bus_room_close(&b);
	}
}

Test(bus, what_fails_is_never_heard)
{
	struct store_options o = {.kind = STORE_MEM, .fail_write = 3};
	struct bus_event e = {.name = s("lost"), .data = s("\xc0")};
	struct answer w = {0};
	struct bus_room b;
	struct ear ear, old;

	bus_room_open(&b, &o);
	listen_to(&b, &ear, "*", 0, "");
	emit(&b, "kept");
	cr_assert_eq(bus_emit(b.bus, &e, on_status, &w), OK);
	listen_to(&b, &old, "*", 1, "");
	room_wait(&b.r, w.calls);
	cr_assert_eq(w.status, ERR_IO);
	emit(&b, "next");
	heard(&b, &ear, "1:kept 3:next ");
	heard(&b, &old, "1:kept 3:next ");
	bus_room_close(&b);
	buf_fini(&ear.text);
	buf_fini(&old.text);
}

Test(bus, data_must_be_one_value)
{
	struct store_options o = {.kind = STORE_MEM};
	struct bus_event e = {.name = s("x"), .data = s("\x92\x01")};
	struct answer w = {0};
	struct bus_room b;

	bus_room_open(&b, &o);
	cr_assert_eq(bus_emit(b.bus, &e, on_status, &w), ERR_FORMAT);
	bus_room_close(&b);
}

Test(bus, numbers_survive_a_restart)
{
	struct store_options o = kind_options(KINDS - 1);
	struct bus_room b;
	struct ear ear;

	bus_room_open(&b, &o);
	emit(&b, "one");
	emit(&b, "two");
	bus_close(b.bus);
	room_store_close(&b.r);
	room_store_open(&b.r);
	bus_start(&b);
	cr_assert_eq(bus_next_seq(b.bus), 3);
	emit(&b, "three");
	listen_to(&b, &ear, "*", 2, "");
	heard(&b, &ear, "2:two 3:three ");
	bus_room_close(&b);
	buf_fini(&ear.text);
}

static void on_count(void *arg, int status, const struct store_page *page)
{
	struct answer *a = arg;

	on_status(a, status);
	a->n = page->n;
}

static size_t kept(struct bus_room *b)
{
	struct store_range range = {
		.prefix = s("b"), .max_rows = 10000, .max_bytes = 16 << 20};
	struct answer a = {0};

	cr_assert_eq(store_list(b->r.store, &range, on_count, &a), OK);
	room_wait(&b->r, a.calls);
	return a.n;
}

Test(bus, old_events_go)
{
	each_kind(o)
	{
		struct bus_room b;
		struct ear ear;

		b.options = (struct bus_options){
			.now = test_now, .max_events = 50, .max_age_ms = 1000};
		clock_ms = 1000000;
		room_open(&b.r, &o);
		bus_start(&b);
		for (int i = 0; i < 1000; i++)
			emit(&b, "e");
		for (int i = 0; i < 100 && kept(&b) > 51; i++)
			uv_run(&b.r.loop, UV_RUN_NOWAIT);
		cr_assert_leq(kept(&b), 51);
		cr_assert_geq(kept(&b), 49);
		/* One who asks for what is gone gets what is there. */
		listen_to(&b, &ear, "*", 1, "");
		while (ear.last < 1000)
			uv_run(&b.r.loop, UV_RUN_ONCE);
		clock_ms += 2000;
		bus_close(b.bus);
		bus_start(&b); /* looks at the ages */
		while (kept(&b) > 0)
			uv_run(&b.r.loop, UV_RUN_NOWAIT);
		emit(&b, "e");
		cr_assert_eq(bus_next_seq(b.bus), 1002);
		bus_room_close(&b);
		buf_fini(&ear.text);
	}
}
