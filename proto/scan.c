/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan: the walk of scan.h. One table says for each first byte how many bytes
 * the head has, where a length stands in it and what it counts; the loop
 * below does nothing else per element, since it runs for every byte sequence
 * that any peer sends.
 */
#include "proto/scan.h"

enum kind {
	K_PLAIN, /* `head` bytes and nothing behind */
	K_BYTES, /* a length of `width` bytes, then that many bytes */
	K_EXT,	 /* likewise, and one type byte */
	K_ARRAY, /* a count of `width` bytes, then that many values */
	K_MAP,	 /* likewise, twice as many */
	K_NEVER, /* 0xc1 */
};

struct head {
	uint8_t kind, width, fixed; /* fixed: the length in the first byte */
};

#define FIXMAP(n)                                                              \
	{                                                                      \
		K_MAP, 0, (n)                                                  \
	}
#define FIXARRAY(n)                                                            \
	{                                                                      \
		K_ARRAY, 0, (n)                                                \
	}
#define FIXSTR(n)                                                              \
	{                                                                      \
		K_PLAIN, 0, (n)                                                \
	}
#define SIXTEEN(f)                                                             \
	f(0), f(1), f(2), f(3), f(4), f(5), f(6), f(7), f(8), f(9), f(10),     \
		f(11), f(12), f(13), f(14), f(15)
#define FIXSTR16(n) FIXSTR(16 + (n))

/* For first bytes from 0x80 on; below it every byte is a value by itself.
 * K_PLAIN: `fixed` bytes follow the first one. */
static const struct head heads[128] = {
	SIXTEEN(FIXMAP),	   SIXTEEN(FIXARRAY),
	SIXTEEN(FIXSTR),	   SIXTEEN(FIXSTR16),
	/* c0 */ {K_PLAIN, 0, 0},
	/* c1 */ {K_NEVER, 0, 0},
	/* c2 */ {K_PLAIN, 0, 0},
	/* c3 */ {K_PLAIN, 0, 0},
	/* c4 */ {K_BYTES, 1, 0},
	/* c5 */ {K_BYTES, 2, 0},
	/* c6 */ {K_BYTES, 4, 0},
	/* c7 */ {K_EXT, 1, 0},
	/* c8 */ {K_EXT, 2, 0},
	/* c9 */ {K_EXT, 4, 0},
	/* ca */ {K_PLAIN, 0, 4},
	/* cb */ {K_PLAIN, 0, 8},
	/* cc */ {K_PLAIN, 0, 1},
	/* cd */ {K_PLAIN, 0, 2},
	/* ce */ {K_PLAIN, 0, 4},
	/* cf */ {K_PLAIN, 0, 8},
	/* d0 */ {K_PLAIN, 0, 1},
	/* d1 */ {K_PLAIN, 0, 2},
	/* d2 */ {K_PLAIN, 0, 4},
	/* d3 */ {K_PLAIN, 0, 8},
	/* d4 */ {K_PLAIN, 0, 2},
	/* d5 */ {K_PLAIN, 0, 3},
	/* d6 */ {K_PLAIN, 0, 5},
	/* d7 */ {K_PLAIN, 0, 9},
	/* d8 */ {K_PLAIN, 0, 17},
	/* d9 */ {K_BYTES, 1, 0},
	/* da */ {K_BYTES, 2, 0},
	/* db */ {K_BYTES, 4, 0},
	/* dc */ {K_ARRAY, 2, 0},
	/* dd */ {K_ARRAY, 4, 0},
	/* de */ {K_MAP, 2, 0},
	/* df */ {K_MAP, 4, 0},
	/* e0.. are negative fixints: zeroes, which is K_PLAIN with nothing */
};

void scan_init(struct scan *s, size_t max)
{
	*s = (struct scan){.max = max < UINT32_MAX ? max : UINT32_MAX};
}

static size_t big_endian(const uint8_t *p, unsigned width)
{
	size_t v = 0;

	while (width--)
		v = v << 8 | *p++;
	return v;
}

static void begin(struct scan *s)
{
	s->at = 0;
	s->depth = 0;
	s->left[0] = 1;
	s->begun = true;
	s->marks_lost = false;
	s->nmarks = 0;
}

/* A container opens: its elements are to come, one byte each at least. */
static int open_level(struct scan *s, size_t at, size_t count)
{
	if (count > s->max - at)
		return ERR_FORMAT;
	if (s->depth >= SCAN_DEPTH)
		return ERR_RANGE;
	s->left[++s->depth] = (uint32_t)count;
	return OK;
}

/*
 * One element that starts at `at`: 1 and *end, 0 when bytes are missing.
 * *end may lie beyond what has arrived when content is still to come.
 */
static int element(struct scan *s, struct slice b, size_t at, size_t *end)
{
	uint8_t first = b.p[at];
	struct head h;
	size_t n;
	int r;

	*end = at + 1;
	if (first < 0x80)
		return 1;
	h = heads[first - 0x80];
	n = h.fixed;
	if (h.kind == K_PLAIN) {
		*end += n;
		return 1;
	}
	if (h.kind == K_NEVER)
		return ERR_FORMAT;
	if (h.width) {
		if (b.n - at - 1 < h.width)
			return 0;
		n = big_endian(b.p + at + 1, h.width);
		*end += h.width;
	}
	if (h.kind == K_BYTES || h.kind == K_EXT) {
		*end += n + (h.kind == K_EXT);
		return 1;
	}
	r = open_level(s, *end > s->max ? s->max : *end,
		       h.kind == K_MAP ? n * 2 : n);
	return r < 0 ? r : 1;
}

static void mark(struct scan *s, size_t at)
{
	if (s->nmarks < SCAN_MARKS)
		s->mark[s->nmarks++] = (uint32_t)at;
	else
		s->marks_lost = true;
}

/* Up, out of every container that has no element left; false at the top. */
static bool climb(struct scan *s)
{
	while (s->left[s->depth] == 0) {
		if (s->depth == 0)
			return false;
		s->depth--;
	}
	return true;
}

/*
 * Elements of one container that need no table: small integers and strings
 * below 256 bytes, which most of an event is. Stops before anything else.
 */
static void run_plain(struct scan *s, struct slice b)
{
	uint32_t left = s->left[s->depth];
	size_t at = s->at;

	while (left > 0 && at < b.n) {
		uint8_t first = b.p[at];
		size_t step = 1;

		if (first >= 0xa0 && first <= 0xbf)
			step += first & 0x1f;
		else if (first == 0xd9 && b.n - at > 1)
			step += 1 + (size_t)b.p[at + 1];
		else if (first >= 0x80)
			break;
		if (step > b.n - at)
			break;
		if (s->depth == 3)
			mark(s, at);
		at += step;
		left--;
	}
	s->left[s->depth] = left;
	s->at = at;
}

/* One element of any kind; 1, 0 when its head is not whole, ERR_*. */
static int run_one(struct scan *s, struct slice b)
{
	uint8_t level = s->depth;
	size_t at = s->at, end;
	int r;

	/* Counted before the walk goes down, put back if incomplete. */
	s->left[level]--;
	r = element(s, b, at, &end);
	if (r <= 0) {
		s->left[level]++;
		return r;
	}
	if (end > s->max)
		return ERR_RANGE;
	if (level == 3)
		mark(s, at);
	s->at = end;
	return 1;
}

int scan_next(struct scan *s, struct slice b, size_t *len)
{
	int r;

	if (!s->begun)
		begin(s);
	for (;;) {
		if (s->at > b.n)
			return 0; /* the content is still on its way */
		if (!climb(s)) {
			*len = s->at;
			s->begun = false;
			return s->at > s->max ? ERR_RANGE : 1;
		}
		run_plain(s, b);
		if (s->left[s->depth] == 0)
			continue;
		if (s->at >= b.n)
			return s->at > s->max ? ERR_RANGE : 0;
		if ((r = run_one(s, b)) <= 0)
			return r;
	}
}

bool scan_whole(struct slice value, size_t max)
{
	struct scan s;
	size_t len;

	scan_init(&s, max);
	return scan_next(&s, value, &len) == 1 && len == value.n;
}
