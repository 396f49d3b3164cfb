/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_mqtt: a table of an MQTT hook is looked through once, key by key;
 * which keys a hook needs is the scripts' business.
 */
#include "broker/client_mqtt.h"

#include "proto/proto.h"
#include "proto/unpack.h"

enum kind { TEXT, FLAG, NUMBER, LIST, MAP };

/* Keys that have one type in every hook. Any of them may be nil. */
static const struct {
	const char *name;
	enum kind kind;
} keys[] = {
	{"addr", TEXT},		 {"client_id", TEXT},
	{"clean_session", FLAG}, {"clean_start", FLAG},
	{"listener_addr", TEXT}, {"listener_port", NUMBER},
	{"listener_type", TEXT}, {"mountpoint", TEXT},
	{"password", TEXT},	 {"payload", TEXT},
	{"port", NUMBER},	 {"properties", MAP},
	{"qos", NUMBER},	 {"retain", FLAG},
	{"topic", TEXT},	 {"topics", LIST},
	{"username", TEXT},
};

static bool is_kind(const struct cursor *c, enum kind kind)
{
	enum cursor_type type = cursor_peek(c);

	switch (kind) {
	case TEXT:
		return type == CURSOR_STR || type == CURSOR_BIN;
	case FLAG:
		return type == CURSOR_BOOL;
	case NUMBER:
		return type == CURSOR_INT;
	case LIST:
		return type == CURSOR_ARRAY;
	default:
		/* an empty table of a language without maps */
		return type == CURSOR_MAP || type == CURSOR_ARRAY;
	}
}

static bool fits(struct slice name, const struct cursor *value)
{
	if (cursor_peek(value) == CURSOR_NIL)
		return true;
	if (cursor_peek(value) == CURSOR_EXT)
		return false;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (slice_is(name, keys[i].name))
			return is_kind(value, keys[i].kind);
	return true;
}

static const char *read_table(struct slice table, struct slice *client_id,
			      struct slice *mountpoint)
{
	struct cursor c = cursor_of(table);
	uint32_t n;

	if (cursor_peek(&c) != CURSOR_MAP)
		return "the table is no map";
	for (n = cursor_map(&c); n > 0 && !c.error; n--) {
		struct cursor value;
		struct slice name;

		if (!is_kind(&c, TEXT))
			return "a key of the table is no text";
		name = cursor_text(&c);
		if (!fits(name, &c))
			return "a key of the table has the wrong type";
		value = c;
		cursor_skip(&c);
		if (cursor_peek(&value) == CURSOR_NIL)
			continue;
		if (slice_is(name, "client_id"))
			*client_id = cursor_text(&value);
		else if (slice_is(name, "mountpoint"))
			*mountpoint = cursor_text(&value);
	}
	return c.error ? "the table is damaged" : NULL;
}

const char *client_mqtt_read(const struct rpc *rpc, struct event_head *head,
			     struct slice *table, struct buf *key)
{
	struct cursor params = cursor_of(rpc->params);
	struct slice client_id = {0}, mountpoint = {0};
	uint32_t n = cursor_array(&params);
	const char *wrong;

	*head = (struct event_head){.deadline_ms = -1};
	if (n < 1)
		return "params is not [table]";
	*table = cursor_raw(&params);
	wrong = read_table(*table, &client_id, &mountpoint);
	if (wrong)
		return wrong;
	if (n > 1 && !cursor_nil(&params) &&
	    event_head(cursor_raw(&params), NULL, NULL, head) < 0)
		return "the second parameter is no map, or a key of it has "
		       "the wrong type";
	head->id = client_id;
	if (!client_id.n)
		return "the table has no client_id";
	if (!mountpoint.n)
		return NULL;
	buf_add_slice(key, mountpoint);
	buf_add_byte(key, 0);
	buf_add_slice(key, client_id);
	if (buf_error(key) < 0)
		buf_fini(key); /* ordered by client_id alone then */
	return NULL;
}

const uint8_t *client_mqtt_join(struct buf *key, struct slice msg,
				struct event_head *head)
{
	struct buf all = {0};
	size_t n = key->n;

	buf_add_slice(&all, msg);
	buf_add_slice(&all, buf_slice(key));
	buf_fini(key);
	if (buf_error(&all) < 0) {
		buf_fini(&all);
		return msg.p;
	}
	*key = all;
	head->id = slice_of(all.p + msg.n, n);
	if (head->traceparent.n)
		head->traceparent.p = all.p + (head->traceparent.p - msg.p);
	return all.p;
}
