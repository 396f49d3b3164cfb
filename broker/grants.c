/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grants: the comparison of a name with a list of prefixes. Who reads the
 * lists from the configuration is conf's business.
 */
#include "broker/grants.h"

#include "broker/learn.h"
#include "lib/err.h"
#include "proto/pack.h"

bool grants_allow(const struct grants *g, enum grant kind, struct slice name)
{
	const struct grant_list *l;

	must(kind < GRANT_COUNT);
	if (!g || !g->list[kind].limited)
		return true;
	l = &g->list[kind];
	for (size_t i = 0; i < l->n; i++)
		if (slice_starts(name, l->prefix[i]))
			return true;
	return false;
}

bool grants_use(const struct grants *g, enum grant kind, struct slice name)
{
	bool allowed = grants_allow(g, kind, name);

	if (allowed && g && g->learn)
		learn_note(g->learn, kind, name);
	return allowed;
}

const char *grant_name(enum grant kind)
{
	static const char *const names[GRANT_COUNT] = {
		"kv.read", "kv.write", "bus", "artifacts", "data", "providers"};

	return kind < GRANT_COUNT ? names[kind] : "unknown";
}

void grant_pack(const struct grant_list *list, struct buf *out)
{
	if (!list->limited) {
		pack_nil(out);
		return;
	}
	pack_array(out, (uint32_t)list->n);
	for (size_t i = 0; i < list->n; i++)
		pack_text(out, list->prefix[i]);
}
