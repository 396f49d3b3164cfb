/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pattern: Lua's patterns with a budget of steps and of depth, so that no
 * pattern on no text runs for long. Past the budget the script gets the error
 * "pattern: too much work", which it can catch.
 */
#ifndef PF_WORKER_PATTERN_H
#define PF_WORKER_PATTERN_H

#include "worker/libs.h"

enum { PATTERN_CAPTURES = 32 };

struct capture {
	const uint8_t *at;
	ptrdiff_t n; /* or one of the marks in pattern.c */
};

struct pattern {
	lua_State *L;
	struct work work;
	struct slice text, pat;
	unsigned depth, ncap;
	struct capture cap[PATTERN_CAPTURES];
};

/* Both slices stay the caller's, on the Lua stack. */
void pattern_init(struct pattern *m, lua_State *L, struct slice text,
		  struct slice pat);

/* Match at `at` only; `skip` bytes of the pattern are left out (its ^). The
 * end of the match, or NULL. Raises on a malformed pattern. */
const uint8_t *pattern_at(struct pattern *m, const uint8_t *at, size_t skip);

/* Push all captures, or when there are none the whole match if `from`. The
 * number pushed. */
int pattern_captures(struct pattern *m, const uint8_t *from, const uint8_t *to);

/* Push capture i (from 0); without captures 0 is the whole match. */
void pattern_capture(struct pattern *m, unsigned i, const uint8_t *from,
		     const uint8_t *to);

/* No byte of it means anything but itself. */
bool pattern_plain(struct slice pat);

#endif
