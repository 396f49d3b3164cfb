/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hello: introducing ourselves, and remembering what the broker told of
 * itself: its limits and which hooks it serves.
 */
#include "clients/c/client.h"
#include "proto/pack.h"

int pf_hello(struct pf_client *c, const struct pf_hello *hello, void *tag,
	     uint32_t *id)
{
	struct buf b = {0};
	int rc;

	pack_map(&b, 4);
	pack_cstr(&b, "client");
	pack_text(&b, slice_str(hello->client));
	pack_cstr(&b, "version");
	pack_text(&b, slice_str(hello->version));
	pack_cstr(&b, "protocol");
	pack_uint(&b, PROTO_VERSION);
	pack_cstr(&b, "caps");
	pack_array(&b, (uint32_t)hello->lazy + hello->mqtt);
	if (hello->lazy)
		pack_cstr(&b, "lazy_body");
	if (hello->mqtt)
		pack_cstr(&b, "mqtt");
	rc = buf_error(&b) ? ERR_NOMEM
			   : pf_call(c, "hello", pf_args(1, buf_slice(&b)), tag,
				     &c->hello_id);
	buf_fini(&b);
	if (rc < 0)
		return rc;
	c->hello_asked = true;
	c->hello_lazy = hello->lazy;
	if (id)
		*id = c->hello_id;
	return 0;
}

static bool has_cap(struct slice caps, const char *name)
{
	struct cursor c = cursor_of(caps);
	uint32_t n = cursor_array(&c);

	while (n-- > 0 && !c.error) {
		struct slice cap = cursor_raw(&c);
		struct cursor word = cursor_of(cap);

		if (slice_is(cursor_text(&word), name))
			return true;
	}
	return false;
}

static uint64_t limit(struct slice limits, const char *name, uint64_t otherwise)
{
	struct slice raw;
	struct cursor c;
	uint64_t v;

	if (!map_find(limits, name, &raw))
		return otherwise;
	c = cursor_of(raw);
	v = cursor_uint(&c);
	return c.error ? otherwise : v;
}

void pf_learn_hello(struct pf_client *c, struct slice result)
{
	struct slice caps = {0}, limits = {0}, hooks;
	uint64_t message, inflight, lazy_above;

	if (!map_find(result, "limits", &limits))
		limits = slice_of("\x80", 1);
	message = limit(limits, "max_message", c->max_message);
	inflight = limit(limits, "max_inflight", c->may_inflight);
	lazy_above = limit(limits, "inline_body", PROTO_INLINE_BODY);
	/* what we send is bounded by both; what we take, by our own */
	if (message >= 1024 && message < c->max_message)
		c->max_message = (size_t)message;
	if (inflight >= 1 && inflight < c->may_inflight)
		c->may_inflight = (uint32_t)inflight;
	if (c->hello_lazy && map_find(result, "caps", &caps) &&
	    has_cap(caps, "lazy_body"))
		c->inline_body = (size_t)lazy_above;
	if (map_find(result, "hooks", &hooks))
		pf_learn_hooks(c, hooks);
}

void pf_learn_hooks(struct pf_client *c, struct slice hooks)
{
	struct cursor at = cursor_of(hooks);

	if (cursor_peek(&at) != CURSOR_MAP)
		return;
	buf_clear(&c->hooks);
	buf_add_slice(&c->hooks, hooks);
	if (buf_error(&c->hooks)) /* then every hook is sent: correct, slow */
		buf_clear(&c->hooks);
}

bool pf_serves(const struct pf_client *c, const char *hook)
{
	struct slice found;

	return c->hooks.n == 0 || map_find(buf_slice(&c->hooks), hook, &found);
}

size_t pf_inline_body(const struct pf_client *c)
{
	return c->inline_body;
}
