/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blake2: see blake2.h. b works on words of 64 bits in 12 rounds, s on words
 * of 32 bits in 10; all else is one algorithm, so s computes in 64 bits too
 * and cuts. Start at blake2().
 */
#include "worker/blake2.h"

enum { WORDS = 16, MAX_BLOCK = 128 };

struct variant {
	unsigned word, rounds; /* bits; a block is 16 words */
	unsigned rotate[4];
	uint64_t iv[8];
};

static const struct variant b = {
	.word = 64,
	.rounds = 12,
	.rotate = {32, 24, 16, 63},
	.iv = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b,
	       0xa54ff53a5f1d36f1, 0x510e527fade682d1, 0x9b05688c2b3e6c1f,
	       0x1f83d9abfb41bd6b, 0x5be0cd19137e2179},
};

static const struct variant s = {
	.word = 32,
	.rounds = 10,
	.rotate = {16, 12, 8, 7},
	.iv = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
	       0x9b05688c, 0x1f83d9ab, 0x5be0cd19},
};

/* Which word of the block goes where in a round. */
static const uint8_t sigma[10][WORDS] = {
	{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
	{14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
	{11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
	{7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
	{9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
	{2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
	{12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
	{13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
	{6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
	{10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

/* The columns of a 4x4 square, then its diagonals. */
static const uint8_t lines[8][4] = {
	{0, 4, 8, 12},	{1, 5, 9, 13},	{2, 6, 10, 14}, {3, 7, 11, 15},
	{0, 5, 10, 15}, {1, 6, 11, 12}, {2, 7, 8, 13},	{3, 4, 9, 14},
};

static inline uint64_t cut(const struct variant *v, uint64_t x)
{
	return v->word == 64 ? x : x & 0xffffffff;
}

static inline uint64_t rotate(const struct variant *v, uint64_t x, unsigned n)
{
	return cut(v, x >> n | x << (v->word - n));
}

static inline void mix(const struct variant *v, uint64_t *w, const uint8_t *at,
		       const uint64_t *m)
{
	uint64_t *p = w + at[0], *q = w + at[1], *r = w + at[2], *t = w + at[3];

	for (int half = 0; half < 2; half++) {
		*p = cut(v, *p + *q + m[half]);
		*t = rotate(v, *t ^ *p, v->rotate[2 * half]);
		*r = cut(v, *r + *t);
		*q = rotate(v, *q ^ *r, v->rotate[2 * half + 1]);
	}
}

static inline void block(const struct variant *v, uint64_t h[8],
			 const uint8_t *p, uint64_t count, bool last)
{
	uint64_t m[WORDS] = {0}, w[WORDS], pair[2];
	unsigned bytes = v->word / 8;

	for (unsigned i = 0; i < WORDS * bytes; i++)
		m[i / bytes] |= (uint64_t)p[i] << i % bytes * 8;
	for (unsigned i = 0; i < 8; i++) {
		w[i] = h[i];
		w[i + 8] = v->iv[i];
	}
	w[12] ^= cut(v, count);
	if (v->word == 32)
		w[13] ^= count >> 32;
	if (last)
		w[14] ^= cut(v, UINT64_MAX);
	for (unsigned r = 0; r < v->rounds; r++)
		for (unsigned i = 0; i < 8; i++) {
			pair[0] = m[sigma[r % 10][2 * i]];
			pair[1] = m[sigma[r % 10][2 * i + 1]];
			mix(v, w, lines[i], pair);
		}
	for (unsigned i = 0; i < 8; i++)
		h[i] ^= w[i] ^ w[i + 8];
}

static inline void blake2(const struct variant *v, struct slice data,
			  uint8_t *out)
{
	unsigned bytes = v->word / 8, size = WORDS * bytes;
	uint8_t end[MAX_BLOCK] = {0};
	uint64_t h[8];
	size_t at = 0;

	memcpy(h, v->iv, sizeof(h));
	h[0] ^= 0x01010000 ^ (8 * bytes);
	for (; data.n - at > size; at += size)
		block(v, h, data.p + at, at + size, false);
	if (data.n)
		memcpy(end, data.p + at, data.n - at);
	block(v, h, end, data.n, true);
	for (unsigned i = 0; i < 8 * bytes; i++)
		out[i] = (uint8_t)(h[i / bytes] >> i % bytes * 8);
}

void blake2b(struct slice data, uint8_t out[BLAKE2B_BYTES])
{
	blake2(&b, data, out);
}

void blake2s(struct slice data, uint8_t out[BLAKE2S_BYTES])
{
	blake2(&s, data, out);
}
