/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scan over the tokens of Lua source that counts index operations per
 * expression, before the compiler sees the text. It must agree with Lua's
 * lexer about where strings and comments end, and about nothing else: when in
 * doubt it counts on instead of starting anew. Start at chunk_check().
 */
#include "worker/chunk.h"

#include <ctype.h>

enum { MAX_CHAIN = 250, MAX_NEST = 250 };

struct scan {
	const uint8_t *p, *end;
	unsigned line;
	unsigned chain; /* index operations up to here */
	unsigned nest;
	unsigned outer[MAX_NEST]; /* chain before each open bracket */
	bool member;		  /* the last token was . or : */
};

static uint8_t peek(const struct scan *s, size_t ahead)
{
	return (size_t)(s->end - s->p) > ahead ? s->p[ahead] : 0;
}

static void skip(struct scan *s)
{
	if (*s->p == '\n')
		s->line++;
	s->p++;
}

/* At "[" of "[[" or "[==[": its level, or -1 if it is none. */
static int long_level(const struct scan *s)
{
	size_t n = 1;

	while (peek(s, n) == '=')
		n++;
	return peek(s, n) == '[' ? (int)n - 1 : -1;
}

static void skip_long(struct scan *s, int level)
{
	s->p += level + 2;
	while (s->p < s->end) {
		int n = 0;

		if (*s->p != ']') {
			skip(s);
			continue;
		}
		s->p++;
		while (s->p < s->end && *s->p == '=' && n < level) {
			s->p++;
			n++;
		}
		if (n == level && s->p < s->end && *s->p == ']') {
			s->p++;
			return;
		}
	}
}

static void skip_comment(struct scan *s)
{
	int level;

	s->p += 2;
	if (peek(s, 0) == '[') {
		level = long_level(s);
		if (level >= 0) {
			skip_long(s, level);
			return;
		}
	}
	while (s->p < s->end && *s->p != '\n' && *s->p != '\r')
		s->p++;
}

/* After \z all white space, newlines too, belongs to the string. */
static void skip_escape(struct scan *s)
{
	bool z = peek(s, 1) == 'z';
	bool pair = (peek(s, 1) == '\r' && peek(s, 2) == '\n') ||
		    (peek(s, 1) == '\n' && peek(s, 2) == '\r');

	skip(s);
	if (s->p < s->end)
		skip(s);
	if (pair && s->p < s->end)
		skip(s);
	while (z && s->p < s->end && isspace(*s->p))
		skip(s);
}

static void skip_string(struct scan *s)
{
	uint8_t quote = *s->p++;

	while (s->p < s->end && *s->p != quote) {
		if (*s->p == '\n' || *s->p == '\r')
			return; /* not Lua; the compiler stops here */
		if (*s->p == '\\')
			skip_escape(s);
		else
			s->p++;
	}
	if (s->p < s->end)
		s->p++;
}

static void skip_number(struct scan *s)
{
	uint8_t low = peek(s, 0) == '0' ? (peek(s, 1) | 0x20) : 0;
	uint8_t exponent = low == 'x' ? 'p' : 'e';

	while (s->p < s->end) {
		uint8_t c = *s->p;

		if ((c | 0x20) == exponent &&
		    (peek(s, 1) == '+' || peek(s, 1) == '-'))
			s->p += 2;
		else if (isalnum(c) || c == '.' || c == '_')
			s->p++;
		else
			return;
	}
}

static void skip_name(struct scan *s)
{
	while (s->p < s->end && (isalnum(*s->p) || *s->p == '_'))
		s->p++;
	if (!s->member)
		s->chain = 0;
	s->member = false;
}

static void open_bracket(struct scan *s)
{
	bool index = *s->p++ == '[';

	if (s->nest < MAX_NEST)
		s->outer[s->nest] = s->chain + index;
	s->nest++;
	s->chain = 0;
}

/* What was inside may be what the chain goes on from: keep the longer. */
static void close_bracket(struct scan *s)
{
	s->p++;
	if (s->nest == 0)
		return;
	s->nest--;
	if (s->chain < s->outer[s->nest])
		s->chain = s->outer[s->nest];
}

static void dots(struct scan *s)
{
	size_t n = 1;

	if (isdigit(peek(s, 1))) {
		s->chain = 0;
		skip_number(s);
		return;
	}
	while (n < 3 && peek(s, n) == '.')
		n++;
	s->p += n;
	if (n > 1) {
		s->chain = 0;
		return;
	}
	s->chain++;
	s->member = true;
}

static void other(struct scan *s)
{
	uint8_t c = *s->p;

	if (isspace(c)) {
		skip(s);
		return;
	}
	s->p++;
	s->member = c == ':';
	if (c != ':')
		s->chain = 0;
}

static void token(struct scan *s)
{
	uint8_t c = *s->p;

	if (c == '-' && peek(s, 1) == '-') {
		skip_comment(s);
	} else if (c == '[' && long_level(s) >= 0) {
		skip_long(s, long_level(s));
	} else if (c == '"' || c == '\'') {
		skip_string(s);
	} else if (isdigit(c)) {
		s->chain = 0;
		skip_number(s);
	} else if (isalpha(c) || c == '_') {
		skip_name(s);
	} else if (c == '.') {
		dots(s);
	} else if (c == '(' || c == '[' || c == '{') {
		open_bracket(s);
	} else if (c == ')' || c == ']' || c == '}') {
		close_bracket(s);
	} else {
		other(s);
	}
}

const char *chunk_check(struct slice text, unsigned *line)
{
	struct scan s = {.p = text.p, .end = text.p + text.n, .line = 1};

	while (s.p < s.end) {
		token(&s);
		*line = s.line;
		if (s.chain > MAX_CHAIN)
			return "too many index operations in one expression";
		if (s.nest > MAX_NEST)
			return "brackets nested too deep";
	}
	return NULL;
}
