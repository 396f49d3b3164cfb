/* SPDX-License-Identifier: Apache-2.0 */
/* blake2: the vectors of RFC 7693, and lengths around a block. */
#include <criterion/criterion.h>

#include <stdio.h>

#include "worker/blake2.h"

static void expect_bytes(const uint8_t *got, const char *hex, size_t n)
{
	char text[2 * BLAKE2B_BYTES + 1];

	for (size_t i = 0; i < n; i++)
		snprintf(text + 2 * i, 3, "%02x", got[i]);
	cr_expect_str_eq(text, hex);
}

Test(blake2, b)
{
	uint8_t out[BLAKE2B_BYTES];

	blake2b(slice_str("abc"), out);
	expect_bytes(out,
		     "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6f"
		     "dbffa2d17d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925a"
		     "b92386edd4009923",
		     sizeof(out));
	blake2b(slice_of("", 0), out);
	expect_bytes(out,
		     "786a02f742015903c6c6fd852552d272912f4740e15847618a86e217"
		     "f71f5419d25e1031afee585313896444934eb04b903a685b1448b755"
		     "d56f701afe9be2ce",
		     sizeof(out));
}

Test(blake2, s)
{
	uint8_t out[BLAKE2S_BYTES];

	blake2s(slice_str("abc"), out);
	expect_bytes(out,
		     "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c"
		     "86675982",
		     sizeof(out));
	blake2s(slice_of("", 0), out);
	expect_bytes(out,
		     "69217a3079908094e11121d042354a7c1f55b6482ca1a51e1b250dfd"
		     "1ed0eef9",
		     sizeof(out));
}

/* The digest of the digests of 0 to 299 bytes, made with another program. */
Test(blake2, every_length)
{
	static uint8_t data[300], b[300][BLAKE2B_BYTES], s[300][BLAKE2S_BYTES],
		out[BLAKE2B_BYTES];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	for (size_t n = 0; n < sizeof(data); n++) {
		blake2b(slice_of(data, n), b[n]);
		blake2s(slice_of(data, n), s[n]);
	}
	blake2b(slice_of(b, sizeof(b)), out);
	expect_bytes(out,
		     "10bf9c07a848dee4d8da6400d568f26eba9b414882c5f7e4a46ebf82"
		     "ccbb47fa5e16cc42fc2a62465a6e08c5007ef9d0f7b023732ca77ff7"
		     "7798441169160f1a",
		     BLAKE2B_BYTES);
	blake2s(slice_of(s, sizeof(s)), out);
	expect_bytes(out,
		     "7a6570e94404b612eb8494eebe8cbe16c073edcdecd8b3bd8e1d7c46"
		     "e9a4e180",
		     BLAKE2S_BYTES);
}
