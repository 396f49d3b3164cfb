/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ask: one question to pinfold and what its answer means. Whatever is not a
 * well-formed answer is a failure, and failures never grant anything.
 */
#include "clients/mosquitto/plugin.h"

static bool word_is(struct slice result, const char *key, const char *word)
{
	struct slice raw;
	struct cursor c;

	if (!map_find(result, key, &raw))
		return false;
	c = cursor_of(raw);
	return slice_is(cursor_text(&c), word);
}

/* Did any script fail on the way? */
static bool has_errors(struct slice result)
{
	struct slice raw;
	struct cursor c;

	if (!map_find(result, "errors", &raw))
		return false;
	c = cursor_of(raw);
	return cursor_nil(&c) ? false : cursor_array(&c) > 0 || c.error;
}

/* The value of a key when it is there and not nil; `n` more bytes go behind
 * it in `copy`, so that it outlives the message. */
static struct slice kept(struct slice result, const char *key, struct slice *at)
{
	struct slice raw;
	struct cursor c;

	*at = slice_of(NULL, 0);
	if (!map_find(result, key, &raw))
		return *at;
	c = cursor_of(raw);
	if (!cursor_nil(&c))
		*at = raw;
	return *at;
}

static struct answer read_result(struct plugin *p, struct slice result)
{
	struct answer a = {.kind = ANSWER_FAILED};
	struct slice mods;

	if (word_is(result, "verdict", "ok"))
		a.kind = ANSWER_OK;
	else if (word_is(result, "verdict", "deny"))
		a.kind = ANSWER_DENY;
	else if (word_is(result, "verdict", "next"))
		a.kind = has_errors(result) ? ANSWER_FAILED : ANSWER_NEXT;
	buf_clear(&p->mods);
	buf_add_slice(&p->mods, kept(result, "mods", &mods));
	buf_add_slice(&p->mods, kept(result, "acl", &a.acl));
	if (buf_error(&p->mods))
		return (struct answer){.kind = ANSWER_FAILED};
	a.mods = slice_of(p->mods.p, mods.n);
	if (a.acl.n)
		a.acl.p = p->mods.p + mods.n;
	return a;
}

struct answer plugin_answer(struct plugin *p, const struct pf_item *item)
{
	if (item->kind == PF_RESULT)
		return read_result(p, item->result);
	return (struct answer){.kind = ANSWER_FAILED};
}

struct answer plugin_ask(struct plugin *p, enum hook hook)
{
	struct answer a = {.kind = ANSWER_FAILED};
	struct pf_item item;
	int rc = ERR_NOMEM;

	if (!buf_error(&p->table))
		rc = wire_ask(&p->wire, hook, buf_slice(&p->table), &item);
	if (rc == ERR_CLOSED)
		a.kind = ANSWER_GONE;
	else if (rc == 0)
		a = plugin_answer(p, &item);
	else
		plugin_log(true, "%s: no answer (%s)", hook_table[hook].name,
			   err_name(rc));
	return a;
}

bool plugin_tell(struct plugin *p, enum hook hook)
{
	return !buf_error(&p->table) &&
	       wire_notify(&p->wire, hook, buf_slice(&p->table));
}

bool plugin_send(struct plugin *p, const char *method)
{
	return !buf_error(&p->table) &&
	       wire_tell(&p->wire, method, buf_slice(&p->table));
}

int verdict_code(const struct plugin *p, enum answer_kind kind, int denied)
{
	switch (kind) {
	case ANSWER_OK:
		return MOSQ_ERR_SUCCESS;
	case ANSWER_NEXT:
		return MOSQ_ERR_PLUGIN_DEFER;
	case ANSWER_GONE:
		return p->options.defer ? MOSQ_ERR_PLUGIN_DEFER : denied;
	default:
		return denied;
	}
}
