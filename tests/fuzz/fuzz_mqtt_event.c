/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any parameters of an MQTT hook: refused with a reason, or with a table that
 * is a map, a client_id, and a message with the ordering key behind it. The
 * same bytes as what a worker answers to a run of each hook.
 */
#include "broker/child_read.h"
#include "broker/client_mqtt.h"
#include "proto/mods.h"
#include "proto/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_params(struct slice params)
{
	struct rpc rpc = {.type = RPC_REQUEST, .params = params};
	struct buf key = {0};
	struct event_head head;
	struct slice table, id;
	struct cursor c;

	if (client_mqtt_read(&rpc, &head, &table, &key)) {
		must(key.n == 0 || buf_error(&key) == OK);
		buf_fini(&key);
		return;
	}
	c = cursor_of(table);
	must(cursor_peek(&c) == CURSOR_MAP);
	must(table.p >= params.p && table.p + table.n <= params.p + params.n);
	must(head.id.n > 0 && head.deadline_ms >= INT64_MIN);
	id = head.id;
	if (key.n) {
		must(key.n > id.n + 1);
		must(client_mqtt_join(&key, params, &head) == key.p);
		must(key.n > params.n + id.n);
		must(memcmp(key.p, params.p, params.n) == 0);
		must(head.id.p == key.p + params.n);
		must(memcmp(head.id.p + head.id.n - id.n, id.p, id.n) == 0);
	}
	buf_fini(&key);
}

static void check_answer(struct slice result)
{
	struct verdict_view v;

	for (int hook = 0; hook < HOOK_COUNT; hook++) {
		struct outcome out = {0};

		if (hook_table[hook].dialect != DIALECT_MQTT ||
		    child_read_result(result, (enum hook)hook, &out) < 0)
			continue;
		must(out.finish == (out.ops.n > 0));
		must(!out.finish || hook_table[hook].decide);
		if (out.finish) {
			must(verdict_read(out.ops, (enum hook)hook, &v) == OK);
			must(v.verdict != VERDICT_NEXT);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice bytes = slice_of(data, size);

	if (!scan_whole(bytes, 1 << 20))
		return 0;
	check_params(bytes);
	check_answer(bytes);
	return 0;
}
