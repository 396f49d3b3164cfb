/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quarantine: which events are the same, and for how long one is kept out.
 */
#include <criterion/criterion.h>

#include "broker/quarantine.h"
#include "broker/run.h"
#include "proto/pack.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND };

struct made {
	const char *id, *path, *address, *date;
	const char *header; /* name of the one beside; default "x" */
	bool map;	    /* headers as a map */
	int64_t timestamp;
};

static void pack_header(struct buf *b, const struct made *e, const char *name,
			const char *value)
{
	if (!e->map)
		pack_array(b, 2);
	pack_cstr(b, name);
	pack_cstr(b, value);
}

static void pack_request(struct buf *b, const struct made *e)
{
	pack_cstr(b, "req");
	pack_map(b, 1u + (e->address != NULL) + (e->date != NULL));
	pack_cstr(b, "path");
	pack_cstr(b, e->path);
	if (e->address) {
		pack_cstr(b, "remote_addr");
		pack_cstr(b, e->address);
	}
	if (!e->date)
		return;
	pack_cstr(b, "headers");
	if (e->map)
		pack_map(b, 2);
	else
		pack_array(b, 2);
	pack_header(b, e, "Date", e->date);
	pack_header(b, e, e->header ? e->header : "x", "1");
}

static uint64_t print_of(enum hook hook, const struct buf *event,
			 const char *ops)
{
	struct run run = {
		.hook = hook, .event = buf_slice(event), .ops = slice_str(ops)};

	return quarantine_print(&run);
}

static uint64_t print(struct made e)
{
	struct buf b = {0};
	uint64_t h;

	pack_map(&b, 2);
	pack_cstr(&b, "id");
	pack_cstr(&b, e.id ? e.id : "1");
	pack_request(&b, &e);
	h = print_of(HOOK_BEFORE_REQUEST, &b, "");
	buf_fini(&b);
	return h;
}

#define PRINT(...) print((struct made){__VA_ARGS__})

Test(quarantine, the_same_with_another_id_and_address)
{
	uint64_t h = PRINT(.path = "/a");

	cr_assert_neq(h, 0);
	cr_assert_eq(PRINT(.path = "/a", .id = "2"), h);
	cr_assert_eq(PRINT(.path = "/a", .address = "127.0.0.1:5"), h);
	cr_assert_neq(PRINT(.path = "/b"), h);
}

Test(quarantine, the_date_does_not_count)
{
	for (int map = 0; map < 2; map++) {
		uint64_t h = PRINT(.path = "/", .date = "Mon", .map = map);

		cr_assert_eq(PRINT(.path = "/", .date = "Tue", .map = map), h);
		cr_assert_neq(PRINT(.path = "/", .date = "Mon", .map = map,
				    .header = "y"),
			      h);
	}
}

Test(quarantine, hook_and_ops_count)
{
	struct buf b = {0};
	uint64_t h;

	pack_map(&b, 1);
	pack_request(&b, &(struct made){.path = "/"});
	h = print_of(HOOK_BEFORE_REQUEST, &b, "");
	cr_assert_neq(print_of(HOOK_AFTER_REQUEST, &b, ""), h);
	cr_assert_neq(print_of(HOOK_BEFORE_REQUEST, &b, "x"), h);
	cr_assert_eq(print_of(HOOK_BEFORE_REQUEST, &b, ""), h);
	buf_fini(&b);
}

static uint64_t print_ws(int64_t timestamp, const char *data)
{
	struct buf b = {0};
	uint64_t h;

	pack_map(&b, 1);
	pack_cstr(&b, "ws");
	pack_map(&b, 2);
	pack_cstr(&b, "timestamp");
	pack_int(&b, timestamp);
	pack_cstr(&b, "data");
	pack_cstr(&b, data);
	h = print_of(HOOK_WS_MSG, &b, "");
	buf_fini(&b);
	return h;
}

Test(quarantine, a_message_is_the_same_at_another_time)
{
	cr_assert_eq(print_ws(1, "a"), print_ws(2, "a"));
	cr_assert_neq(print_ws(1, "a"), print_ws(1, "b"));
}

/* {id, req: {remote_addr}}: which one of many it is, nobody knows. */
Test(quarantine, nothing_of_its_own)
{
	struct buf b = {0};

	pack_map(&b, 2);
	pack_cstr(&b, "id");
	pack_cstr(&b, "1");
	pack_cstr(&b, "req");
	pack_map(&b, 1);
	pack_cstr(&b, "remote_addr");
	pack_cstr(&b, "127.0.0.1:1");
	cr_assert_eq(print_of(HOOK_CONNECT, &b, ""), 0);
	buf_clear(&b);
	pack_map(&b, 1);
	pack_cstr(&b, "id"); /* and nothing behind it */
	cr_assert_eq(print_of(HOOK_CONNECT, &b, ""), 0);
	buf_fini(&b);
}

static uint64_t print_mqtt(const char *client, int port, const char *topic)
{
	struct buf b = {0};
	uint64_t h;

	pack_map(&b, 3);
	pack_cstr(&b, "client_id");
	pack_cstr(&b, client);
	pack_cstr(&b, "port");
	pack_int(&b, port);
	pack_cstr(&b, "topic");
	pack_cstr(&b, topic);
	h = print_of(HOOK_AUTH_ON_PUBLISH, &b, "");
	buf_fini(&b);
	return h;
}

Test(quarantine, mqtt)
{
	uint64_t h = print_mqtt("c", 1, "t");

	cr_assert_eq(print_mqtt("c", 2, "t"), h);
	cr_assert_neq(print_mqtt("d", 1, "t"), h);
	cr_assert_neq(print_mqtt("c", 1, "u"), h);
}

/* ---- for how long ------------------------------------------------------ */

static struct quarantine q;

static struct run run_of(struct buf *b, const char *path)
{
	buf_clear(b);
	pack_map(b, 1);
	pack_request(b, &(struct made){.path = path});
	return (struct run){.hook = HOOK_BEFORE_REQUEST, .event = buf_slice(b)};
}

static unsigned strike(const char *path, uint64_t at)
{
	struct buf b = {0};
	struct run run = run_of(&b, path);
	unsigned seconds = quarantine_strike(&q, &run, "s", at);

	buf_fini(&b);
	return seconds;
}

static bool holds(const char *path, uint64_t at)
{
	struct buf b = {0};
	struct run run = run_of(&b, path);
	char why[QUARANTINE_WHY];
	bool held = quarantine_holds(&q, &run, at, why);

	buf_fini(&b);
	return held;
}

static void fini(void)
{
	quarantine_fini(&q);
}

Test(quarantine, twice_in_a_minute, .fini = fini)
{
	cr_assert_eq(strike("/", 5), 0);
	cr_assert(!holds("/", 6));
	cr_assert_eq(strike("/", 5 + MINUTE), 60);
	cr_assert(holds("/", 6 + MINUTE) && !holds("/other", 6 + MINUTE));
	cr_assert(holds("/", 4 + 2 * MINUTE) && !holds("/", 5 + 2 * MINUTE));
}

Test(quarantine, slower_than_that_is_nothing, .fini = fini)
{
	for (uint64_t i = 1; i < 100; i++)
		cr_assert_eq(strike("/", i * (MINUTE + 1)), 0);
}

Test(quarantine, each_counts_on_its_own, .fini = fini)
{
	cr_assert_eq(strike("/a", 1), 0);
	cr_assert_eq(strike("/b", 2), 0);
	cr_assert_eq(strike("/b", 3), 60);
	cr_assert(!holds("/a", 4) && holds("/b", 4));
}

Test(quarantine, it_doubles_up_to_ten_minutes, .fini = fini)
{
	static const unsigned minutes[] = {1, 2, 4, 8, 10, 10};
	uint64_t now = 1;

	cr_assert_eq(strike("/", now), 0);
	for (size_t i = 0; i < 6; i++) {
		cr_assert_eq(strike("/", now), minutes[i] * 60);
		now += minutes[i] * MINUTE;
		cr_assert(holds("/", now - 1) && !holds("/", now));
	}
	/* Ten quiet minutes, and it is as if it had never been. */
	now += 10 * MINUTE;
	cr_assert_eq(strike("/", now), 0);
	cr_assert_eq(strike("/", now + 1), 60);
}

Test(quarantine, who_had_begun_before_makes_it_no_longer, .fini = fini)
{
	(void)strike("/", 1);
	cr_assert_eq(strike("/", 2), 60);
	cr_assert_eq(strike("/", 3), 0);
	cr_assert(!holds("/", 2 + MINUTE));
	cr_assert_eq(strike("/", 2 + MINUTE), 120);
}

Test(quarantine, it_is_bounded, .fini = fini)
{
	char path[32];

	(void)strike("/first", 1);
	(void)strike("/first", 1);
	for (int i = 0; i < QUARANTINE_EVENTS; i++) {
		cr_assert(holds("/first", 2));
		snprintf(path, sizeof(path), "/%d", i);
		(void)strike(path, 2);
	}
	cr_assert(!holds("/first", 2));
	cr_assert_eq(q.by_print.n, (size_t)QUARANTINE_EVENTS);
}

Test(quarantine, why)
{
	struct buf b = {0};
	struct run run = run_of(&b, "/");
	char why[QUARANTINE_WHY];

	(void)strike("/", 1);
	(void)strike("/", 1);
	cr_assert(quarantine_holds(&q, &run, 2, why));
	cr_assert_str_eq(why, "quarantined: it has ended 2 workers of this "
			      "script");
	buf_fini(&b);
	fini();
}
