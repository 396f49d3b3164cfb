/* SPDX-License-Identifier: Apache-2.0 */
/* The effects of a run, as the worker keeps them. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

#include "proto/proto.h"
#include "proto/unpack.h"
#include "worker/effects.h"

static struct slice s(const char *text)
{
	return slice_str(text);
}

Test(run_effects, a_later_write_of_a_key_takes_the_place_of_the_first)
{
	struct effects e = {0};
	const struct effect *one;

	cr_assert_eq(effects_kv_set(&e, s("k"), s("long value"), 5), OK);
	cr_assert_eq(effects_kv_set(&e, s("other"), s("x"), 0), OK);
	cr_assert_eq(effects_kv_set(&e, s("k"), s("v"), 0), OK);
	cr_assert_eq(effects_count(&e), 2);
	one = effects_kv_find(&e, s("k"));
	cr_assert(slice_is(effect_value(&e, one), "v") && one->number == 0);
	cr_assert_eq(effects_kv_set(&e, s("k"), s("a longer value"), 7), OK);
	one = effects_kv_find(&e, s("k"));
	cr_assert(slice_is(effect_value(&e, one), "a longer value"));
	cr_assert(slice_is(effect_value(&e, effects_kv_find(&e, s("other"))),
			   "x"));
	cr_assert_eq(effects_kv_delete(&e, s("k")), OK);
	cr_assert_eq(effects_kv_find(&e, s("k"))->kind, EFFECT_KV_DELETE);
	cr_assert_eq(effects_count(&e), 2);
	cr_assert_null(effects_kv_find(&e, s("none")));
	effects_clear(&e);
	cr_assert_eq(effects_count(&e), 0);
	cr_assert_null(effects_kv_find(&e, s("k")));
	effects_fini(&e);
}

Test(run_effects, limits)
{
	struct effects e = {0};
	struct slice big = {0};
	char key[16];

	for (int i = 0; i < PROTO_MAX_EFFECTS; i++) {
		int n = snprintf(key, sizeof(key), "%d", i);

		cr_assert_eq(
			effects_kv_set(&e, slice_of(key, (size_t)n), s(""), 0),
			OK);
	}
	cr_assert_eq(effects_kv_set(&e, s("more"), s(""), 0), ERR_FULL);
	cr_assert_eq(effects_emit(&e, s("more"), s("\xc0")), ERR_FULL);
	cr_assert_eq(effects_kv_set(&e, s("7"), s("again"), 0), OK);
	effects_clear(&e);
	big = slice_of(calloc(1, PROTO_MAX_EFFECT_BYTES),
		       PROTO_MAX_EFFECT_BYTES);
	cr_assert_eq(effects_kv_set(&e, s("k"), big, 0), ERR_FULL);
	cr_assert_eq(effects_count(&e), 0);
	big.n--;
	cr_assert_eq(effects_kv_set(&e, s("k"), big, 0), OK);
	cr_assert_eq(effects_kv_set(&e, s("l"), s(""), 0), ERR_FULL);
	free((void *)(uintptr_t)big.p);
	effects_fini(&e);
}

static enum artifact_where look(const struct effects *e, const char *name,
				char *found, uint64_t *blob)
{
	struct buf scratch = {0};
	struct slice at = s(name);
	uint64_t size;
	enum artifact_where where =
		effects_artifact(e, &at, &scratch, blob, &size);

	memcpy(found, at.p, at.n);
	found[at.n] = '\0';
	buf_fini(&scratch);
	return where;
}

Test(run_effects, artifacts_are_found_through_renames)
{
	struct effects e = {0};
	char found[64];
	uint64_t blob;

	cr_assert_eq(look(&e, "a", found, &blob), ARTIFACT_BROKER);
	cr_assert_eq(effects_write(&e, s("d/x"), 9, 3), OK);
	cr_assert_eq(effects_rename(&e, s("d"), s("e")), OK);
	cr_assert_eq(look(&e, "e/x", found, &blob), ARTIFACT_HERE);
	cr_assert_eq(blob, 9);
	cr_assert_eq(look(&e, "d/x", found, &blob), ARTIFACT_GONE);
	cr_assert_eq(look(&e, "d", found, &blob), ARTIFACT_GONE);
	cr_assert_eq(look(&e, "e/y", found, &blob), ARTIFACT_BROKER);
	cr_assert_str_eq(found, "d/y");
	cr_assert_eq(look(&e, "ee", found, &blob), ARTIFACT_BROKER);
	cr_assert_str_eq(found, "ee");
	cr_assert_eq(effects_rename(&e, s("e"), s("f/g")), OK);
	cr_assert_eq(look(&e, "f/g/y", found, &blob), ARTIFACT_BROKER);
	cr_assert_str_eq(found, "d/y");
	cr_assert_eq(look(&e, "f/g/x", found, &blob), ARTIFACT_HERE);
	cr_assert_eq(effects_delete(&e, s("f/g/x")), OK);
	cr_assert_eq(look(&e, "f/g/x", found, &blob), ARTIFACT_GONE);
	cr_assert_eq(effects_write(&e, s("d"), 11, 0), OK);
	cr_assert_eq(look(&e, "d", found, &blob), ARTIFACT_HERE);
	cr_assert_eq(blob, 11);
	effects_fini(&e);
}

Test(run_effects, packed_one_behind_the_other)
{
	static const char *const names[] = {
		"kv.set",	  "kv.delete",	     "bus.emit",
		"artifact.write", "artifact.delete", "artifact.rename"};
	static const uint32_t sizes[] = {4, 2, 3, 4, 2, 3};
	struct effects e = {0};
	struct buf out = {0};
	struct cursor c;

	cr_assert_eq(effects_kv_set(&e, s("k"), s("v"), 1500), OK);
	cr_assert_eq(effects_kv_delete(&e, s("d")), OK);
	cr_assert_eq(effects_emit(&e, s("n"), s("\x91\x01")), OK);
	cr_assert_eq(effects_write(&e, s("a"), 3, 4), OK);
	cr_assert_eq(effects_delete(&e, s("b")), OK);
	cr_assert_eq(effects_rename(&e, s("a"), s("c")), OK);
	effects_pack(&e, &out);
	c = cursor_of(buf_slice(&out));
	for (size_t i = 0; i < 6; i++) {
		cr_assert_eq(cursor_array(&c), sizes[i]);
		cr_assert(slice_is(cursor_text(&c), names[i]));
		for (uint32_t j = 1; j < sizes[i]; j++)
			cursor_skip(&c);
	}
	cr_assert(!c.error && c.p == c.end);
	buf_fini(&out);
	effects_fini(&e);
}
