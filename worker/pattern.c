/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matcher behind find, match, gmatch and gsub. Backtracking, as Lua's
 * patterns ask for; every byte that is looked at, of the text or of a set,
 * costs a step. Start at pattern_at(), then match().
 */
#include "worker/pattern.h"

#include <ctype.h>

enum {
	OPEN = -1,     /* a capture whose ) has not come */
	POSITION = -2, /* () */
	MAX_DEPTH = 200,
	BASE_STEPS = 5000000,
	STEPS_PER_BYTE = 32,
};

/* One item of a pattern: what matches a single byte, and its suffix. */
struct item {
	const uint8_t *from, *to; /* to: just after it */
	uint8_t suffix;		  /* ? * + - or 0 */
};

static const uint8_t *match(struct pattern *m, const uint8_t *s,
			    const uint8_t *p);

void pattern_init(struct pattern *m, lua_State *L, struct slice text,
		  struct slice pat)
{
	m->L = L;
	m->text = text;
	m->pat = pat;
	m->depth = m->ncap = 0;
	work_init(&m->work, L, "pattern",
		  BASE_STEPS + (uint64_t)text.n * STEPS_PER_BYTE);
}

static const uint8_t *pat_end(const struct pattern *m)
{
	return m->pat.p + m->pat.n;
}

static const uint8_t *text_end(const struct pattern *m)
{
	return m->text.p + m->text.n;
}

/* p is after the [; where the set's ] is. */
static const uint8_t *set_end(struct pattern *m, const uint8_t *p)
{
	const uint8_t *end = pat_end(m);

	if (p < end && *p == '^')
		p++;
	/* A ] in the first place stands for itself. */
	for (bool first = true;; first = false) {
		if (p >= end)
			luaL_error(m->L, "malformed pattern (missing ']')");
		if (*p == ']' && !first)
			return p;
		p += *p == '%' ? 2 : 1;
	}
}

static struct item item_at(struct pattern *m, const uint8_t *p)
{
	const uint8_t *end = pat_end(m);
	struct item it = {.from = p};

	if (*p == '%') {
		if (p + 1 >= end)
			luaL_error(m->L, "malformed pattern (ends with '%%')");
		it.to = p + 2;
	} else if (*p == '[') {
		it.to = set_end(m, p + 1) + 1;
	} else {
		it.to = p + 1;
	}
	if (it.to < end && strchr("?*+-", *it.to) && *it.to)
		it.suffix = *it.to;
	work_add(&m->work, (uint64_t)(it.to - p));
	return it;
}

/* %a and its kind; another character stands for itself. */
static bool in_class(uint8_t c, uint8_t class)
{
	bool in;

	switch (class | 0x20) {
	case 'a':
		in = isalpha(c);
		break;
	case 'c':
		in = iscntrl(c);
		break;
	case 'd':
		in = isdigit(c);
		break;
	case 'g':
		in = isgraph(c);
		break;
	case 'l':
		in = islower(c);
		break;
	case 'p':
		in = ispunct(c);
		break;
	case 's':
		in = isspace(c);
		break;
	case 'u':
		in = isupper(c);
		break;
	case 'w':
		in = isalnum(c);
		break;
	case 'x':
		in = isxdigit(c);
		break;
	case 'z': /* of older engines; the reference one still has it */
		in = c == 0;
		break;
	default:
		return class == c;
	}
	if (!isalpha(class))
		return class == c;
	return isupper(class) ? !in : in;
}

/* p at the [, end just after the ]. */
static bool in_set(struct pattern *m, uint8_t c, const uint8_t *p,
		   const uint8_t *end)
{
	bool hit = true;

	work_add(&m->work, (uint64_t)(end - p));
	p++;
	end--;
	if (*p == '^') {
		hit = false;
		p++;
	}
	while (p < end) {
		if (*p == '%') {
			if (in_class(c, p[1]))
				return hit;
			p += 2;
		} else if (p + 2 < end && p[1] == '-') {
			if (p[0] <= c && c <= p[2])
				return hit;
			p += 3;
		} else if (*p++ == c) {
			return hit;
		}
	}
	return !hit;
}

/* Does the byte at s match the item? Not at the end of the text. */
static bool fits(struct pattern *m, const uint8_t *s, const struct item *it)
{
	work_add(&m->work, 1);
	if (s >= text_end(m))
		return false;
	switch (*it->from) {
	case '.':
		return true;
	case '%':
		return in_class(*s, it->from[1]);
	case '[':
		return in_set(m, *s, it->from, it->to);
	default:
		return *it->from == *s;
	}
}

/* * and +: as many as there are, then fewer. */
static const uint8_t *match_longest(struct pattern *m, const uint8_t *s,
				    const struct item *it, ptrdiff_t least)
{
	ptrdiff_t n = 0;

	while (fits(m, s + n, it))
		n++;
	for (; n >= least; n--) {
		const uint8_t *end = match(m, s + n, it->to + 1);

		if (end)
			return end;
	}
	return NULL;
}

static const uint8_t *match_shortest(struct pattern *m, const uint8_t *s,
				     const struct item *it)
{
	for (;;) {
		const uint8_t *end = match(m, s, it->to + 1);

		if (end)
			return end;
		if (!fits(m, s, it))
			return NULL;
		s++;
	}
}

/* %bxy, p at the x. */
static const uint8_t *match_balance(struct pattern *m, const uint8_t *s,
				    const uint8_t *p)
{
	size_t nest = 0;

	if (pat_end(m) - p < 2)
		luaL_error(m->L, "malformed pattern (missing arguments to "
				 "'%%b')");
	if (s >= text_end(m) || *s != p[0])
		return NULL;
	for (; s < text_end(m); s++) {
		work_add(&m->work, 1);
		if (*s == p[1] && nest > 0) {
			if (--nest == 0)
				return s + 1;
		} else if (*s == p[0]) {
			nest++;
		}
	}
	return NULL;
}

/* %f[set], p at the [: between a byte outside and one inside. */
static bool at_frontier(struct pattern *m, const uint8_t *s, const uint8_t *p,
			const uint8_t *end)
{
	uint8_t before = s == m->text.p ? 0 : s[-1];
	uint8_t after = s < text_end(m) ? *s : 0;

	return !in_set(m, before, p, end) && in_set(m, after, p, end);
}

/* %1 to %9: what that capture holds, again. */
static const uint8_t *match_again(struct pattern *m, const uint8_t *s,
				  uint8_t digit)
{
	unsigned i = (unsigned)(digit - '1');
	const struct capture *c = &m->cap[i < PATTERN_CAPTURES ? i : 0];

	if (digit == '0' || i >= m->ncap || c->n == OPEN)
		luaL_error(m->L, "invalid capture index %%%c", digit);
	if (c->n < 0)
		return NULL; /* a position holds no text */
	work_add(&m->work, (uint64_t)c->n);
	if (text_end(m) - s < c->n || memcmp(s, c->at, (size_t)c->n) != 0)
		return NULL;
	return s + c->n;
}

static const uint8_t *open_capture(struct pattern *m, const uint8_t *s,
				   const uint8_t *p, ptrdiff_t mark)
{
	const uint8_t *end;

	if (m->ncap >= PATTERN_CAPTURES)
		luaL_error(m->L, "too many captures");
	m->cap[m->ncap++] = (struct capture){.at = s, .n = mark};
	end = match(m, s, p);
	if (!end)
		m->ncap--;
	return end;
}

static const uint8_t *close_capture(struct pattern *m, const uint8_t *s,
				    const uint8_t *p)
{
	const uint8_t *end;
	unsigned i = m->ncap;

	while (i > 0 && m->cap[i - 1].n != OPEN)
		i--;
	if (i == 0)
		luaL_error(m->L, "invalid pattern capture");
	m->cap[i - 1].n = s - m->cap[i - 1].at;
	end = match(m, s, p);
	if (!end)
		m->cap[i - 1].n = OPEN;
	return end;
}

/* What a step of the loop in match() found. */
enum step { FAIL, NEXT, DONE };

/* The % items that are no class. p at the character after %. */
static enum step match_escape(struct pattern *m, const uint8_t **s,
			      const uint8_t **p, bool *was)
{
	const uint8_t *set, *end;

	*was = true;
	switch (**p) {
	case 'b':
		*s = match_balance(m, *s, *p + 1);
		*p += 3;
		return *s ? NEXT : FAIL;
	case 'f':
		set = *p + 1;
		if (set >= pat_end(m) || *set != '[')
			luaL_error(m->L, "missing '[' after '%%f' in pattern");
		end = set_end(m, set + 1) + 1;
		*p = end;
		return at_frontier(m, *s, set, end) ? NEXT : FAIL;
	default:
		if (!isdigit(**p)) {
			*was = false;
			return FAIL;
		}
		*s = match_again(m, *s, **p);
		*p += 1;
		return *s ? NEXT : FAIL;
	}
}

/* One byte, with its suffix. */
static enum step match_item(struct pattern *m, const uint8_t **s,
			    const uint8_t **p)
{
	struct item it = item_at(m, *p);
	const uint8_t *end;

	switch (it.suffix) {
	case '*':
		*s = match_longest(m, *s, &it, 0);
		return DONE;
	case '+':
		*s = match_longest(m, *s, &it, 1);
		return DONE;
	case '-':
		*s = match_shortest(m, *s, &it);
		return DONE;
	case '?':
		*p = it.to + 1;
		if (!fits(m, *s, &it))
			return NEXT;
		end = match(m, *s + 1, *p);
		if (!end)
			return NEXT;
		*s = end;
		return DONE;
	default:
		*p = it.to;
		return fits(m, (*s)++, &it) ? NEXT : FAIL;
	}
}

static enum step match_step(struct pattern *m, const uint8_t **s,
			    const uint8_t **p)
{
	const uint8_t *at = *p;
	enum step step;
	bool was;

	if (*at == '(') {
		bool position = at + 1 < pat_end(m) && at[1] == ')';

		*s = open_capture(m, *s, at + 1 + position,
				  position ? POSITION : OPEN);
		return DONE;
	}
	if (*at == ')') {
		*s = close_capture(m, *s, at + 1);
		return DONE;
	}
	if (*at == '$' && at + 1 == pat_end(m)) {
		if (*s != text_end(m))
			*s = NULL;
		return DONE;
	}
	if (*at == '%' && at + 1 < pat_end(m)) {
		++*p;
		step = match_escape(m, s, p, &was);
		if (was)
			return step;
		*p = at;
	}
	return match_item(m, s, p);
}

static const uint8_t *match(struct pattern *m, const uint8_t *s,
			    const uint8_t *p)
{
	enum step step = NEXT;

	if (++m->depth > MAX_DEPTH)
		luaL_error(m->L, "pattern too complex");
	while (step == NEXT && p < pat_end(m))
		step = match_step(m, &s, &p);
	m->depth--;
	return step == FAIL ? NULL : s;
}

const uint8_t *pattern_at(struct pattern *m, const uint8_t *at, size_t skip)
{
	m->ncap = 0;
	m->depth = 0;
	work_add(&m->work, 1);
	return match(m, at, m->pat.p + skip);
}

void pattern_capture(struct pattern *m, unsigned i, const uint8_t *from,
		     const uint8_t *to)
{
	const struct capture *c = &m->cap[i < PATTERN_CAPTURES ? i : 0];

	if (i >= m->ncap) {
		if (i > 0)
			luaL_error(m->L, "invalid capture index %%%d", i + 1);
		lua_pushlstring(m->L, (const char *)from, (size_t)(to - from));
	} else if (c->n == POSITION) {
		lua_pushinteger(m->L, c->at - m->text.p + 1);
	} else if (c->n == OPEN) {
		luaL_error(m->L, "unfinished capture");
	} else {
		lua_pushlstring(m->L, (const char *)c->at, (size_t)c->n);
	}
}

int pattern_captures(struct pattern *m, const uint8_t *from, const uint8_t *to)
{
	unsigned n = m->ncap == 0 && from ? 1 : m->ncap;

	luaL_checkstack(m->L, (int)n, "too many captures");
	for (unsigned i = 0; i < n; i++)
		pattern_capture(m, i, from, to);
	return (int)n;
}

bool pattern_plain(struct slice pat)
{
	for (size_t i = 0; i < pat.n; i++)
		if (pat.p[i] && strchr("^$*+?.([%-", pat.p[i]))
			return false;
	return true;
}
