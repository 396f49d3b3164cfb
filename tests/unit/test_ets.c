/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables: what each type keeps, all or nothing, bounds, and whose they are.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/ets.h"
#include "tests/unit/json_value.h"
#include "proto/pack.h"

static struct ets *ets;

static void setup(void)
{
	cr_assert_eq(ets_new(64 << 10, &ets), OK);
}

static void teardown(void)
{
	ets_free(ets);
}

TestSuite(ets, .init = setup, .fini = teardown);

static struct ets_counts count(void)
{
	struct ets_counts c;

	ets_count(ets, &c);
	return c;
}

static void ensure(const char *name, enum ets_type type)
{
	cr_assert_eq(ets_ensure(ets, slice_str(name), type, slice_str("s")),
		     OK);
}

static int insert(const char *name, const char *map)
{
	return ets_insert(ets, slice_str(name), packed(map));
}

static int insert_new(const char *name, const char *map)
{
	return ets_insert_new(ets, slice_str(name), packed(map));
}

static const char *lookup(const char *name, const char *key)
{
	struct buf out = {0};
	const char *text;

	cr_assert_eq(ets_lookup(ets, slice_str(name), slice_str(key), &out),
		     OK);
	text = json(buf_slice(&out));
	buf_fini(&out);
	return text;
}

Test(ets, types)
{
	cr_assert_eq(ets_type_parse(slice_str("set")), ETS_SET);
	cr_assert_eq(ets_type_parse(slice_str("ordered_set")), ETS_ORDERED_SET);
	cr_assert_eq(ets_type_parse(slice_str("bag")), ETS_BAG);
	cr_assert_eq(ets_type_parse(slice_str("duplicate_bag")),
		     ETS_DUPLICATE_BAG);
	cr_assert_eq(ets_type_parse(slice_str("sets")), ETS_TYPES);
	cr_assert_eq(ets_type_parse((struct slice){0}), ETS_TYPES);
}

Test(ets, set)
{
	ensure("t", ETS_SET);
	cr_assert_str_eq(lookup("t", "k"), "[]");
	cr_assert_eq(insert("t", "{'k':1,'l':'two'}"), OK);
	cr_assert_str_eq(lookup("t", "k"), "[1]");
	cr_assert_str_eq(lookup("t", "l"), "['two']");
	cr_assert_eq(insert("t", "{'k':{'a':[1,{'b':2}]}}"), OK);
	cr_assert_str_eq(lookup("t", "k"), "[{'a':[1,{'b':2}]}]");
	cr_assert_eq(count().values, 2);
	cr_assert_eq(ets_delete(ets, slice_str("t"), slice_str("k")), OK);
	cr_assert_eq(ets_delete(ets, slice_str("t"), slice_str("k")), OK);
	cr_assert_str_eq(lookup("t", "k"), "[]");
	cr_assert_str_eq(lookup("t", "l"), "['two']");
	cr_assert_eq(ets_delete_all(ets, slice_str("t")), OK);
	cr_assert_str_eq(lookup("t", "l"), "[]");
	cr_assert_eq(count().values, 0);
	cr_assert_eq(count().tables, 1);
}

Test(ets, ordered_set)
{
	ensure("t", ETS_ORDERED_SET);
	cr_assert_eq(insert("t", "{'k':1}"), OK);
	cr_assert_eq(insert("t", "{'k':2}"), OK);
	cr_assert_str_eq(lookup("t", "k"), "[2]");
}

Test(ets, bag)
{
	ensure("t", ETS_BAG);
	cr_assert_eq(insert("t", "{'k':1}"), OK);
	cr_assert_eq(insert("t", "{'k':2}"), OK);
	cr_assert_eq(insert("t", "{'k':1}"), OK);
	cr_assert_str_eq(lookup("t", "k"), "[1,2]");
	cr_assert_eq(ets_delete(ets, slice_str("t"), slice_str("k")), OK);
	cr_assert_eq(insert("t", "{'k':2}"), OK);
	cr_assert_str_eq(lookup("t", "k"), "[2]");
}

Test(ets, duplicate_bag)
{
	ensure("t", ETS_DUPLICATE_BAG);
	cr_assert_eq(insert("t", "{'k':1}"), OK);
	cr_assert_eq(insert("t", "{'k':2}"), OK);
	cr_assert_eq(insert("t", "{'k':1}"), OK);
	cr_assert_str_eq(lookup("t", "k"), "[1,2,1]");
}

Test(ets, insert_new_is_all_or_nothing)
{
	ensure("t", ETS_SET);
	cr_assert_eq(insert_new("t", "{'a':1,'b':2}"), 1);
	cr_assert_eq(insert_new("t", "{'c':3,'b':4}"), 0);
	cr_assert_str_eq(lookup("t", "c"), "[]");
	cr_assert_str_eq(lookup("t", "b"), "[2]");
	ensure("bag", ETS_BAG);
	cr_assert_eq(insert_new("bag", "{'a':1}"), 1);
	cr_assert_eq(insert_new("bag", "{'a':2}"), 0);
}

Test(ets, there_stays_what_was_there)
{
	ensure("t", ETS_SET);
	cr_assert_eq(insert("t", "{'k':1}"), OK);
	ensure("t", ETS_BAG);
	cr_assert_eq(insert("t", "{'k':2}"), OK);
	cr_assert_str_eq(lookup("t", "k"), "[2]");
	cr_assert_eq(count().tables, 1);
}

Test(ets, no_such_table)
{
	struct buf out = {0};
	struct slice name = slice_str("t"), key = slice_str("k");

	cr_assert_eq(insert("t", "{'k':1}"), ERR_ABSENT);
	cr_assert_eq(insert_new("t", "{'k':1}"), ERR_ABSENT);
	cr_assert_eq(ets_lookup(ets, name, key, &out), ERR_ABSENT);
	cr_assert_eq(ets_delete(ets, name, key), ERR_ABSENT);
	cr_assert_eq(ets_delete_all(ets, name), ERR_ABSENT);
	cr_assert_eq(out.n, 0);
}

Test(ets, refused)
{
	struct buf deep = {0}, wide = {0};
	char *name = calloc(1, 70000);

	ensure("t", ETS_SET);
	cr_assert_eq(insert("t", "{}"), ERR_TYPE);
	cr_assert_eq(insert("t", "[]"), ERR_TYPE);
	cr_assert_eq(insert("t", "[1,2]"), ERR_TYPE);
	cr_assert_eq(insert("t", "5"), ERR_TYPE);
	pack_map(&deep, 2); /* the second key is no text: nothing goes in */
	pack_cstr(&deep, "a");
	pack_uint(&deep, 1);
	pack_uint(&deep, 2);
	pack_uint(&deep, 3);
	cr_assert_eq(ets_insert(ets, slice_str("t"), buf_slice(&deep)),
		     ERR_TYPE);
	cr_assert_str_eq(lookup("t", "a"), "[]");
	buf_clear(&deep);
	pack_map(&deep, 1);
	pack_cstr(&deep, "k");
	for (int i = 0; i < ETS_DEPTH; i++)
		pack_array(&deep, 1);
	pack_uint(&deep, 1);
	cr_assert_eq(ets_insert(ets, slice_str("t"), buf_slice(&deep)), OK);
	deep.n--;
	pack_array(&deep, 0);
	cr_assert_eq(ets_insert(ets, slice_str("t"), buf_slice(&deep)),
		     ERR_RANGE);
	pack_map(&wide, 1);
	pack_bin(&wide, slice_of(name, ETS_KEY + 1));
	pack_nil(&wide);
	cr_assert_eq(ets_insert(ets, slice_str("t"), buf_slice(&wide)),
		     ERR_RANGE);
	cr_assert_eq(
		ets_ensure(ets, (struct slice){0}, ETS_SET, slice_str("s")),
		ERR_RANGE);
	cr_assert_eq(ets_ensure(ets, slice_of(name, ETS_NAME + 1), ETS_SET,
				slice_str("s")),
		     ERR_RANGE);
	buf_fini(&deep);
	buf_fini(&wide);
	free(name);
}

/* Bytes are bytes, and an empty key is one too. */
Test(ets, keys)
{
	struct buf map = {0}, out = {0};

	ensure("t", ETS_SET);
	pack_map(&map, 2);
	pack_bin(&map, slice_of("\0\xff", 2));
	pack_uint(&map, 1);
	pack_cstr(&map, "");
	pack_uint(&map, 2);
	cr_assert_eq(ets_insert(ets, slice_str("t"), buf_slice(&map)), OK);
	cr_assert_eq(
		ets_lookup(ets, slice_str("t"), slice_of("\0\xff", 2), &out),
		OK);
	cr_assert_str_eq(json(buf_slice(&out)), "[1]");
	cr_assert_str_eq(lookup("t", ""), "[2]");
	buf_fini(&map);
	buf_fini(&out);
}

Test(ets, bounded)
{
	char map[2048], value[1024];
	size_t n = 0, before;

	memset(value, 'x', sizeof(value));
	value[1000] = 0;
	ensure("t", ETS_DUPLICATE_BAG);
	snprintf(map, sizeof(map), "{'k':'%s','l':1}", value);
	while (insert("t", map) == OK) {
		n++;
		cr_assert(count().bytes <= count().max_bytes);
		json_reuse();
	}
	cr_assert(n > 40 && n < 64);
	before = count().bytes;
	cr_assert_eq(insert("t", map), ERR_FULL);
	cr_assert_eq(count().bytes, before);
	cr_assert_eq(insert("t", "{'s':1}"), OK); /* something small fits */
	cr_assert_eq(ets_delete_all(ets, slice_str("t")), OK);
	cr_assert_eq(insert("t", map), OK);
	for (n = 0; n < 10000; n++) {
		snprintf(map, sizeof(map), "t%zu", n);
		if (ets_ensure(ets, slice_str(map), ETS_SET, slice_str("s")) ==
		    ERR_FULL)
			break;
	}
	cr_assert(n > 10 && n < 1000);
}

Test(ets, too_much_to_look_up)
{
	uint8_t *bytes = calloc(9, 1 << 20);
	struct buf map = {0}, out = {0};
	struct ets *big = NULL;

	cr_assert_eq(ets_new(64 << 20, &big), OK);
	cr_assert_eq(ets_ensure(big, slice_str("t"), ETS_DUPLICATE_BAG,
				slice_str("s")),
		     OK);
	pack_map(&map, 1);
	pack_cstr(&map, "k");
	pack_bin(&map, slice_of(bytes, 9 << 20));
	free(bytes);
	cr_assert_eq(ets_insert(big, slice_str("t"), buf_slice(&map)), OK);
	cr_assert_eq(ets_lookup(big, slice_str("t"), slice_str("k"), &out), OK);
	buf_clear(&out);
	cr_assert_eq(ets_insert(big, slice_str("t"), buf_slice(&map)), OK);
	cr_assert_eq(ets_lookup(big, slice_str("t"), slice_str("k"), &out),
		     ERR_RANGE);
	buf_fini(&map);
	buf_fini(&out);
	ets_free(big);
}

/* A table goes with the script that made it, whoever wrote into it. */
Test(ets, forget)
{
	cr_assert_eq(ets_ensure(ets, slice_str("a"), ETS_SET, slice_str("s1")),
		     OK);
	cr_assert_eq(ets_ensure(ets, slice_str("b"), ETS_BAG, slice_str("s1")),
		     OK);
	cr_assert_eq(ets_ensure(ets, slice_str("c"), ETS_SET, slice_str("s2")),
		     OK);
	cr_assert_eq(ets_ensure(ets, slice_str("c"), ETS_SET, slice_str("s1")),
		     OK);
	cr_assert_eq(insert("a", "{'k':1}"), OK);
	cr_assert_eq(insert("b", "{'k':1}"), OK);
	cr_assert_eq(insert("c", "{'k':1}"), OK);
	ets_forget(ets, slice_str("s1"));
	cr_assert_eq(insert("a", "{'k':1}"), ERR_ABSENT);
	cr_assert_str_eq(lookup("c", "k"), "[1]");
	cr_assert_eq(count().tables, 1);
	ets_forget(ets, slice_str("s2"));
	cr_assert_eq(count().tables, 0);
	cr_assert_eq(count().bytes, 0);
}
