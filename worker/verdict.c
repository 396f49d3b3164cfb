/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verdict: see verdict.h. What modifiers there are, and what they may be, is
 * in proto/mods.c.
 */
#include "worker/verdict.h"

#include "proto/mods.h"
#include "worker/convert.h"
#include "worker/lib.h"

/* What a run's answer may come to; so it does no harm if an error leaves this
 * maximum behind. */
enum { MAX_MODS = PROTO_MAX_INTERNAL - (64 << 10) };

static const char *refusal(enum hook hook)
{
	switch (hook) {
	case HOOK_AUTH_ON_REGISTER:
	case HOOK_AUTH_ON_REGISTER_M5:
	case HOOK_ON_AUTH_M5:
		return "invalid_credentials";
	case HOOK_AUTH_ON_PUBLISH:
	case HOOK_AUTH_ON_PUBLISH_M5:
	case HOOK_AUTH_ON_SUBSCRIBE:
	case HOOK_AUTH_ON_SUBSCRIBE_M5:
		return "not_authorized";
	default:
		return "lua_script_returned_false";
	}
}

static void say(struct lane *l, enum verdict verdict, const char *reason,
		struct slice mods)
{
	struct verdict_view v = {.verdict = verdict, .mods = mods};

	if (reason)
		v.reason = slice_str(reason);
	verdict_pack(&l->verdict, &v);
}

static void say_invalid(struct lane *l, const char *why)
{
	struct buf line = {0};

	buf_addf(&line, "%s: invalid_modifiers: %s", hook_table[l->hook].name,
		 why);
	log_text(l, LOG_WARN, buf_slice(&line));
	buf_fini(&line);
	say(l, VERDICT_DENY, "invalid_modifiers", (struct slice){0});
}

static void take_mods(lua_State *L, struct lane *l, int index)
{
	struct buf mods = {0}, why = {0};
	const char *bad;

	buf_clear(&l->out);
	l->out.max = MAX_MODS;
	bad = convert_pack_exact(L, index, &l->out);
	l->out.max = 0;
	if (bad) {
		say_invalid(l, bad);
		return;
	}
	/* No Lua from here on: nothing raises. */
	if (mods_clean(l->hook, buf_slice(&l->out), &mods, &why) < 0) {
		buf_add_byte(&why, '\0');
		say_invalid(l, (const char *)why.p);
	} else {
		say(l, VERDICT_OK, NULL, buf_slice(&mods));
	}
	buf_fini(&mods);
	buf_fini(&why);
}

void verdict_take(lua_State *L, int index)
{
	struct lane *l = lane_of(L);

	buf_clear(&l->verdict);
	if (!hook_table[l->hook].decide)
		return;
	if (lua_istable(L, index))
		take_mods(L, l, index);
	else if (lua_isboolean(L, index) && lua_toboolean(L, index))
		say(l, VERDICT_OK, NULL, (struct slice){0});
	else if (lua_isboolean(L, index))
		say(l, VERDICT_DENY, refusal(l->hook), (struct slice){0});
}
