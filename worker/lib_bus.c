/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib_bus: bus.emit. The event is an effect: nobody sees it before the run has
 * ended well.
 */
#include "worker/convert.h"
#include "worker/lib.h"

static int bus_emit(lua_State *L)
{
	struct lane *l = lane_of(L);
	struct slice name = convert_text(L, 1);
	const char *why;

	lua_settop(L, 2);
	if (name.n > l->host->script->max_key) {
		lua_pushliteral(L, "too_large: the name of the event");
		return 1;
	}
	if (lib_denied(L, "bus", name))
		return 1;
	l->out.max = PROTO_MAX_EFFECT_BYTES;
	buf_clear(&l->out);
	why = convert_pack(L, 2, &l->out);
	l->out.max = 0;
	if (why) {
		buf_clear(&l->out);
		lua_pushfstring(L, "bus: the data cannot be sent: %s", why);
		return 1;
	}
	lane_check_effect(L,
			  effects_emit(&l->effects, name, buf_slice(&l->out)));
	return 0;
}

const luaL_Reg lib_bus[] = {
	{"emit", bus_emit},
	{NULL, NULL},
};
