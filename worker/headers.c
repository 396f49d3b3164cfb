/* SPDX-License-Identifier: Apache-2.0 */
/*
 * headers: see headers.h. A handful of fields, so everything is a walk.
 */
#include "worker/headers.h"

#include "proto/unpack.h"

void headers_clear(struct headers *h)
{
	buf_clear(&h->list);
	h->ready = false;
}

void headers_fini(struct headers *h)
{
	buf_fini(&h->list);
	h->ready = false;
}

static void add(struct headers *h, const uint8_t *base, struct slice name,
		struct slice value)
{
	struct header one = {
		.name = name.n ? (uint32_t)(name.p - base) : 0,
		.name_len = (uint32_t)name.n,
		.value = value.n ? (uint32_t)(value.p - base) : 0,
		.value_len = (uint32_t)value.n,
	};

	buf_add(&h->list, &one, sizeof(one));
}

static bool is_text(const struct cursor *c)
{
	enum cursor_type type = cursor_peek(c);

	return type == CURSOR_STR || type == CURSOR_BIN;
}

static void load_pairs(struct headers *h, const uint8_t *base, struct cursor *c)
{
	uint32_t n = cursor_array(c);

	while (n-- && !c->error) {
		struct slice name, value;

		if (cursor_array(c) != 2)
			c->error = ERR_FORMAT;
		name = cursor_text(c);
		value = cursor_text(c);
		if (!c->error)
			add(h, base, name, value);
	}
}

static void load_map(struct headers *h, const uint8_t *base, struct cursor *c)
{
	uint32_t n = cursor_map(c);

	while (n-- && !c->error) {
		struct slice name = cursor_text(c), value;
		uint32_t values = is_text(c) ? 1 : cursor_array(c);

		while (values-- && !c->error) {
			value = cursor_text(c);
			if (!c->error)
				add(h, base, name, value);
		}
	}
}

int headers_load(struct headers *h, const uint8_t *base, struct slice value)
{
	struct cursor c = cursor_of(value);

	h->ready = true;
	if (value.n == 0 || cursor_nil(&c))
		return OK;
	if (cursor_peek(&c) == CURSOR_MAP)
		load_map(h, base, &c);
	else
		load_pairs(h, base, &c);
	return c.error ? ERR_FORMAT : buf_error(&h->list);
}

void headers_del(struct headers *h, const uint8_t *base, struct slice name)
{
	for (size_t i = 0; i < headers_count(h); i++) {
		struct header *one = headers_at(h, i);

		if (!one->dead && header_name_eq(header_name(one, base), name))
			one->dead = true;
	}
}

void headers_add(struct headers *h, const uint8_t *base,
		 const struct op_view *op)
{
	add(h, base, op->a, op->b);
}

void headers_set(struct headers *h, const uint8_t *base,
		 const struct op_view *op)
{
	headers_del(h, base, op->a);
	add(h, base, op->a, op->b);
}

bool header_canonical(struct slice name, uint8_t *out)
{
	bool upper = true, same = true;

	if (name.n == 0)
		return true;
	if (!header_name_ok(name)) {
		memcpy(out, name.p, name.n);
		return true;
	}
	for (size_t i = 0; i < name.n; i++) {
		uint8_t c = name.p[i];

		if (upper && c >= 'a' && c <= 'z')
			c = (uint8_t)(c - 32);
		else if (!upper && c >= 'A' && c <= 'Z')
			c = (uint8_t)(c + 32);
		same = same && c == name.p[i];
		upper = c == '-';
		out[i] = c;
	}
	return same;
}
