/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base64: both directions; what is odd about the error offsets is told in
 * base64.h.
 */
#include "lib/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			       "abcdefghijklmnopqrstuvwxyz0123456789+/";

static void encode_group(const uint8_t *in, size_t n, char out[4])
{
	uint32_t bits = (uint32_t)in[0] << 16;

	if (n > 1)
		bits |= (uint32_t)in[1] << 8;
	if (n > 2)
		bits |= in[2];
	out[0] = alphabet[bits >> 18];
	out[1] = alphabet[bits >> 12 & 63];
	out[2] = n > 1 ? alphabet[bits >> 6 & 63] : '=';
	out[3] = n > 2 ? alphabet[bits & 63] : '=';
}

void base64_encode(struct slice in, char *out)
{
	for (size_t i = 0; i < in.n; i += 3, out += 4)
		encode_group(in.p + i, in.n - i, out);
}

static int value_of(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static size_t skip_ends(struct slice in, size_t i)
{
	while (i < in.n && (in.p[i] == '\n' || in.p[i] == '\r'))
		i++;
	return i;
}

/* The group's padding begins at i - 1, after `have` characters. The offset
 * that is wrong, or -1. */
static ptrdiff_t check_padding(struct slice in, size_t i, int have)
{
	if (have < 2)
		return (ptrdiff_t)i - 1;
	if (have == 2) {
		i = skip_ends(in, i);
		if (i == in.n)
			return (ptrdiff_t)in.n;
		if (in.p[i] != '=')
			return (ptrdiff_t)i - 1;
		i++;
	}
	i = skip_ends(in, i);
	return i < in.n ? (ptrdiff_t)i : -1;
}

ptrdiff_t base64_decode(struct slice in, uint8_t *out, ptrdiff_t *wrong)
{
	uint8_t *from = out;
	uint32_t bits = 0;
	int have = 0;
	size_t i = 0;

	while ((i = skip_ends(in, i)) < in.n) {
		int value = value_of(in.p[i++]);

		if (value < 0) {
			*wrong = in.p[i - 1] == '=' ? check_padding(in, i, have)
						    : (ptrdiff_t)i - 1;
			if (*wrong >= 0)
				return -1;
			*out++ = (uint8_t)(bits >> (have * 6 - 8));
			if (have == 3)
				*out++ = (uint8_t)(bits >> 2);
			return out - from;
		}
		bits = bits << 6 | (uint32_t)value;
		if (++have == 4) {
			*out++ = (uint8_t)(bits >> 16);
			*out++ = (uint8_t)(bits >> 8);
			*out++ = (uint8_t)bits;
			have = 0;
			bits = 0;
		}
	}
	*wrong = (ptrdiff_t)in.n - have;
	return have ? -1 : out - from;
}
