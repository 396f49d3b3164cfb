/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_effects: what a worker sends as the effects of a run. Whatever passes
 * the walk must be within the limits, and reading it effect by effect must
 * agree with it.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "broker/effects.h"
#include "broker/name.h"
#include "proto/proto.h"
#include "proto/scan.h"

enum { MAX = 8 }; /* few, so that inputs of some bytes have more */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(const struct effect_view *e)
{
	must(e->effect < EFFECT_COUNT);
	must(e->name.n <= PROTO_MAX_KEY);
	if (e->effect >= EFFECT_ARTIFACT_WRITE)
		must(name_ok(e->name));
	if (e->effect == EFFECT_ARTIFACT_RENAME)
		must(name_ok(e->value));
	if (e->effect == EFFECT_BUS_EMIT)
		must(scan_whole(e->value, e->value.n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1); /* of the exact size */
	struct slice seq = slice_of(copy, size);
	struct effects_walk walk = {.seq = seq, .max = MAX};
	struct effect_view e;
	uint32_t read = 0;
	size_t at = 0;
	int whole, r;

	must(copy);
	memcpy(copy, data, size);
	while ((whole = effects_walk(&walk, &e)) > 0)
		must(walk.n <= MAX);
	must(whole == OK || whole == ERR_FORMAT);
	while ((r = effects_next(seq, &at, &e)) > 0) {
		must(at <= size);
		look(&e);
		read++;
	}
	must(r == 0 || r == ERR_FORMAT);
	if (whole == OK)
		must(r == 0 && at == size && read == walk.n);
	else
		must(r < 0 || read > MAX);
	free(copy);
	return 0;
}
