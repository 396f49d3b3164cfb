/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The map against a table that is searched from end to end: random puts,
 * replacements and deletions, so that the gaps that a deletion closes come in
 * all shapes.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/map.h"

enum { KEYS = 400, STEPS = 60000 };

struct item {
	char key[16];
	bool in;
	void *value;
};

static struct slice key_of(const struct item *item)
{
	return slice_str(item->key);
}

static void check_all(const struct map *m, const struct item *items, size_t n)
{
	size_t at = 0, seen = 0;
	void *value;

	cr_assert_eq(m->n, n);
	for (int i = 0; i < KEYS; i++)
		cr_assert_eq(map_get(m, key_of(&items[i])),
			     items[i].in ? items[i].value : NULL, "key %d", i);
	while ((value = map_next(m, &at))) {
		const struct item *item = &items[(uintptr_t)value % 1000];

		cr_assert(item->in && item->value == value);
		seen++;
	}
	cr_assert_eq(seen, n);
}

static void random_walk(unsigned seed, unsigned deletions)
{
	struct item items[KEYS] = {0};
	struct map m = {0};
	size_t n = 0;

	srandom(seed);
	for (int i = 0; i < KEYS; i++)
		snprintf(items[i].key, sizeof(items[i].key), "%x%s", i * 7919,
			 i % 3 ? "" : "-and-more");
	for (uintptr_t step = 1; step < STEPS; step++) {
		unsigned i = (unsigned)random() % KEYS;
		struct item *item = &items[i];

		if ((unsigned)random() % 100 < deletions) {
			cr_assert_eq(map_del(&m, key_of(item)),
				     item->in ? item->value : NULL);
			n -= item->in;
			item->in = false;
		} else {
			void *old = &m;

			void *value = (void *)(step * 1000 + i);

			cr_assert_eq(map_put(&m, key_of(item), value, &old),
				     OK);
			cr_assert_eq(old, item->in ? item->value : NULL);
			n += !item->in;
			item->in = true;
			item->value = value;
		}
		cr_assert_eq(m.n, n);
		if (step % 500 == 0)
			check_all(&m, items, n);
	}
	check_all(&m, items, n);
	for (int i = 0; i < KEYS; i++)
		cr_assert_eq(map_del(&m, key_of(&items[i])),
			     items[i].in ? items[i].value : NULL);
	cr_assert_eq(m.n, 0);
	map_fini(&m);
}

Test(map, as_a_plain_table_mostly_full)
{
	random_walk(1, 20);
}

Test(map, as_a_plain_table_half_full)
{
	random_walk(2, 50);
}

Test(map, as_a_plain_table_mostly_empty)
{
	random_walk(3, 80);
}

Test(map, empty)
{
	struct map m = {0};
	size_t at = 0;

	cr_assert_null(map_get(&m, slice_str("a")));
	cr_assert_null(map_del(&m, slice_str("a")));
	cr_assert_null(map_next(&m, &at));
	map_fini(&m);
}

Test(map, keys_are_bytes)
{
	static int a, b, c;
	struct map m = {0};

	cr_assert_eq(map_put(&m, slice_of("x\0y", 3), &a, NULL), OK);
	cr_assert_eq(map_put(&m, slice_of("x\0z", 3), &b, NULL), OK);
	cr_assert_eq(map_put(&m, slice_of(NULL, 0), &c, NULL), OK);
	cr_assert_eq(map_get(&m, slice_of("x\0y", 3)), &a);
	cr_assert_eq(map_get(&m, slice_of("x\0z", 3)), &b);
	cr_assert_eq(map_get(&m, slice_str("")), &c);
	cr_assert_null(map_get(&m, slice_str("x")));
	map_fini(&m);
}

Test(map, short_lived_keys_do_not_make_it_grow)
{
	struct map m = {0};
	static int value;
	char key[32];
	size_t cap = 0;

	for (int i = 0; i < 100000; i++) {
		snprintf(key, sizeof(key), "event-%d", i);
		cr_assert_eq(map_put(&m, slice_str(key), &value, NULL), OK);
		cr_assert_eq(map_del(&m, slice_str(key)), &value);
		cap = cap ? cap : m.cap;
		cr_assert_eq(m.cap, cap);
	}
	map_fini(&m);
}
