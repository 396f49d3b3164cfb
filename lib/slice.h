/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slice: borrowed bytes. Whoever hands one out says how long it lives.
 */
#ifndef PF_LIB_SLICE_H
#define PF_LIB_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
	const uint8_t *p; /* NULL only when n is 0 */
	size_t n;
};

static inline struct slice slice_of(const void *p, size_t n)
{
	return (struct slice){(const uint8_t *)p, n};
}

/* A C string without its NUL. */
static inline struct slice slice_str(const char *s)
{
	return slice_of(s, strlen(s));
}

static inline bool slice_eq(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool slice_is(struct slice a, const char *s)
{
	return slice_eq(a, slice_str(s));
}

static inline bool slice_starts(struct slice a, struct slice prefix)
{
	return a.n >= prefix.n &&
	       (prefix.n == 0 || memcmp(a.p, prefix.p, prefix.n) == 0);
}

/* True when the bytes are well-formed UTF-8 (no surrogates, no overlongs). */
bool slice_is_utf8(struct slice s);

/* -1, 0, 1: by bytes, a shorter prefix first. */
int slice_cmp(struct slice a, struct slice b);

/* How many bytes must be inserted, taken out or replaced to make b of a: for
 * "did you mean". More than SLICE_NEAR bytes are near to nothing: UINT_MAX. */
enum { SLICE_NEAR = 40 };
unsigned slice_distance(struct slice a, struct slice b);

#endif
