/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mods: the modifiers that an MQTT hook may answer with, and the verdict that
 * they travel in. Shared by the worker, which makes them of Lua tables, and
 * the broker, which believes no worker.
 *
 * A verdict is the MessagePack array [verdict, reason, mods]: an unsigned
 * number of enum verdict, a str or nil, a map or array (mods_check) or nil.
 */
#ifndef PF_PROTO_MODS_H
#define PF_PROTO_MODS_H

#include "lib/buf.h"
#include "proto/proto.h"

enum verdict {
	VERDICT_NEXT, /* no script has answered */
	VERDICT_OK,
	VERDICT_DENY,
	VERDICT_COUNT,
};

const char *verdict_name(enum verdict verdict); /* "next", "ok", "deny" */

/* A decoded verdict; slices point into its bytes, or are empty. */
struct verdict_view {
	enum verdict verdict;
	struct slice reason;
	struct slice mods; /* raw value */
};

void verdict_pack(struct buf *out, const struct verdict_view *v);

/*
 * ERR_FORMAT, ERR_TYPE: it is none, or its mods are not fit for the hook, or
 * it has mods where the hook allows none.
 */
int verdict_read(struct slice bytes, enum hook hook,
		 struct verdict_view *out) must_check;

/*
 * Are these (one raw MessagePack value) modifiers that `hook` may have: known
 * keys, the right types and ranges, topics without wildcards where a topic is
 * meant? ERR_TYPE, and `why` (may be NULL) gets one line that names the key:
 * "unknown modifier 'foo'", "modifier topic: 5 is no topic".
 */
int mods_check(enum hook hook, struct slice mods, struct buf *why) must_check;

/*
 * Modifiers as a worker sends them from a Lua value: `in` is any raw value.
 * Appends to `out` the same with floats rounded to integers where an integer
 * is due, an empty array as an empty map where a map is due (Lua has one empty
 * table), and nothing else changed; it is checked as mods_check() does. On an
 * error `out` is as it was.
 */
int mods_clean(enum hook hook, struct slice in, struct buf *out,
	       struct buf *why) must_check;

/*
 * MQTT 5: the properties of a publish after modifiers (both raw maps, or
 * empty): those of the modifier win, but user properties are merged: pairs of
 * the input whose key the modifier names are dropped, then its pairs follow.
 */
void mods_merge_properties(struct slice input, struct slice mods,
			   struct buf *out);

/*
 * Modifiers of auth_on_publish_m5 (a raw map, checked) with their properties,
 * if they have any, merged into those of the hook's table `event`.
 */
void mods_merge_publish(struct slice event, struct slice mods, struct buf *out);

#endif
