/* SPDX-License-Identifier: Apache-2.0 */
/*
 * properties: one row for each that a message may carry. User properties are
 * an array of maps of one pair, order and repeated names kept.
 */
#include "clients/mosquitto/properties.h"

#include <stdlib.h>

#include "proto/pack.h"
#include "proto/unpack.h"

enum kind {
	KIND_TEXT,
	KIND_BYTES,
	KIND_FORMAT, /* "utf8" or "undefined" */
	KIND_PAIRS,
	KIND_FIXED, /* known to scripts, not ours to set */
};

struct row {
	const char *name;
	int id;
	enum kind kind;
};

static const struct row rows[] = {
	{"p_payload_format_indicator", MQTT_PROP_PAYLOAD_FORMAT_INDICATOR,
	 KIND_FORMAT},
	{"p_content_type", MQTT_PROP_CONTENT_TYPE, KIND_TEXT},
	{"p_response_topic", MQTT_PROP_RESPONSE_TOPIC, KIND_TEXT},
	{"p_correlation_data", MQTT_PROP_CORRELATION_DATA, KIND_BYTES},
	{"p_user_property", MQTT_PROP_USER_PROPERTY, KIND_PAIRS},
	{"p_message_expiry_interval", MQTT_PROP_MESSAGE_EXPIRY_INTERVAL,
	 KIND_FIXED},
	{"p_will_delay_interval", MQTT_PROP_WILL_DELAY_INTERVAL, KIND_FIXED},
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

/* ---- Mosquitto's list to a map ------------------------------------------- */

static void pack_pairs(struct buf *b, const mosquitto_property *list)
{
	uint32_t n = 0;

	for (const mosquitto_property *at = list; at;
	     at = mosquitto_property_next(at))
		n += mosquitto_property_identifier(at) ==
		     MQTT_PROP_USER_PROPERTY;
	pack_array(b, n);
	for (const mosquitto_property *at = list; at && n > 0;
	     at = mosquitto_property_next(at)) {
		char *name = NULL, *value = NULL;

		if (mosquitto_property_identifier(at) !=
		    MQTT_PROP_USER_PROPERTY)
			continue;
		if (!mosquitto_property_read_string_pair(
			    at, MQTT_PROP_USER_PROPERTY, &name, &value, false))
			b->error = ERR_NOMEM;
		pack_map(b, 1);
		pack_text(b, slice_str(name ? name : ""));
		pack_text(b, slice_str(value ? value : ""));
		free(name);
		free(value);
	}
}

static void pack_string(struct buf *b, const mosquitto_property *at, int id)
{
	char *s = NULL;

	if (!mosquitto_property_read_string(at, id, &s, false))
		b->error = ERR_NOMEM;
	pack_text(b, slice_str(s ? s : ""));
	free(s);
}

static void pack_bytes(struct buf *b, const mosquitto_property *at, int id)
{
	void *p = NULL;
	uint16_t n = 0;

	if (!mosquitto_property_read_binary(at, id, &p, &n, false))
		b->error = ERR_NOMEM;
	pack_text(b, slice_of(p, p ? n : 0));
	free(p);
}

static void pack_value(struct buf *b, const mosquitto_property *at,
		       const struct row *row)
{
	uint32_t number = 0;
	uint8_t byte = 0;

	switch (row->kind) {
	case KIND_TEXT:
		pack_string(b, at, row->id);
		return;
	case KIND_BYTES:
		pack_bytes(b, at, row->id);
		return;
	case KIND_PAIRS:
		pack_pairs(b, at);
		return;
	case KIND_FORMAT:
		mosquitto_property_read_byte(at, row->id, &byte, false);
		pack_cstr(b, byte ? "utf8" : "undefined");
		return;
	default:
		mosquitto_property_read_int32(at, row->id, &number, false);
		pack_uint(b, number);
	}
}

void properties_pack(struct buf *b, const mosquitto_property *list)
{
	const mosquitto_property *found[ROWS] = {NULL};
	uint32_t n = 0;

	for (const mosquitto_property *at = list; at;
	     at = mosquitto_property_next(at))
		for (int i = 0; i < ROWS; i++)
			if (!found[i] &&
			    mosquitto_property_identifier(at) == rows[i].id) {
				found[i] = at;
				n++;
			}
	pack_map(b, n);
	for (int i = 0; i < ROWS; i++) {
		if (!found[i])
			continue;
		pack_cstr(b, rows[i].name);
		pack_value(b, found[i], &rows[i]);
	}
}

/* ---- a map to Mosquitto's list ------------------------------------------- */

/* A C string of well-formed UTF-8 without NUL; NULL: it is none. */
static char *text_of(struct slice s)
{
	char *copy;

	if (s.n > UINT16_MAX || (s.n && memchr(s.p, 0, s.n)) ||
	    !slice_is_utf8(s))
		return NULL;
	copy = malloc(s.n + 1);
	if (!copy)
		return NULL;
	if (s.n)
		memcpy(copy, s.p, s.n);
	copy[s.n] = '\0';
	return copy;
}

static int add_pair(mosquitto_property **out, struct cursor *c)
{
	char *name = NULL, *value = NULL;
	int rc = ERR_TYPE;

	if (cursor_map(c) == 1) {
		name = text_of(cursor_text(c));
		value = text_of(cursor_text(c));
	}
	if (!c->error && name && value)
		rc = mosquitto_property_add_string_pair(
			     out, MQTT_PROP_USER_PROPERTY, name, value)
			     ? ERR_NOMEM
			     : 0;
	free(name);
	free(value);
	return rc;
}

static int add_pairs(mosquitto_property **out, struct cursor *c)
{
	uint32_t n = cursor_array(c);
	int rc = c->error;

	while (n-- > 0 && rc == 0)
		rc = add_pair(out, c);
	return rc;
}

static int add_text(mosquitto_property **out, int id, struct cursor *c)
{
	char *s = text_of(cursor_text(c));
	int rc = ERR_TYPE;

	if (s && !c->error)
		rc = mosquitto_property_add_string(out, id, s) ? ERR_NOMEM : 0;
	free(s);
	return rc;
}

static int add_bytes(mosquitto_property **out, int id, struct cursor *c)
{
	struct slice s = cursor_text(c);

	if (c->error || s.n > UINT16_MAX)
		return ERR_TYPE;
	return mosquitto_property_add_binary(
		       out, id, s.n ? (const void *)s.p : "", (uint16_t)s.n)
		       ? ERR_NOMEM
		       : 0;
}

static int add(mosquitto_property **out, const struct row *row,
	       struct cursor *c, const char **odd)
{
	bool utf8;

	switch (row->kind) {
	case KIND_TEXT:
		return add_text(out, row->id, c);
	case KIND_BYTES:
		return add_bytes(out, row->id, c);
	case KIND_PAIRS:
		return add_pairs(out, c);
	case KIND_FORMAT:
		utf8 = slice_is(cursor_text(c), "utf8");
		return mosquitto_property_add_byte(out, row->id, utf8)
			       ? ERR_NOMEM
			       : 0;
	default:
		*odd = row->name;
		cursor_skip(c);
		return 0;
	}
}

int properties_build(struct slice map, mosquitto_property **out,
		     const char **odd)
{
	struct cursor c = cursor_of(map);
	uint32_t n = cursor_map(&c);
	int rc = c.error;

	*out = NULL;
	*odd = NULL;
	while (n-- > 0 && rc == 0) {
		struct slice key = cursor_text(&c);
		int i = 0;

		while (i < ROWS && !slice_is(key, rows[i].name))
			i++;
		rc = i < ROWS ? add(out, &rows[i], &c, odd) : ERR_TYPE;
		if (rc == 0)
			rc = c.error;
	}
	if (rc < 0)
		mosquitto_property_free_all(out);
	return rc;
}
