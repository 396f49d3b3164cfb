/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_grants: what a script may touch and what it has touched.
 */
#include "broker/admin/admin.h"
#include "proto/pack.h"

static void pack_learned(struct buf *out, const struct learn *l,
			 enum grant kind)
{
	size_t n = l->list[kind].n;

	pack_array(out, (uint32_t)n);
	for (size_t i = 0; i < n; i++)
		pack_text(out, learn_at(l, kind, i));
}

void admin_script_grants(struct admin_call *a)
{
	struct slice name = cursor_text(&a->args);
	const struct script *s;
	struct buf *out;

	if (a->args.error) {
		admin_refuse(a, CODE_BAD_EVENT, "script.grants name");
		return;
	}
	s = admin_find_script(a, name);
	if (!s)
		return;
	out = admin_answer(a);
	pack_map(out, 3);
	pack_cstr(out, "generation");
	pack_uint(out, s->generation);
	pack_cstr(out, "granted");
	pack_map(out, GRANT_COUNT);
	for (int i = 0; i < GRANT_COUNT; i++) {
		pack_cstr(out, grant_name((enum grant)i));
		grant_pack(&s->grants.list[i], out);
	}
	pack_cstr(out, "used");
	pack_map(out, GRANT_COUNT);
	for (int i = 0; i < GRANT_COUNT; i++) {
		pack_cstr(out, grant_name((enum grant)i));
		pack_learned(out, &s->learn, (enum grant)i);
	}
}
