/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json: what the two flavours share: lib_json.c encodes as Go does, mq_json.c
 * as VerneMQ does; json_decode.c decodes for both.
 */
#ifndef PF_WORKER_JSON_H
#define PF_WORKER_JSON_H

#include "worker/vm.h"

/* Length of the well-formed UTF-8 sequence at p (not ASCII), or 0. */
size_t json_utf8_length(const uint8_t *p, size_t left);

/* The fewest decimal digits that read back as |x|, without trailing zeros:
 * d.ddd times ten to the power *exponent. How many. */
int json_digits(double x, char digits[24], int *exponent);

/* The keys of the table at `index`, sorted by their text; *n: how many there
 * are at most, and are. Pushes two values that keep them alive: below, the list
 * in which the key itself stands `at` some place, and the array. */
struct json_key {
	struct slice text;
	int at;
};
struct json_key *json_push_keys(lua_State *L, int index, size_t *n);

/* Call `encoder` on argument 1. What it raises becomes the results nil and a
 * message; but the stop stays an error. */
int json_protected(lua_State *L, lua_CFunction encoder);

/* The text at 1: one value, or nil and a message. */
struct json_flavour {
	bool exact;	  /* 1.0 is a float and 2^62 an integer; else what is
			   * whole and below 2^53 is an integer */
	const char *null; /* NULL: nil, which leaves a field out */
};
int json_decode_as(lua_State *L, const struct json_flavour *flavour);

#endif
