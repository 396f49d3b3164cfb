/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The auth cache: which of several entries answers, which one goes when a
 * session ends, expiry, bounds, and who is told of it.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/auth_cache.h"
#include "tests/unit/json_value.h"

static uv_loop_t loop;
static struct wheel wheel;
static struct auth_cache *cache;
static struct buf drops; /* "mountpoint/client " for each */

static void on_drop(void *arg, struct slice mountpoint, struct slice client_id)
{
	cr_assert_eq(arg, &drops);
	buf_add_slice(&drops, mountpoint);
	buf_add_byte(&drops, '/');
	buf_add_slice(&drops, client_id);
	buf_add_byte(&drops, ' ');
}

/* What was told since it was last asked. */
static const char *dropped(void)
{
	static char text[256];

	snprintf(text, sizeof(text), "%.*s", (int)drops.n,
		 drops.n ? (const char *)drops.p : "");
	buf_clear(&drops);
	return text;
}

static void open_with(struct auth_cache_options o)
{
	auth_cache_free(cache);
	o.on_drop = on_drop;
	o.arg = &drops;
	cr_assert_eq(auth_cache_new(&wheel, &o, &cache), OK);
}

static void setup(void)
{
	cr_assert_eq(uv_loop_init(&loop), 0);
	wheel_init(&wheel, &loop);
	open_with((struct auth_cache_options){0});
}

static void teardown(void)
{
	auth_cache_free(cache);
	cr_assert_eq(drops.n, 0); /* its end tells nobody */
	buf_fini(&drops);
	wheel_close(&wheel);
	uv_run(&loop, UV_RUN_DEFAULT);
	cr_assert_eq(uv_loop_close(&loop), 0);
}

TestSuite(auth_cache, .init = setup, .fini = teardown, .timeout = 60);

/* One rule: publishing to `topic` is allowed. */
static int insert_to(const char *mountpoint, const char *client_id,
		     const char *topic, uint64_t ttl_ms, bool session)
{
	char list[256];
	struct acl_source src = {
		.mountpoint = slice_str(mountpoint),
		.client_id = slice_str(client_id),
		.username = slice_str("user"),
		.ttl_ms = ttl_ms,
	};

	snprintf(list, sizeof(list), "[{'pattern':'%s'}]", topic);
	src.publish = packed(list);
	return auth_cache_insert(cache, &src, session, NULL, NULL, NULL);
}

static void insert(const char *client_id, const char *topic)
{
	cr_assert_eq(insert_to("", client_id, topic, 0, true), OK);
}

static const struct acl *find(const char *client_id)
{
	return auth_cache_find(cache, slice_str(""), slice_str(client_id),
			       true);
}

/* The topic that the client's newest entry allows, or "none". */
static const char *allows(const char *client_id)
{
	static const char *const topics[] = {"1", "2", "3", "4"};
	const struct acl *acl = find(client_id);
	struct slice mods;

	for (size_t i = 0; acl && i < 4; i++)
		if (acl_publish_match(acl, slice_str(topics[i]), 0, 0, false,
				      &mods) == 1)
			return topics[i];
	return "none";
}

static bool ended(const char *client_id)
{
	return auth_cache_remove_oldest(cache, slice_str(""),
					slice_str(client_id));
}

static struct auth_cache_counts count(void)
{
	struct auth_cache_counts counts;

	auth_cache_count(cache, &counts);
	return counts;
}

/* The wheel holds no reference: something else has to keep the loop. */
static void on_stop(uv_timer_t *t)
{
	uv_close((uv_handle_t *)t, NULL);
}

static void pass(uint64_t ms)
{
	uv_timer_t keep;

	uv_update_time(&loop);
	cr_assert_eq(uv_timer_init(&loop, &keep), 0);
	cr_assert_eq(uv_timer_start(&keep, on_stop, ms + 2 * WHEEL_GRAIN_MS, 0),
		     0);
	uv_run(&loop, UV_RUN_DEFAULT);
}

Test(auth_cache, newest_answers)
{
	cr_assert_eq(find("c"), NULL);
	insert("c", "1");
	cr_assert_str_eq(allows("c"), "1");
	insert("c", "2");
	insert("d", "4");
	cr_assert_str_eq(allows("c"), "2");
	cr_assert_str_eq(allows("d"), "4");
	cr_assert_eq(count().entries, 3);
	cr_assert_eq(count().clients, 2);
	cr_assert_eq(count().inserts, 3);
	cr_assert_eq(count().misses, 1);
	cr_assert_eq(count().hits, 3);
	cr_assert_str_eq(dropped(), "");
}

/* A session takes over: the new one is authorised before the old one ends. */
Test(auth_cache, the_end_of_a_session_takes_the_oldest)
{
	insert("c", "1");
	insert("c", "2");
	insert("c", "3");
	cr_assert(ended("c"));
	cr_assert_str_eq(allows("c"), "3");
	cr_assert(ended("c"));
	cr_assert_str_eq(allows("c"), "3");
	cr_assert_str_eq(dropped(), "");
	cr_assert(ended("c"));
	cr_assert_str_eq(allows("c"), "none");
	cr_assert_str_eq(dropped(), "/c ");
	cr_assert(!ended("c"));
	cr_assert_eq(count().entries, 0);
	cr_assert_eq(count().clients, 0);
	cr_assert_eq(count().bytes, 0);
}

Test(auth_cache, mountpoint_and_client_id_are_two_words)
{
	cr_assert_eq(insert_to("a", "bc", "1", 0, true), OK);
	cr_assert_eq(insert_to("ab", "c", "2", 0, true), OK);
	cr_assert_eq(insert_to("", "abc", "3", 0, true), OK);
	cr_assert_eq(count().clients, 3);
	cr_assert_eq(auth_cache_drop(cache, slice_str("ab"), slice_str("c")),
		     1);
	cr_assert_str_eq(dropped(), "ab/c ");
	cr_assert_neq(
		auth_cache_find(cache, slice_str("a"), slice_str("bc"), false),
		NULL);
	cr_assert_str_eq(allows("abc"), "3");
}

Test(auth_cache, expiry)
{
	cr_assert_eq(insert_to("", "c", "1", 20, true), OK);
	cr_assert_eq(insert_to("", "d", "2", 0, true), OK);
	cr_assert_str_eq(allows("c"), "1");
	pass(30);
	cr_assert_str_eq(dropped(), "/c ");
	cr_assert_str_eq(allows("c"), "none");
	cr_assert_str_eq(allows("d"), "2");
	cr_assert_eq(count().expired, 1);
}

Test(auth_cache, default_ttl)
{
	open_with((struct auth_cache_options){.ttl_ms = 20});
	insert("c", "1");
	cr_assert_eq(insert_to("", "d", "2", 60000, true), OK);
	cr_assert_eq(acl_ttl_ms(find("c")), 20);
	pass(30);
	cr_assert_str_eq(dropped(), "/c ");
	cr_assert_str_eq(allows("d"), "2");
}

/* An older entry belongs to another session: it never comes back. */
Test(auth_cache, an_older_entry_does_not_come_back)
{
	insert("c", "1");
	cr_assert_eq(insert_to("", "c", "2", 20, true), OK);
	pass(30);
	cr_assert_str_eq(dropped(), "/c ");
	cr_assert_str_eq(allows("c"), "none");
	cr_assert_eq(count().entries, 2);
	/* the older session ends, then the newer one */
	cr_assert(ended("c"));
	cr_assert(ended("c"));
	cr_assert(!ended("c"));
	cr_assert_str_eq(dropped(), "");
}

/* A session whose entry has expired gets one again: still one to end. */
Test(auth_cache, renewed)
{
	cr_assert_eq(insert_to("", "c", "1", 20, true), OK);
	pass(30);
	cr_assert_eq(insert_to("", "c", "2", 0, false), OK);
	cr_assert_str_eq(allows("c"), "2");
	cr_assert_eq(count().entries, 1);
	cr_assert(ended("c"));
	cr_assert_eq(count().entries, 0);
	cr_assert_str_eq(dropped(), "/c /c ");
}

Test(auth_cache, a_new_session_is_one_more)
{
	cr_assert_eq(insert_to("", "c", "1", 20, true), OK);
	pass(30);
	insert("c", "2");
	cr_assert_eq(count().entries, 2);
	cr_assert(ended("c")); /* the old session */
	cr_assert_str_eq(allows("c"), "2");
	cr_assert_str_eq(dropped(), "/c ");
}

/* While it stands, every insert adds one, whoever asks for it. */
Test(auth_cache, an_insert_adds)
{
	insert("c", "1");
	cr_assert_eq(insert_to("", "c", "2", 0, false), OK);
	cr_assert_eq(count().entries, 2);
	cr_assert_str_eq(allows("c"), "2");
}

Test(auth_cache, drop)
{
	insert("c", "1");
	insert("c", "2");
	insert("d", "1");
	cr_assert_eq(auth_cache_drop(cache, slice_str(""), slice_str("c")), 2);
	cr_assert_eq(auth_cache_drop(cache, slice_str(""), slice_str("c")), 0);
	cr_assert_str_eq(dropped(), "/c ");
	cr_assert_eq(auth_cache_drop_all(cache), 1);
	cr_assert_str_eq(dropped(), "");
	cr_assert_eq(count().entries, 0);
	cr_assert_eq(count().bytes, 0);
	insert("c", "3");
	cr_assert_str_eq(allows("c"), "3");
}

Test(auth_cache, the_oldest_make_room)
{
	open_with((struct auth_cache_options){.max_entries = 3});
	insert("a", "1");
	insert("b", "1");
	insert("b", "2");
	insert("c", "3");
	cr_assert_str_eq(dropped(), "/a ");
	insert("d", "4");
	cr_assert_str_eq(dropped(), ""); /* b has its newest one */
	cr_assert_str_eq(allows("b"), "2");
	insert("d", "4");
	cr_assert_str_eq(dropped(), "/b ");
	cr_assert_eq(count().entries, 3);
	cr_assert_eq(count().evicted, 3);
}

Test(auth_cache, bytes_are_bounded)
{
	open_with((struct auth_cache_options){.max_bytes = 4000});
	for (int i = 0; i < 100; i++) {
		char id[16];

		snprintf(id, sizeof(id), "c%d", i);
		insert(id, "1");
		cr_assert(count().bytes <= 4000);
		cr_assert_str_eq(allows(id), "1");
	}
	cr_assert(count().evicted > 50);
	cr_assert(count().entries > 2);
	dropped();
}

Test(auth_cache, refused)
{
	struct acl_source src = {.client_id = slice_str("c"),
				 .publish = packed("[5]")};
	struct buf list = {0};
	char *name = calloc(1, 65537);

	cr_assert_eq(auth_cache_insert(cache, &src, true, NULL, NULL, NULL),
		     ERR_TYPE);
	src.publish = (struct slice){0};
	src.client_id = slice_of(name, 65536);
	cr_assert_eq(auth_cache_insert(cache, &src, true, NULL, NULL, NULL),
		     ERR_RANGE);
	cr_assert_eq(auth_cache_find(cache, src.client_id, src.client_id, true),
		     NULL);
	src.client_id = slice_str("c");
	memset(name, 'x', 60000);
	name[60000] = 0;
	buf_addf(&list, "[{'pattern':'%s'}", name);
	for (int i = 0; i < 20; i++)
		buf_addf(&list, ",{'pattern':'%s'}", name);
	buf_addf(&list, "]");
	buf_add_byte(&list, 0);
	src.publish = packed((const char *)list.p);
	cr_assert_eq(auth_cache_insert(cache, &src, true, NULL, NULL, NULL),
		     ERR_RANGE);
	cr_assert_eq(count().entries, 0);
	cr_assert_eq(count().bytes, 0);
	buf_fini(&list);
	free(name);
}

struct seen {
	size_t n, stop;
	const char *ids;
	size_t entries;
	uint64_t left_ms;
};

static bool on_row(void *arg, const struct auth_cache_row *row)
{
	struct seen *s = arg;

	cr_assert_eq(acl_client_id(row->acl).p[0], s->ids[s->n]);
	s->entries += row->entries;
	s->left_ms = row->left_ms;
	return ++s->n < s->stop;
}

Test(auth_cache, rows)
{
	struct seen all = {.stop = 10, .ids = "bac"};
	struct seen two = {.stop = 2, .ids = "bac"};

	insert("b", "1");
	insert("a", "1");
	insert("b", "2");
	cr_assert_eq(insert_to("", "x", "1", 10, true), OK);
	cr_assert_eq(insert_to("", "c", "1", 60000, true), OK);
	pass(20);
	auth_cache_each(cache, on_row, &all);
	cr_assert_eq(all.n, 3);
	cr_assert_eq(all.entries, 4);
	cr_assert(all.left_ms > 50000 && all.left_ms < 60000);
	auth_cache_each(cache, on_row, &two);
	cr_assert_eq(two.n, 2);
	dropped();
}

Test(auth_cache, one_row)
{
	struct auth_cache_row row;

	insert("b", "1");
	insert("b", "2");
	cr_assert_eq(insert_to("", "x", "1", 10, true), OK);
	cr_assert_eq(insert_to("m", "b", "1", 60000, true), OK);
	pass(20);
	cr_assert(auth_cache_row(cache, slice_str(""), slice_str("b"), &row));
	cr_assert_eq(row.acl, find("b"));
	cr_assert_eq(row.entries, 2);
	cr_assert_eq(row.left_ms, 0);
	cr_assert(auth_cache_row(cache, slice_str("m"), slice_str("b"), &row));
	cr_assert(row.left_ms > 50000 && row.left_ms < 60000);
	cr_assert(!auth_cache_row(cache, slice_str(""), slice_str("x"), &row));
	cr_assert(!auth_cache_row(cache, slice_str(""), slice_str("y"), &row));
	dropped();
}

/* Many clients that come and go, in any order. */
Test(auth_cache, churn)
{
	open_with((struct auth_cache_options){.max_entries = 500});
	srand(1);
	for (int i = 0; i < 20000; i++) {
		char id[16];

		snprintf(id, sizeof(id), "c%d", rand() % 300);
		switch (rand() % 4) {
		case 0:
		case 1:
			cr_assert_eq(insert_to("", id, "1",
					       (uint64_t)(rand() % 3), true),
				     OK);
			break;
		case 2:
			ended(id);
			break;
		default:
			if (rand() % 10 == 0)
				auth_cache_drop(cache, slice_str(""),
						slice_str(id));
			else
				find(id);
		}
		if (i % 500 == 0)
			pass(2);
		buf_clear(&drops);
		json_reuse();
	}
	cr_assert(count().entries <= 500);
	auth_cache_drop_all(cache);
	cr_assert_eq(count().bytes, 0);
	cr_assert_eq(count().clients, 0);
}
