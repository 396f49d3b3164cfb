/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mqtt_verdict: the three questions at the ends of their sections. What an
 * entry does not allow is denied, and so is what makes no sense.
 */
#include "broker/mqtt_verdict.h"

#include "proto/mods.h"
#include "proto/pack.h"
#include "proto/unpack.h"

/* Of one subscribe: a rule may make many of each filter. */
enum { MAX_FILTERS = 10000, MAX_TOPICS = 4 << 20 };

/* ---- the table --------------------------------------------------------- */

/* The value of a key; false: it is absent or nil. */
static bool find(struct slice table, const char *key, struct slice *raw)
{
	struct cursor c;

	if (!map_find(table, key, raw))
		return false;
	c = cursor_of(*raw);
	return !cursor_nil(&c);
}

struct slice mqtt_text(struct slice table, const char *key)
{
	struct slice raw, text;
	struct cursor c;

	if (!find(table, key, &raw))
		return (struct slice){0};
	c = cursor_of(raw);
	text = cursor_text(&c);
	return c.error ? (struct slice){0} : text;
}

/* The QoS of a filter or message: a number, or [number, options]. */
static bool read_qos(struct cursor *c, unsigned *qos)
{
	uint64_t v;

	if (cursor_peek(c) == CURSOR_ARRAY && cursor_array(c) < 1)
		return false;
	v = cursor_uint(c);
	*qos = (unsigned)(v & 3);
	return !c->error && v <= 2;
}

/* ---- verdicts ---------------------------------------------------------- */

static void say(struct buf *out, enum verdict verdict, const char *reason,
		const struct buf *mods)
{
	struct verdict_view v = {.verdict = verdict};

	if (reason)
		v.reason = slice_str(reason);
	if (mods && mods->n)
		v.mods = buf_slice(mods);
	if (mods && buf_error(mods) < 0)
		v = (struct verdict_view){.verdict = VERDICT_DENY,
					  .reason = slice_str("too_large")};
	verdict_pack(out, &v);
}

static void deny(struct buf *out)
{
	say(out, VERDICT_DENY, "not_authorized", NULL);
}

/* ---- auth_on_publish --------------------------------------------------- */

struct message {
	struct slice topic;
	unsigned qos;
	size_t payload;
	bool retain;
	struct slice properties;
};

static bool read_message(struct slice table, struct message *out)
{
	struct slice raw;
	struct cursor c;

	*out = (struct message){.topic = mqtt_text(table, "topic"),
				.payload = mqtt_text(table, "payload").n};
	if (find(table, "qos", &raw)) {
		c = cursor_of(raw);
		if (!read_qos(&c, &out->qos))
			return false;
	}
	if (find(table, "retain", &raw)) {
		c = cursor_of(raw);
		out->retain = cursor_bool(&c);
		if (c.error)
			return false;
	}
	if (!find(table, "properties", &out->properties))
		out->properties = (struct slice){0};
	return true;
}

/* Of the message's properties those that modifiers can have: what else a
 * client sent is not for us to pass on. */
static void known_properties(struct slice properties, struct buf *out)
{
	struct cursor c = cursor_of(properties);
	struct buf pairs = {0}, one = {0};
	uint32_t n = 0, left;

	left = cursor_peek(&c) == CURSOR_MAP ? cursor_map(&c) : 0;
	for (; left > 0 && !c.error; left--) {
		struct slice key = cursor_raw(&c), value = cursor_raw(&c);

		buf_clear(&one);
		pack_map(&one, 1);
		pack_cstr(&one, "properties");
		pack_map(&one, 1);
		pack_raw(&one, key);
		pack_raw(&one, value);
		if (c.error || buf_error(&one) < 0 ||
		    mods_check(HOOK_AUTH_ON_PUBLISH_M5, buf_slice(&one), NULL) <
			    0)
			continue;
		pack_raw(&pairs, key);
		pack_raw(&pairs, value);
		n++;
	}
	pack_map(out, n);
	pack_raw(out, buf_slice(&pairs));
	if (buf_error(&pairs) < 0)
		out->error = ERR_NOMEM;
	buf_fini(&pairs);
	buf_fini(&one);
}

static void merge_properties(struct slice input, struct slice mods,
			     struct buf *out)
{
	struct buf known = {0};

	known_properties(input, &known);
	mods_merge_properties(buf_slice(&known), mods, out);
	if (buf_error(&known) < 0)
		out->error = ERR_NOMEM;
	buf_fini(&known);
}

/* A rule's modifiers for this message: properties are MQTT 5's, and go over
 * those that it has. */
static void message_mods(struct slice mods, const struct message *m, bool v5,
			 struct buf *out)
{
	struct cursor c = cursor_of(mods);
	struct slice properties;
	bool has = map_find(mods, "properties", &properties);
	uint32_t n = cursor_map(&c);

	if (n == 0 || (n == 1 && has && !v5))
		return;
	pack_map(out, n - (has && !v5));
	for (; n > 0; n--) {
		struct slice key = cursor_raw(&c), value = cursor_raw(&c);
		struct cursor kc = cursor_of(key);
		bool is = slice_is(cursor_text(&kc), "properties");

		if (is && !v5)
			continue;
		pack_raw(out, key);
		if (is)
			merge_properties(m->properties, value, out);
		else
			pack_raw(out, value);
	}
}

void mqtt_publish_verdict(const struct acl *acl, struct slice table, bool v5,
			  struct buf *out)
{
	struct buf mods = {0};
	struct slice rule;
	struct message m;

	if (!read_message(table, &m) ||
	    acl_publish_match(acl, m.topic, m.qos, m.payload, m.retain,
			      &rule) != 1) {
		deny(out);
		return;
	}
	if (rule.n)
		message_mods(rule, &m, v5, &mods);
	say(out, VERDICT_OK, NULL, &mods);
	buf_fini(&mods);
}

/* ---- auth_on_subscribe, on_unsubscribe --------------------------------- */

/* The list of topics that comes of it. */
struct topics {
	bool subscribe, v5; /* which hook */
	struct buf values;
	uint32_t n;
	bool changed;
};

static void pack_topics(const struct topics *t, struct buf *mods)
{
	if (!t->changed)
		return;
	if (t->v5) {
		pack_map(mods, 1);
		pack_cstr(mods, "topics");
	}
	pack_array(mods, t->n);
	pack_raw(mods, buf_slice(&t->values));
	if (buf_error(&t->values) < 0)
		mods->error = buf_error(&t->values);
}

/* Put what a rule's modifiers make of a filter in its place: whole elements
 * {topic, qos}, or only the topics. */
static void replace(struct topics *t, struct slice mods)
{
	struct cursor c = cursor_of(mods);

	t->changed = true;
	for (uint32_t n = cursor_array(&c); n > 0 && !c.error; n--) {
		struct slice raw = cursor_raw(&c);
		struct cursor pair = cursor_of(raw);

		cursor_array(&pair);
		pack_raw(&t->values, t->subscribe ? raw : cursor_raw(&pair));
		t->n++;
	}
}

/* Is the element as modifiers may have it? Who sent it may have put more into
 * it than that. */
static bool fits(const struct topics *t, struct slice raw)
{
	static const enum hook hooks[2][2] = {
		{HOOK_ON_UNSUBSCRIBE, HOOK_ON_UNSUBSCRIBE_M5},
		{HOOK_AUTH_ON_SUBSCRIBE, HOOK_AUTH_ON_SUBSCRIBE_M5}};
	struct buf mods = {0};
	bool good;

	if (t->v5) {
		pack_map(&mods, 1);
		pack_cstr(&mods, "topics");
	}
	pack_array(&mods, 1);
	pack_raw(&mods, raw);
	good = buf_error(&mods) == OK &&
	       mods_check(hooks[t->subscribe][t->v5], buf_slice(&mods), NULL) ==
		       OK;
	buf_fini(&mods);
	return good;
}

/* It stays as it came: what of it counts. False: a topic that nobody can
 * have, such as bytes that are no UTF-8. */
static bool keep(struct topics *t, struct slice raw, struct slice topic,
		 unsigned qos)
{
	struct buf plain = {0};
	bool good = fits(t, raw);

	if (!good && t->subscribe) {
		pack_array(&plain, 2);
		pack_text(&plain, topic);
		pack_uint(&plain, qos);
		raw = buf_slice(&plain);
		good = buf_error(&plain) == OK && fits(t, raw);
	}
	if (good) {
		pack_raw(&t->values, raw);
		t->n++;
	}
	buf_fini(&plain);
	return good;
}

/* One element of `topics`; false: it is denied. */
static bool filter(const struct acl *acl, struct slice raw, struct topics *t)
{
	struct cursor c = cursor_of(raw);
	struct slice topic, mods;
	unsigned qos = 0;

	if (t->subscribe && cursor_array(&c) < 2)
		return false;
	topic = cursor_text(&c);
	if (c.error || (t->subscribe && !read_qos(&c, &qos)) ||
	    acl_subscribe_match(acl, topic, qos, &mods) != 1)
		return false;
	if (!mods.n)
		return keep(t, raw, topic, qos);
	replace(t, mods);
	return true;
}

static bool filters(const struct acl *acl, struct slice table, struct topics *t)
{
	struct slice raw;
	struct cursor c;
	uint32_t n;

	if (!map_find(table, "topics", &raw))
		return false;
	c = cursor_of(raw);
	n = cursor_array(&c);
	if (n > MAX_FILTERS)
		return false;
	for (; n > 0 && !c.error; n--)
		if (!filter(acl, cursor_raw(&c), t))
			return false;
	return !c.error;
}

void mqtt_subscribe_verdict(const struct acl *acl, struct slice table, bool v5,
			    struct buf *out)
{
	struct topics t = {.subscribe = true, .v5 = v5};
	struct buf mods = {0};

	buf_init(&t.values, MAX_TOPICS);
	if (filters(acl, table, &t)) {
		pack_topics(&t, &mods);
		say(out, VERDICT_OK, NULL, &mods);
	} else {
		deny(out);
	}
	buf_fini(&t.values);
	buf_fini(&mods);
}

void mqtt_unsubscribe_verdict(const struct acl *acl, struct slice table,
			      bool v5, struct buf *out)
{
	struct topics t = {.v5 = v5};
	struct buf mods = {0};

	buf_init(&t.values, MAX_TOPICS);
	if (filters(acl, table, &t)) {
		pack_topics(&t, &mods);
		say(out, VERDICT_OK, NULL, &mods);
	} else {
		say(out, VERDICT_DENY, "error", NULL);
	}
	buf_fini(&t.values);
	buf_fini(&mods);
}
