/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mut_pack: the canonical form of a run's mutations (PROTOCOL.md 3), for which
 * cookies are folded into header ops first. Start at mut_pack().
 */
#include "proto/pack.h"
#include "worker/cookies.h"
#include "worker/lane.h"

static size_t count_headers(const struct mut *m)
{
	return m->headers.n / sizeof(struct mut_header);
}

static struct mut_header *header_at(const struct mut *m, size_t i)
{
	return (struct mut_header *)(void *)m->headers.p + i;
}

static size_t count_cookies(const struct mut *m)
{
	return m->cookies.n / sizeof(struct mut_cookie);
}

static struct mut_cookie *cookie_at(const struct mut *m, size_t i)
{
	return (struct mut_cookie *)(void *)m->cookies.p + i;
}

/* --- folding --- */

/* The lines of a header field that this run starts from: the message's, and
 * what the run itself did to that header. */
struct lines {
	struct lane *l;
	bool resp;
	struct slice field;
	size_t i;      /* next of the message's headers, then of the run's */
	bool own, cut; /* among the run's; the message's do not count */
};

static bool is_add(enum op op)
{
	return op == OP_REQ_ADD_HEADER || op == OP_RESP_ADD_HEADER;
}

static bool is_mine(const struct lines *at, const struct mut_header *h)
{
	const struct mut *m = &at->l->mut;

	return !h->dead && (h->op >= OP_RESP_SET_HEADER) == at->resp &&
	       header_name_eq(mut_slice(m, h->name, h->name_len), at->field);
}

static struct lines lines_of(struct lane *l, bool resp)
{
	struct lines at = {
		.l = l,
		.resp = resp,
		.field = slice_str(resp ? "Set-Cookie" : "Cookie"),
	};

	for (size_t i = 0; i < count_headers(&l->mut); i++) {
		struct mut_header *h = header_at(&l->mut, i);

		if (is_mine(&at, h) && !is_add(h->op))
			at.cut = true;
	}
	at.own = at.cut;
	return at;
}

static bool next_own(struct lines *at, struct slice *line)
{
	struct mut *m = &at->l->mut;

	while (at->i < count_headers(m)) {
		struct mut_header *h = header_at(m, at->i++);

		if (!is_mine(at, h) || h->op == OP_REQ_DEL_HEADER ||
		    h->op == OP_RESP_DEL_HEADER)
			continue;
		*line = mut_slice(m, h->value, h->value_len);
		return true;
	}
	return false;
}

static bool next_line(struct lines *at, struct slice *line)
{
	struct ctx *c = &at->l->ctx;
	struct headers *h = at->own ? NULL : ctx_headers(c, at->resp);

	while (!at->own && at->i < headers_count(h)) {
		struct header *one = headers_at(h, at->i++);

		if (one->dead ||
		    !header_name_eq(header_name(one, c->base), at->field))
			continue;
		*line = header_value(one, c->base);
		return true;
	}
	if (!at->own) {
		at->own = true;
		at->i = 0;
	}
	return next_own(at, line);
}

static bool touched(const struct mut *m, bool resp, struct slice name)
{
	for (size_t i = 0; i < count_cookies(m); i++) {
		const struct mut_cookie *c = cookie_at(m, i);

		if (c->resp == resp &&
		    slice_eq(mut_slice(m, c->name, c->name_len), name))
			return true;
	}
	return false;
}

static void join(struct buf *b, struct slice s)
{
	if (b->n)
		buf_add(b, "; ", 2);
	buf_add_slice(b, s);
}

/* Cookies of this run first, in the order of their calls, then the others as
 * they stood. */
static int fold_req(struct lane *l)
{
	struct lines at = lines_of(l, false);
	struct mut *m = &l->mut;
	struct cookie one;
	struct slice line;
	bool had = false;

	buf_clear(&m->text);
	for (size_t i = 0; i < count_cookies(m); i++) {
		struct mut_cookie *c = cookie_at(m, i);

		if (!c->resp && !c->del)
			join(&m->text, mut_slice(m, c->text, c->text_len));
	}
	while (next_line(&at, &line)) {
		had = true;
		while (cookie_next(&line, &one))
			if (!touched(m, false, one.name))
				join(&m->text, one.raw);
	}
	if (!had && !m->text.n)
		return OK; /* deleted what was not there */
	return mut_header(m, m->text.n ? OP_REQ_SET_HEADER : OP_REQ_DEL_HEADER,
			  at.field, buf_slice(&m->text));
}

/* Does a line that is there go, or is it to be replaced? */
static bool resp_loses(struct lane *l)
{
	struct lines at = lines_of(l, true);
	struct set_cookie one;
	struct slice line;

	while (next_line(&at, &line))
		if (set_cookie_parse(line, &one) &&
		    touched(&l->mut, true, one.cookie.name))
			return true;
	return false;
}

/* The lines that stay, gathered in m->text one behind the other with their
 * lengths, since mut_header() moves what they point to. */
static size_t gather_staying(struct lane *l)
{
	struct lines at = lines_of(l, true);
	struct mut *m = &l->mut;
	struct set_cookie one;
	struct slice line;
	size_t n = 0;

	buf_clear(&m->text);
	while (next_line(&at, &line)) {
		if (set_cookie_parse(line, &one) &&
		    touched(m, true, one.cookie.name))
			continue;
		buf_add(&m->text, &line.n, sizeof(line.n));
		buf_add_slice(&m->text, line);
		n++;
	}
	return n;
}

static int put_staying(struct lane *l)
{
	struct slice field = slice_str("Set-Cookie");
	size_t at = 0, n = gather_staying(l), len;
	struct mut *m = &l->mut;
	int r;

	r = mut_header(m, OP_RESP_DEL_HEADER, field, (struct slice){0});
	for (; n > 0 && r == OK; n--) {
		memcpy(&len, m->text.p + at, sizeof(len));
		at += sizeof(len);
		r = mut_header(m, OP_RESP_ADD_HEADER, field,
			       slice_of(m->text.p + at, len));
		at += len;
	}
	return r;
}

static int fold_resp(struct lane *l)
{
	struct slice field = slice_str("Set-Cookie");
	struct mut *m = &l->mut;
	int r = OK;

	if (resp_loses(l))
		r = put_staying(l);
	for (size_t i = 0; i < count_cookies(m) && r == OK; i++) {
		struct mut_cookie *c = cookie_at(m, i);

		if (!c->resp || c->del)
			continue;
		buf_clear(&m->text);
		buf_add_slice(&m->text, mut_slice(m, c->text, c->text_len));
		r = mut_header(m, OP_RESP_ADD_HEADER, field,
			       buf_slice(&m->text));
	}
	return r;
}

int mut_fold_cookies(struct lane *l)
{
	bool side[2] = {false, false};
	int r = OK;

	for (size_t i = 0; i < count_cookies(&l->mut); i++)
		side[cookie_at(&l->mut, i)->resp] = true;
	if (side[0])
		r = fold_req(l);
	if (side[1] && r == OK)
		r = fold_resp(l);
	return r;
}

/* --- packing --- */

static void pack_head(struct buf *out, enum op op, uint32_t args)
{
	pack_array(out, 1 + args);
	pack_cstr(out, op_table[op].name);
}

static uint32_t pack_last(const struct mut *m, enum op op, struct buf *out)
{
	if (!m->has[op])
		return 0;
	pack_head(out, op, 1);
	pack_text(out, mut_slice(m, m->last[op].off, m->last[op].len));
	return 1;
}

static uint32_t pack_headers(const struct mut *m, bool resp, struct buf *out)
{
	uint32_t n = 0;

	for (size_t i = 0; i < count_headers(m); i++) {
		const struct mut_header *h = header_at(m, i);
		bool del = h->op == OP_REQ_DEL_HEADER ||
			   h->op == OP_RESP_DEL_HEADER;

		if (h->dead || (h->op >= OP_RESP_SET_HEADER) != resp)
			continue;
		pack_head(out, h->op, del ? 1 : 2);
		pack_text(out, mut_slice(m, h->name, h->name_len));
		if (!del)
			pack_text(out, mut_slice(m, h->value, h->value_len));
		n++;
	}
	return n;
}

static uint32_t pack_req(const struct mut *m, struct buf *out)
{
	uint32_t n = 0;

	if (m->has[OP_REQ_SET_URL]) {
		n += pack_last(m, OP_REQ_SET_METHOD, out);
		n += pack_last(m, OP_REQ_SET_URL, out);
	} else {
		for (int op = OP_REQ_SET_HOST; op < OP_REQ_SET_URL; op++)
			n += pack_last(m, (enum op)op, out);
	}
	n += pack_last(m, OP_REQ_SET_BODY, out);
	return n + pack_headers(m, false, out);
}

static uint32_t pack_resp(const struct mut *m, struct buf *out)
{
	uint32_t n = 0;

	if (m->has[OP_RESP_SET_STATUS]) {
		pack_head(out, OP_RESP_SET_STATUS, 1);
		pack_int(out, m->status);
		n++;
	}
	n += pack_last(m, OP_RESP_SET_BODY, out);
	return n + pack_headers(m, true, out);
}

static uint32_t pack_flag(const struct mut *m, enum op op, struct buf *out)
{
	if (!m->has[op])
		return 0;
	pack_head(out, op, 0);
	return 1;
}

static bool has_messages(enum hook hook)
{
	return hook != HOOK_FLUSH && hook != HOOK_BUS && hook != HOOK_WS_OPEN &&
	       hook != HOOK_WS_MSG && hook != HOOK_WS_CLOSE;
}

int mut_pack(struct lane *l, struct buf *out)
{
	struct mut *m = &l->mut;
	uint32_t n = 0;
	int r;

	if (!m->any)
		return 0;
	if (has_messages(l->hook)) {
		r = m->cookies.n ? mut_fold_cookies(l) : OK;
		if (r < 0)
			return r;
		n += pack_req(m, out);
		n += pack_resp(m, out);
	}
	if (l->hook == HOOK_WS_MSG) {
		if (!m->has[OP_WS_DROP])
			n += pack_last(m, OP_WS_SET_DATA, out);
		n += pack_flag(m, OP_WS_DROP, out);
	}
	if (l->hook != HOOK_FLUSH && l->hook != HOOK_BUS)
		n += pack_flag(m, OP_CTX_SET_FINISH, out);
	return (int)n;
}
