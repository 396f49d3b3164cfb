/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Mosquitto plugin's copies of the auth cache: what is asked about after a
 * connection was lost, and what is told then.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "clients/mosquitto/acls.c" /* the plugin is no library */
#include "tests/unit/json_value.h"

static struct acls acls;
static struct buf asked; /* words */
static int room;

static void setup(void)
{
	acls_init(&acls);
	room = 1 << 30;
}

static void teardown(void)
{
	acls_fini(&acls);
	buf_fini(&asked);
}

TestSuite(acls, .init = setup, .fini = teardown);

static void insert(const char *client_id, bool renews)
{
	struct buf text = {0};

	buf_addf(&text,
		 "{'mountpoint':'','client_id':'%s','username':'','ttl_ms':0,"
		 "'publish':[],'subscribe':[]}",
		 client_id);
	buf_add_byte(&text, 0);
	cr_assert_eq(
		acls_insert(&acls, packed((const char *)text.p), renews, 0), 0);
	buf_fini(&text);
	json_reuse();
}

static bool has(const char *client_id)
{
	return acls_find(&acls, slice_str(client_id), 0);
}

static enum acls_run end(const char *client_id)
{
	return acls_remove_oldest(&acls, slice_str(client_id));
}

static bool ask(void *arg, struct slice client_id, unsigned ended)
{
	cr_assert_eq(arg, &asked);
	if (room-- <= 0)
		return false;
	buf_addf(&asked, "%.*s", (int)client_id.n, (const char *)client_id.p);
	if (ended)
		buf_addf(&asked, ":%u", ended);
	buf_add_byte(&asked, ' ');
	return true;
}

static const char *asks(void)
{
	buf_clear(&asked);
	cr_assert_eq(acls_ask(&acls, ask, &asked), asked.n > 0);
	buf_add_byte(&asked, 0);
	return (const char *)asked.p;
}

static void answer(const char *client_id)
{
	insert(client_id, true);
}

static void drop(const char *client_id)
{
	acls_drop(&acls, slice_str(client_id));
}

Test(acls, the_first_connection_asks_nothing)
{
	acls_connected(&acls, false);
	insert("a", false);
	cr_assert_str_eq(asks(), "");
}

Test(acls, the_same_run_is_asked_once)
{
	insert("a", false);
	insert("b", false);
	insert("a", false);
	acls_connected(&acls, true);
	cr_assert_str_eq(asks(), "b a ");
	cr_assert(has("a") && has("b"), "they go on meanwhile");
	cr_assert_str_eq(asks(), "", "answers are awaited");
	answer("b");
	cr_assert_str_eq(asks(), "");
	drop("a");
	cr_assert_str_eq(asks(), "");
	cr_assert(!has("a") && has("b"));
	acls_connected(&acls, true);
	cr_assert_str_eq(asks(), "b ");
}

Test(acls, without_room_it_goes_on_later)
{
	insert("a", false);
	insert("b", false);
	insert("c", false);
	acls_connected(&acls, true);
	room = 0;
	cr_assert_str_eq(asks(), "");
	room = 2;
	cr_assert_str_eq(asks(), "a b ");
	room = 9;
	answer("a");
	cr_assert_eq(end("b"), ACLS_THIS);
	cr_assert_str_eq(asks(), "c ");
}

Test(acls, lost_again_it_begins_again)
{
	insert("a", false);
	insert("b", false);
	acls_connected(&acls, true);
	room = 1;
	cr_assert_str_eq(asks(), "a ");
	room = 9;
	acls_connected(&acls, true);
	cr_assert_str_eq(asks(), "b a ");
}

Test(acls, many_in_batches)
{
	char name[16];
	size_t n = 0;

	for (int i = 0; i < 3 * ACLS_ASK; i++) {
		snprintf(name, sizeof(name), "%d", i);
		insert(name, false);
	}
	acls_connected(&acls, true);
	for (int batch = 0; batch < 3; batch++) {
		room = 1 << 30;
		asks();
		cr_assert_eq((1 << 30) - room, ACLS_ASK);
		for (int i = 0; i < ACLS_ASK; i++, n++) {
			snprintf(name, sizeof(name), "%zu", n);
			n % 2 ? drop(name) : answer(name);
		}
	}
	cr_assert_str_eq(asks(), "");
	cr_assert_eq(acls.clients.n, 3 * ACLS_ASK / 2);
}

Test(acls, another_run_is_not_asked)
{
	insert("a", false);
	insert("b", false);
	insert("b", false);
	insert("c", false);
	acls_connected(&acls, true);
	room = 1;
	asks();
	room = 9;
	acls_connected(&acls, false);
	cr_assert_str_eq(asks(), "");
	acls_connected(&acls, true);
	cr_assert_str_eq(asks(), "");
	cr_assert(has("a") && has("b") && has("c"));
	/* but about what it has given */
	insert("b", false);
	acls_connected(&acls, true);
	cr_assert_str_eq(asks(), "b ");
	/* the ends of the others are not its business */
	cr_assert_eq(end("b"), ACLS_OTHER);
	cr_assert_eq(end("b"), ACLS_OTHER);
	cr_assert_eq(end("b"), ACLS_THIS);
	cr_assert_eq(end("b"), ACLS_NONE);
	cr_assert_eq(end("a"), ACLS_OTHER);
}

Test(acls, untold_ends_are_told_once)
{
	insert("a", false);
	insert("a", false);
	insert("b", false);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(end("a"), ACLS_THIS);
		acls_owe(&acls, slice_str("a"));
	}
	cr_assert_eq(end("b"), ACLS_THIS);
	acls_owe(&acls, slice_str("b"));
	cr_assert(!has("a") && !has("b"));
	cr_assert_eq(end("b"), ACLS_NONE);
	insert("b", false); /* here again before it could be told */
	acls_connected(&acls, true);
	cr_assert_str_eq(asks(), "a:2 b:1 ");
	cr_assert(!has("a") && has("b"));
	drop("a");
	answer("b");
	acls_connected(&acls, true);
	cr_assert_str_eq(asks(), "b ");
	cr_assert_eq(acls.clients.n, 1);
}

Test(acls, another_run_is_not_told)
{
	insert("a", false);
	insert("b", false);
	insert("b", false);
	cr_assert_eq(end("a"), ACLS_THIS);
	cr_assert_eq(end("b"), ACLS_THIS);
	acls_owe(&acls, slice_str("a"));
	acls_owe(&acls, slice_str("b"));
	acls_connected(&acls, false);
	cr_assert(!has("a") && has("b"));
	cr_assert_eq(acls.clients.n, 1);
	acls_connected(&acls, true);
	cr_assert_str_eq(asks(), "");
}

Test(acls, all_go)
{
	insert("a", false);
	insert("b", false);
	acls_connected(&acls, true);
	room = 1;
	asks();
	acls_fini(&acls);
	room = 9;
	cr_assert_str_eq(asks(), "");
	insert("a", true);
	cr_assert(has("a"));
	acls_connected(&acls, true);
	cr_assert_str_eq(asks(), "a ");
}
