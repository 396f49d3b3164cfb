/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slice: what is too long for the header. The UTF-8 check walks eight ASCII
 * bytes at a time, since nearly all text of HTTP is ASCII.
 */
#include "lib/slice.h"

#include <limits.h>

/* Bytes of the sequence that starts at p (n bytes left), or 0. */
static size_t utf8_sequence(const uint8_t *p, size_t n)
{
	uint8_t c = p[0];

	if (c >= 0xc2 && c <= 0xdf)
		return n >= 2 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
	if (c >= 0xe0 && c <= 0xef) {
		if (n < 3 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80)
			return 0;
		if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f))
			return 0;
		return 3;
	}
	if (c >= 0xf0 && c <= 0xf4) {
		if (n < 4 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80 ||
		    (p[3] & 0xc0) != 0x80)
			return 0;
		if ((c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] > 0x8f))
			return 0;
		return 4;
	}
	return 0;
}

bool slice_is_utf8(struct slice s)
{
	size_t i = 0;

	while (i < s.n) {
		uint64_t word;
		size_t step;

		if (s.n - i >= sizeof(word)) {
			memcpy(&word, s.p + i, sizeof(word));
			if (!(word & 0x8080808080808080u)) {
				i += sizeof(word);
				continue;
			}
		}
		if (s.p[i] < 0x80) {
			i++;
			continue;
		}
		step = utf8_sequence(s.p + i, s.n - i);
		if (!step)
			return false;
		i += step;
	}
	return true;
}

int slice_cmp(struct slice a, struct slice b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int r = n ? memcmp(a.p, b.p, n) : 0;

	if (r)
		return r < 0 ? -1 : 1;
	return a.n == b.n ? 0 : a.n < b.n ? -1 : 1;
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	if (b < a)
		a = b;
	return c < a ? c : a;
}

unsigned slice_distance(struct slice a, struct slice b)
{
	unsigned row[SLICE_NEAR + 1];

	if (a.n > SLICE_NEAR || b.n > SLICE_NEAR)
		return UINT_MAX;
	for (unsigned j = 0; j <= b.n; j++)
		row[j] = j;
	for (unsigned i = 1; i <= a.n; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= b.n; j++) {
			unsigned up = row[j];

			row[j] = min3(up + 1, row[j - 1] + 1,
				      diagonal + (a.p[i - 1] != b.p[j - 1]));
			diagonal = up;
		}
	}
	return row[b.n];
}
