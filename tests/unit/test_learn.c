/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Learned grants: they cover all that was noted, say no more than they must
 * while there is little, and stay small whatever is noted.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "broker/learn.h"
#include "lib/buf.h"

static void note(struct learn *l, const char *name)
{
	learn_note(l, GRANT_KV_READ, slice_str(name));
}

static bool covered(const struct learn *l, struct slice name)
{
	for (size_t i = 0; i < l->list[GRANT_KV_READ].n; i++)
		if (slice_starts(name, learn_at(l, GRANT_KV_READ, i)))
			return true;
	return false;
}

static bool has(const struct learn *l, const char *prefix)
{
	for (size_t i = 0; i < l->list[GRANT_KV_READ].n; i++)
		if (slice_is(learn_at(l, GRANT_KV_READ, i), prefix))
			return true;
	return false;
}

static size_t count(const struct learn *l)
{
	return l->list[GRANT_KV_READ].n;
}

Test(learn, a_few_names_are_kept_as_they_are)
{
	struct learn l = {0};

	note(&l, "limit");
	note(&l, "user:1");
	note(&l, "user:2");
	note(&l, "limit");
	cr_assert_eq(count(&l), 3);
	cr_assert(has(&l, "limit") && has(&l, "user:1") && has(&l, "user:2"));
	cr_assert(!covered(&l, slice_str("user:3")));
	cr_assert_eq(l.list[GRANT_KV_WRITE].n, 0);
	learn_fini(&l);
}

Test(learn, what_is_listed_takes_the_place_of_what_is_below_it)
{
	struct learn l = {0};

	note(&l, "user:1");
	note(&l, "user:");
	note(&l, "user:2");
	cr_assert_eq(count(&l), 1);
	cr_assert(has(&l, "user:"));
	note(&l, "");
	cr_assert_eq(count(&l), 1);
	cr_assert(has(&l, ""));
	learn_fini(&l);
}

Test(learn, many_of_one_stem_become_the_stem)
{
	struct learn l = {0};
	char name[64];

	note(&l, "limit");
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "user:%d:name", i);
		note(&l, name);
		snprintf(name, sizeof(name), "hits%d", i);
		note(&l, name);
	}
	cr_assert_eq(count(&l), 3);
	cr_assert(has(&l, "limit") && has(&l, "user:") && has(&l, "hits"));
	learn_fini(&l);
}

Test(learn, it_stays_small_and_covers_everything)
{
	struct learn l = {0};
	uint8_t names[3000][300];
	unsigned seed = 1;

	for (size_t i = 0; i < 3000; i++) {
		for (size_t k = 0; k < 300; k++) {
			seed = seed * 1103515245u + 12345u;
			names[i][k] = (uint8_t)(seed >> 16);
		}
		learn_note(&l, GRANT_KV_READ, slice_of(names[i], 1 + i % 300));
		cr_assert_leq(count(&l), LEARN_NAMES);
	}
	for (size_t i = 0; i < 3000; i++)
		cr_assert(covered(&l, slice_of(names[i], 1 + i % 300)));
	learn_fini(&l);
}

Test(learn, no_prefix_ends_within_a_character)
{
	struct learn l = {0};
	char name[LEARN_BYTES + 8];

	memset(name, 'x', sizeof(name));
	memcpy(name + LEARN_BYTES - 1, "\xc3\xa4", 3);
	note(&l, name);
	cr_assert_eq(learn_at(&l, GRANT_KV_READ, 0).n, LEARN_BYTES - 1);
	learn_fini(&l);
	for (int i = 0; i < LEARN_NAMES + 1; i++) {
		snprintf(name, sizeof(name), "%c\xc3%c", 'A' + i % 50,
			 0x80 + i % 64);
		note(&l, name);
	}
	for (size_t i = 0; i < count(&l); i++)
		cr_assert(slice_is_utf8(learn_at(&l, GRANT_KV_READ, i)));
	learn_fini(&l);
}
