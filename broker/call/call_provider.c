/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call_provider: provider.call, bcrypt.hash and bcrypt.salt of workers, which
 * the gateway answers. The time that a run has left is the call's; who may be
 * reached is in the script's grants, which the gateway compares with the
 * server's address.
 */
#include <stdio.h>

#include "broker/call/call.h"
#include "broker/gateway.h"
#include "broker/learn.h"
#include "proto/pack.h"

enum { NO_DEADLINE_MS = 60000 };

static const uint8_t nil = 0xc0;

/* ---- the answer -------------------------------------------------------- */

static void fail(struct later *l, const struct gateway_answer *a)
{
	enum code code = code_parse(a->code);
	char text[1024];

	if (slice_is(a->code, "badarg")) {
		later_badarg(l, a->message);
		return;
	}
	snprintf(text, sizeof(text), "%.*s", (int)a->message.n,
		 (const char *)a->message.p);
	if (code != CODE_TIMEOUT && code != CODE_TOO_LARGE &&
	    code != CODE_DENIED && code != CODE_OVERLOADED)
		code = CODE_UNAVAILABLE;
	later_refuse(l, code, text);
}

/* As with events (run_fits): what arrives takes a few times its size. */
static bool fits(const struct later *l, struct slice value)
{
	return !l->call.run || value.n <= l->script->conf->memory / 4;
}

static void on_answer(void *arg, const struct gateway_answer *a)
{
	struct later *l = arg;

	if (a->failed)
		fail(l, a);
	else if (!fits(l, a->value))
		later_refuse(l, CODE_TOO_LARGE,
			     "the answer is more than a quarter of the "
			     "script's memory");
	else
		pack_raw(later_answer(l), a->value);
	later_end(l);
}

static void refuse(struct later *l, int error)
{
	if (error == ERR_FULL)
		later_refuse(l, CODE_OVERLOADED,
			     "too many calls are under way");
	else if (error == ERR_NOMEM)
		later_refuse(l, CODE_OVERLOADED, "no memory");
	else
		later_refuse(l, CODE_UNAVAILABLE,
			     "unavailable: the gateway is not there");
	later_end(l);
}

/* ---- the question ------------------------------------------------------ */

/* What the run, or the loading, has left. */
static uint64_t time_left(const struct question *q)
{
	const struct wheel_timer *t =
		child_loading(q->run) ? &q->child->timer : &q->run->timer;
	uint64_t now = uv_now(q->child->link.turn->loop);

	if (!wheel_started(t))
		return NO_DEADLINE_MS;
	return t->due_ms > now ? t->due_ms - now : 1;
}

static int ask(struct question *q, struct gateway_question *g)
{
	struct buf grants = {0};
	struct later *l;
	int r;

	grant_pack(&q->script->grants.list[GRANT_PROVIDERS], &grants);
	g->grants = buf_slice(&grants);
	g->timeout_ms = time_left(q);
	l = later_new(q);
	if (l) {
		r = gateway_ask(q->house->gateway, g, on_answer, l);
		if (r < 0)
			refuse(l, r);
	}
	buf_fini(&grants);
	return OK;
}

/* "HOST:PORT" of a URL; empty: it is none. */
static void host_of(struct slice url, struct buf *out)
{
	bool tls = slice_starts(url, slice_str("https://"));
	size_t start = tls ? 8 : 7, end = start, colon = 0;

	if (!tls && !slice_starts(url, slice_str("http://")))
		return;
	for (; end < url.n && !strchr("/?#", url.p[end]); end++) {
		if (url.p[end] == '@') {
			start = end + 1;
			colon = 0;
		} else if (url.p[end] == ':') {
			colon = end;
		} else if (url.p[end] == ']') {
			colon = 0;
		}
	}
	buf_add(out, url.p + start, end - start);
	if (!colon)
		buf_addf(out, tls ? ":443" : ":80");
}

/* `pinfold grants --learn`: the server that a call was about. */
static void note(struct question *q, const struct gateway_question *g)
{
	struct learn *learn = q->script->grants.learn;
	struct cursor pool = cursor_of(g->pool), args = cursor_of(g->args);
	struct buf name = {0}, target = {0}, fallback = {0};

	if (!learn || slice_is(g->op, "ensure_pool"))
		return;
	buf_addf(&fallback, "pool_%.*s", (int)g->provider.n,
		 (const char *)g->provider.p);
	if (slice_is(g->provider, "http") && cursor_array(&args) > 0)
		host_of(cursor_text(&args), &target);
	else
		buf_add_slice(&target,
			      gateway_target(q->house->gateway, g->provider,
					     cursor_nil(&pool)
						     ? buf_slice(&fallback)
						     : cursor_text(&pool)));
	buf_addf(&name, "%.*s:", (int)g->provider.n,
		 (const char *)g->provider.p);
	buf_add_slice(&name, buf_slice(&target));
	if (target.n && buf_error(&name) == OK)
		learn_note(learn, GRANT_PROVIDERS, buf_slice(&name));
	buf_fini(&name);
	buf_fini(&target);
	buf_fini(&fallback);
}

/* Only changes what is outside: a trial must not. */
static bool is_harmless(struct slice op)
{
	return slice_is(op, "ensure_pool") || slice_is(op, "hash_method");
}

static bool is_pool_name(struct slice raw)
{
	struct cursor c = cursor_of(raw);
	enum cursor_type type = cursor_peek(&c);

	return type == CURSOR_NIL || type == CURSOR_STR || type == CURSOR_BIN;
}

/* [provider, op, pool|nil, args]; of ensure_pool args are [settings]. */
int call_provider(struct question *q)
{
	struct gateway_question g = {0};
	struct cursor args;
	uint32_t n;

	g.provider = cursor_text(&q->args);
	g.op = cursor_text(&q->args);
	g.pool = cursor_raw(&q->args);
	g.args = cursor_raw(&q->args);
	args = cursor_of(g.args);
	n = cursor_array(&args);
	if (q->args.error || args.error || !is_pool_name(g.pool))
		return ERR_FORMAT;
	if (question_event(q->run) && question_event(q->run)->dry &&
	    !is_harmless(g.op))
		return question_refuse(q, CODE_DENIED,
				       "denied: exec asks no server");
	if (slice_is(g.op, "ensure_pool")) {
		g.args = n > 0 ? cursor_raw(&args) : slice_of(&nil, 1);
		if (args.error)
			return ERR_FORMAT;
	}
	/* The rest of the rule is the gateway's, which knows the address. */
	if (q->script->grants.list[GRANT_PROVIDERS].limited &&
	    q->script->grants.list[GRANT_PROVIDERS].n == 0 &&
	    !question_granted(q, GRANT_PROVIDERS, g.provider))
		return OK;
	note(q, &g);
	return ask(q, &g);
}

static int ask_bcrypt(struct question *q, const char *op, uint32_t n)
{
	struct gateway_question g = {.provider = slice_str("bcrypt"),
				     .op = slice_str(op),
				     .pool = slice_of(&nil, 1)};
	struct buf args = {0};
	int r;

	pack_array(&args, n);
	for (uint32_t i = 0; i < n; i++)
		pack_bin(&args, cursor_text(&q->args));
	g.args = buf_slice(&args);
	r = q->args.error ? ERR_FORMAT : ask(q, &g);
	buf_fini(&args);
	return r;
}

int call_bcrypt_hash(struct question *q)
{
	return ask_bcrypt(q, "hashpw", 2);
}

int call_bcrypt_salt(struct question *q)
{
	return ask_bcrypt(q, "gen_salt", 0);
}
