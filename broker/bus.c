/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus: numbering, delivery, trimming. Start at bus_add() and bus_commit() for
 * the way in, at offer() for the way out. A subscriber is live (its position
 * is past everything committed), reading (a page is on its way) or paused (it
 * answered ERR_FULL); only a live one is fed by bus_commit().
 */
#include "broker/bus.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "broker/be.h"
#include "lib/log.h"
#include "proto/pack.h"
#include "proto/unpack.h"

#define KEY_NEXT "mbus"

enum {
	PAGE_ROWS = 128,
	PAGE_BYTES = 256 << 10,
	TRIM_ROWS = 512,
	TRIM_EVERY_MS = 600 * 1000,
	KEY_N = 9,
};

struct bus {
	struct store *store;
	struct bus_options o;
	struct list subs;
	uv_timer_t timer;
	uint64_t next;	    /* number of the next event */
	uint64_t committed; /* the last one that is surely in the log */
	uint64_t first;	    /* the oldest, as far as is known */
	uint64_t dropped;
	uint32_t refs;	  /* reads and writes under way, and the timer */
	uint32_t walking; /* somebody is in the list of subscribers */
	bool trimming, closing;
};

struct bus_sub {
	struct list node;
	struct bus *bus;
	int (*cb)(void *arg, const struct bus_event *event);
	void *arg;
	uint64_t next; /* first number that it has not seen */
	struct slice *names;
	size_t n;
	struct slice script;
	bool reading, paused, dead;
	struct buf bytes; /* names and script */
};

struct waiting {
	struct list node;
	struct bus_event e; /* slices into value */
	struct buf value;
};

static uint64_t wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static struct slice seq_key(uint8_t key[KEY_N], uint64_t seq)
{
	key[0] = 'b';
	be_put64(key + 1, seq);
	return slice_of(key, KEY_N);
}

void bus_ref(struct bus *bus)
{
	bus->refs++;
}

void bus_unref(struct bus *bus)
{
	if (--bus->refs == 0)
		free(bus);
}

static void encode(struct buf *b, const struct bus_event *e)
{
	pack_array(b, 5);
	pack_uint(b, e->time_ms);
	pack_text(b, e->name);
	pack_text(b, e->from);
	pack_raw(b, e->data);
	pack_uint(b, e->hops);
}

static bool decode(struct slice value, struct bus_event *e)
{
	struct cursor c = cursor_of(value);

	if (cursor_array(&c) != 5)
		return false;
	e->time_ms = cursor_uint(&c);
	e->name = cursor_text(&c);
	e->from = cursor_text(&c);
	e->data = cursor_raw(&c);
	e->hops = (uint32_t)cursor_uint(&c);
	return c.error == 0;
}

void bus_pack(struct buf *out, const struct bus_event *event)
{
	pack_map(out, 5);
	pack_cstr(out, "seq");
	pack_uint(out, event->seq);
	pack_cstr(out, "time");
	pack_uint(out, event->time_ms);
	pack_cstr(out, "name");
	pack_text(out, event->name);
	pack_cstr(out, "from");
	pack_text(out, event->from);
	pack_cstr(out, "data");
	pack_raw(out, event->data);
}

bool bus_name_matches(struct slice pattern, struct slice name)
{
	if (pattern.n && pattern.p[pattern.n - 1] == '*')
		return slice_starts(name, slice_of(pattern.p, pattern.n - 1));
	return slice_eq(pattern, name);
}

static bool wants(struct bus_sub *s, const struct bus_event *e)
{
	bool named = false;

	for (size_t i = 0; i < s->n && !named; i++)
		named = bus_name_matches(s->names[i], e->name);
	if (!named || !s->script.n)
		return named;
	if (slice_eq(s->script, e->from))
		return false;
	if (e->hops < BUS_MAX_HOPS)
		return true;
	s->bus->dropped++;
	log_warn("bus",
		 "event dropped after %u hops seq=%" PRIu64 " script=%.*s",
		 e->hops, e->seq, (int)s->script.n, s->script.p);
	return false;
}

/* True when the subscriber has gone past it. */
static bool offer(struct bus_sub *s, const struct bus_event *e)
{
	if (s->dead || s->paused)
		return false;
	if (wants(s, e) && s->cb(s->arg, e) != OK) {
		s->next = e->seq;
		s->paused = true;
		return false;
	}
	s->next = e->seq + 1;
	return true;
}

static void sub_free(struct bus_sub *s)
{
	list_remove(&s->node);
	buf_fini(&s->bytes);
	free(s->names);
	free(s);
}

/* Frees the dead that nobody is looking at. */
static void reap(struct bus *bus)
{
	if (bus->walking)
		return;
	list_each(node, next, &bus->subs)
	{
		struct bus_sub *s = container_of(node, struct bus_sub, node);

		if (s->dead && !s->reading)
			sub_free(s);
	}
}

static void catch_up(struct bus_sub *s);

/* Goes through a page; false when the subscriber stopped it. */
static bool walk_page(struct bus_sub *s, const struct store_page *page)
{
	uint64_t last = s->bus->committed;

	for (size_t i = 0; i < page->n; i++) {
		struct bus_event e = {0};

		if (page->row[i].key.n != KEY_N)
			continue;
		e.seq = be_get64(page->row[i].key.p + 1);
		/* What is pending is in the page too, but nobody's yet. */
		if (e.seq > s->bus->committed)
			break;
		if (decode(page->row[i].value, &e) && !offer(s, &e))
			return false;
	}
	if (page->more && be_get64(page->last.p + 1) < last)
		last = be_get64(page->last.p + 1);
	if (s->next <= last)
		s->next = last + 1;
	return true;
}

static void on_page(void *arg, int status, const struct store_page *page)
{
	struct bus_sub *s = arg;
	struct bus *bus = s->bus;

	s->reading = false;
	if (status == OK) {
		bus->walking++;
		if (walk_page(s, page))
			catch_up(s);
		bus->walking--;
	} else {
		/* The next event that is committed makes it try again. */
		log_warn("bus", "log cannot be read error=%s",
			 err_name(status));
	}
	reap(bus);
	bus_unref(bus);
}

/* Ask for a page if the subscriber is behind. */
static void catch_up(struct bus_sub *s)
{
	struct store_range range = {.prefix = slice_str("b"),
				    .max_rows = PAGE_ROWS,
				    .max_bytes = PAGE_BYTES};
	uint8_t key[KEY_N];

	if (s->dead || s->paused || s->reading || s->bus->closing ||
	    s->next > s->bus->committed)
		return;
	range.after = seq_key(key, s->next ? s->next - 1 : 0);
	if (store_list(s->bus->store, &range, on_page, s) < 0)
		return;
	s->reading = true;
	s->bus->refs++;
}

static void deliver(struct bus *bus, const struct bus_event *e)
{
	uint64_t before = bus->committed;

	bus->committed = e->seq;
	bus->walking++;
	list_each(node, next, &bus->subs)
	{
		struct bus_sub *s = container_of(node, struct bus_sub, node);

		/* Someone who subscribed in a callback wants later ones. */
		if (s->reading || s->next > e->seq)
			continue;
		if (s->next > before)
			offer(s, e);
		else
			catch_up(s);
	}
	bus->walking--;
	reap(bus);
}

static void trim(struct bus *bus);

void bus_tx_init(struct bus_tx *tx)
{
	list_init(&tx->events);
}

int bus_add(struct bus *bus, struct bus_tx *tx, struct store_batch *b,
	    const struct bus_event *event)
{
	struct waiting *w = calloc(1, sizeof(*w));
	uint8_t key[KEY_N], next[8];
	int r;

	if (!w)
		return ERR_NOMEM;
	w->e = *event;
	w->e.seq = bus->next;
	w->e.time_ms = bus->o.now();
	encode(&w->value, &w->e);
	if (buf_error(&w->value) || !decode(buf_slice(&w->value), &w->e)) {
		r = buf_error(&w->value) ? ERR_NOMEM : ERR_FORMAT;
		buf_fini(&w->value);
		free(w);
		return r;
	}
	bus->next++;
	list_push(&tx->events, &w->node);
	store_batch_set(b, 0, seq_key(key, w->e.seq), buf_slice(&w->value));
	be_put64(next, bus->next);
	store_batch_set(b, 0, slice_str(KEY_NEXT), slice_of(next, 8));
	return OK;
}

void bus_commit(struct bus *bus, struct bus_tx *tx, int status)
{
	bool any = !list_empty(&tx->events);
	struct list *node;

	while ((node = list_pop(&tx->events))) {
		struct waiting *w = container_of(node, struct waiting, node);

		if (status == OK && !bus->closing)
			deliver(bus, &w->e);
		buf_fini(&w->value);
		free(w);
	}
	if (any &&
	    bus->next - bus->first > bus->o.max_events + bus->o.max_events / 64)
		trim(bus);
}

struct emission {
	struct bus *bus;
	struct bus_tx tx;
	void (*cb)(void *arg, int status);
	void *arg;
};

static void on_emitted(void *arg, int status)
{
	struct emission *m = arg;
	struct bus *bus = m->bus;

	bus_commit(bus, &m->tx, status);
	if (m->cb)
		m->cb(m->arg, status);
	free(m);
	bus_unref(bus);
}

int bus_emit(struct bus *bus, const struct bus_event *event,
	     void (*cb)(void *arg, int status), void *arg)
{
	struct emission *m = calloc(1, sizeof(*m));
	struct store_batch *b;
	int r;

	if (!m)
		return ERR_NOMEM;
	m->bus = bus;
	m->cb = cb;
	m->arg = arg;
	bus_tx_init(&m->tx);
	b = store_batch_new();
	r = bus_add(bus, &m->tx, b, event);
	if (r == OK)
		r = store_apply(bus->store, b, on_emitted, m);
	else
		store_batch_free(b);
	if (r < 0) {
		bus_commit(bus, &m->tx, r);
		free(m);
		return r;
	}
	bus->refs++;
	return OK;
}

static int copy_filter(struct bus_sub *s, const struct bus_filter *f)
{
	size_t at = 0;

	s->names = calloc(f->n ? f->n : 1, sizeof(*s->names));
	if (!s->names)
		return ERR_NOMEM;
	for (size_t i = 0; i < f->n; i++)
		buf_add_slice(&s->bytes, f->names[i]);
	buf_add_slice(&s->bytes, f->script);
	if (buf_error(&s->bytes))
		return ERR_NOMEM;
	s->n = f->n;
	for (size_t i = 0; i < f->n; at += f->names[i++].n)
		s->names[i] = slice_of(s->bytes.p + at, f->names[i].n);
	s->script = slice_of(s->bytes.p + at, f->script.n);
	return OK;
}

int bus_subscribe(struct bus *bus, const struct bus_filter *filter,
		  int (*cb)(void *arg, const struct bus_event *event),
		  void *arg, struct bus_sub **out)
{
	struct bus_sub *s;

	if (bus->closing)
		return ERR_CLOSED;
	s = calloc(1, sizeof(*s));
	if (!s)
		return ERR_NOMEM;
	list_init(&s->node);
	s->bus = bus;
	s->cb = cb;
	s->arg = arg;
	/* New: what is committed from now on, pending events included. */
	s->next = filter->from ? filter->from : bus->committed + 1;
	if (copy_filter(s, filter) < 0) {
		sub_free(s);
		return ERR_NOMEM;
	}
	list_push(&bus->subs, &s->node);
	catch_up(s);
	*out = s;
	return OK;
}

void bus_resume(struct bus_sub *s)
{
	s->paused = false;
	catch_up(s);
}

void bus_unsubscribe(struct bus_sub *s)
{
	if (!s)
		return;
	s->dead = true;
	reap(s->bus);
}

uint64_t bus_next_seq(const struct bus *bus)
{
	return bus->next;
}

uint64_t bus_dropped(const struct bus *bus)
{
	return bus->dropped;
}

static void on_trimmed(void *arg, int status)
{
	struct bus *bus = arg;

	bus->trimming = false;
	/* More than a page may be due. */
	if (status == OK && !bus->closing)
		trim(bus);
	bus_unref(bus);
}

static bool stale(const struct bus *bus, const struct bus_event *e)
{
	uint64_t now = bus->o.now();

	return e->seq + bus->o.max_events < bus->next ||
	       (e->time_ms < now && now - e->time_ms > bus->o.max_age_ms);
}

static void on_oldest(void *arg, int status, const struct store_page *page)
{
	struct store_batch *b = store_batch_new();
	struct bus *bus = arg;
	int r = ERR_AGAIN;

	for (size_t i = 0; status == OK && i < page->n; i++) {
		struct store_row row = page->row[i];
		struct bus_event e = {0};

		if (row.key.n == KEY_N)
			e.seq = be_get64(row.key.p + 1);
		if (e.seq && decode(row.value, &e) && !stale(bus, &e)) {
			bus->first = e.seq;
			break;
		}
		store_batch_delete(b, 0, row.key);
	}
	if (status == OK && page->n == 0)
		bus->first = bus->next;
	if (b && !store_batch_empty(b) && !bus->closing)
		r = store_apply(bus->store, b, on_trimmed, bus);
	else
		store_batch_free(b);
	if (r < 0) {
		bus->trimming = false;
		bus_unref(bus);
	}
}

static void trim(struct bus *bus)
{
	struct store_range range = {.prefix = slice_str("b"),
				    .max_rows = TRIM_ROWS,
				    .max_bytes = 4 << 20};

	if (bus->trimming || bus->closing ||
	    store_list(bus->store, &range, on_oldest, bus) < 0)
		return;
	bus->trimming = true;
	bus->refs++;
}

static void on_timer(uv_timer_t *timer)
{
	trim(container_of(timer, struct bus, timer));
}

int bus_open(struct bus **out, struct store *store,
	     const struct bus_options *options)
{
	struct bus *bus = calloc(1, sizeof(*bus));
	struct buf b = {0};
	int r;

	if (!bus)
		return ERR_NOMEM;
	bus->store = store;
	bus->o = *options;
	if (!bus->o.max_events)
		bus->o.max_events = 100000;
	if (!bus->o.max_age_ms)
		bus->o.max_age_ms = 7ull * 86400 * 1000;
	if (!bus->o.now)
		bus->o.now = wall_ms;
	r = store_get_now(store, slice_str(KEY_NEXT), &b);
	bus->next = r == OK && b.n == 8 ? be_get64(b.p) : 1;
	buf_fini(&b);
	if (r < 0 && r != ERR_ABSENT) {
		free(bus);
		return r;
	}
	bus->committed = bus->next - 1;
	bus->refs = 1;
	list_init(&bus->subs);
	must(uv_timer_init(store_loop(store), &bus->timer) == 0);
	uv_timer_start(&bus->timer, on_timer, TRIM_EVERY_MS, TRIM_EVERY_MS);
	uv_unref((uv_handle_t *)&bus->timer);
	trim(bus); /* learns which one is the first */
	*out = bus;
	return OK;
}

static void on_timer_closed(uv_handle_t *handle)
{
	bus_unref(container_of((uv_timer_t *)handle, struct bus, timer));
}

void bus_close(struct bus *bus)
{
	if (!bus)
		return;
	bus->closing = true;
	list_each(node, next, &bus->subs)
		container_of(node, struct bus_sub, node)
			->dead = true;
	reap(bus);
	uv_close((uv_handle_t *)&bus->timer, on_timer_closed);
}
