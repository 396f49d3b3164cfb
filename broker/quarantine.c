/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quarantine: the fingerprint first, then who is known by it. An event is
 * hashed only while some event of its script is kept out.
 */
#include "broker/quarantine.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "broker/run.h"
#include "lib/log.h"
#include "proto/unpack.h"

/* ---- fingerprints ------------------------------------------------------ */

/* What a hook file's event is about (PROTOCOL.md 3); of bus events the last
 * three. */
static const char *const own[] = {"req",  "resp", "ws",	  "err",
				  "from", "name", "data", NULL};
/* In these what is different when the same comes again. */
static const char *const fleeting[] = {"remote_addr", "timestamp", NULL};
static const char *const addresses[] = {"addr", "port", NULL};

static bool is_one_of(struct slice key, const char *const *names)
{
	for (; *names; names++)
		if (slice_is(key, *names))
			return true;
	return false;
}

/* Text, or nothing; what it was is behind the cursor. */
static struct slice take_text(struct cursor *c)
{
	enum cursor_type type = cursor_peek(c);

	if (type == CURSOR_STR || type == CURSOR_BIN)
		return cursor_text(c);
	cursor_skip(c);
	return slice_of(NULL, 0);
}

static bool is_date(struct slice name)
{
	return name.n == 4 && strncasecmp((const char *)name.p, "date", 4) == 0;
}

/* All but Date: [[name, value], ...], or a map. */
static uint64_t hash_headers(uint64_t h, struct slice headers)
{
	struct cursor c = cursor_of(headers);
	bool map = cursor_peek(&c) == CURSOR_MAP;
	uint32_t n = map ? cursor_map(&c) : cursor_array(&c);

	if (c.error)
		return map_hash(headers, h);
	for (; n > 0 && !c.error; n--) {
		struct cursor at = c;
		struct slice whole;

		if (!map && cursor_peek(&at) == CURSOR_ARRAY)
			(void)cursor_array(&at);
		if (map)
			cursor_skip(&c);
		cursor_skip(&c);
		whole = slice_of(at.p, (size_t)(c.p - at.p));
		if (!is_date(take_text(&at)))
			h = map_hash(whole, h);
	}
	return h;
}

/* A part of an event, without what is fleeting in it. */
static uint64_t hash_part(uint64_t h, struct slice part)
{
	struct cursor c = cursor_of(part);
	uint32_t n;

	if (cursor_peek(&c) != CURSOR_MAP)
		return map_hash(part, h);
	for (n = cursor_map(&c); n > 0 && !c.error; n--) {
		struct slice key = take_text(&c);
		struct slice value = cursor_raw(&c);

		if (is_one_of(key, fleeting))
			continue;
		h = map_hash(key, h);
		h = slice_is(key, "headers") ? hash_headers(h, value)
					     : map_hash(value, h);
	}
	return h;
}

uint64_t quarantine_print(const struct run *run)
{
	bool mqtt = hook_table[run->hook].dialect == DIALECT_MQTT;
	struct cursor c = cursor_of(run->event);
	uint64_t h = (uint64_t)run->hook, part;
	bool any = false;

	for (uint32_t n = cursor_map(&c); n > 0 && !c.error; n--) {
		struct slice key = take_text(&c);
		struct slice value = cursor_raw(&c);

		if (is_one_of(key, mqtt ? addresses : own) == mqtt)
			continue;
		part = mqtt ? map_hash(value, h) : hash_part(h, value);
		if (part == h)
			continue; /* there is nothing in it */
		any = true;
		h = map_hash(key, part);
	}
	if (!any || c.error)
		return 0;
	h = map_hash(run->ops, h);
	return map_hash(run->extra, h) | 1;
}

/* ---- who is known ------------------------------------------------------ */

static struct slice key_of(const uint64_t *print)
{
	return slice_of(print, sizeof(*print));
}

static void forget(struct quarantine *q, struct suspect *s)
{
	map_del(&q->by_print, key_of(&s->print));
	list_remove(&s->node);
	free(s);
}

void quarantine_fini(struct quarantine *q)
{
	struct list *node;

	while ((node = q->known.next ? list_first(&q->known) : NULL))
		forget(q, container_of(node, struct suspect, node));
	map_fini(&q->by_print);
	*q = (struct quarantine){0};
}

static struct suspect *know(struct quarantine *q, uint64_t print)
{
	struct suspect *s = map_get(&q->by_print, key_of(&print));

	if (s) {
		list_remove(&s->node);
		list_push(&q->known, &s->node);
		return s;
	}
	if (!q->known.next)
		list_init(&q->known);
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->print = print;
	if (map_put(&q->by_print, key_of(&s->print), s, NULL) < 0) {
		free(s);
		return NULL;
	}
	list_push(&q->known, &s->node);
	if (q->by_print.n > QUARANTINE_EVENTS)
		forget(q, container_of(q->known.next, struct suspect, node));
	return s;
}

/* For how long from now on; 0: not yet, or it had begun before. */
static uint64_t next_ms(struct suspect *s, uint64_t now_ms)
{
	bool again = s->deaths > 0 && now_ms - s->last_ms <= QUARANTINE_MS;
	uint64_t ms = QUARANTINE_MS;

	if (s->times && now_ms >= s->until_ms + QUARANTINE_MAX_MS) {
		s->times = s->deaths = 0;
		again = false;
	}
	s->deaths++;
	s->last_ms = now_ms;
	if (now_ms < s->until_ms || (!s->times && !again))
		return 0;
	for (unsigned i = 0; i < s->times && ms < QUARANTINE_MAX_MS; i++)
		ms *= 2;
	s->times++;
	return ms < QUARANTINE_MAX_MS ? ms : QUARANTINE_MAX_MS;
}

unsigned quarantine_strike(struct quarantine *q, const struct run *run,
			   const char *script, uint64_t now_ms)
{
	uint64_t print = quarantine_print(run), ms;
	struct suspect *s = print ? know(q, print) : NULL;
	unsigned seconds;

	if (!s || !(ms = next_ms(s, now_ms)))
		return 0;
	s->until_ms = now_ms + ms;
	if (s->until_ms > q->until_ms)
		q->until_ms = s->until_ms;
	seconds = (unsigned)(ms / 1000);
	log_warn("quarantine",
		 "script=%s hook=%s seconds=%u: an event has ended %u workers",
		 script, hook_table[run->hook].name, seconds, s->deaths);
	return seconds;
}

bool quarantine_holds(const struct quarantine *q, const struct run *run,
		      uint64_t now_ms, char why[QUARANTINE_WHY])
{
	const struct suspect *s;
	uint64_t print;

	if (now_ms >= q->until_ms)
		return false;
	print = quarantine_print(run);
	s = map_get(&q->by_print, key_of(&print));
	if (!s || now_ms >= s->until_ms)
		return false;
	snprintf(why, QUARANTINE_WHY,
		 "quarantined: it has ended %u workers of this script",
		 s->deaths);
	return true;
}
