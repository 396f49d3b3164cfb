/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grants: what a script may touch, and the smallest grant for what it has
 * touched, as a piece of the configuration.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "ctl/ctl.h"
#include "ctl/field.h"
#include "ctl/json.h"
#include "ctl/out.h"
#include "proto/pack.h"

static int compare(const void *a, const void *b)
{
	return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

/* A configuration is text: of a name that is none, what is text of it. */
static struct slice text_part(struct slice name)
{
	while (!slice_is_utf8(name))
		name.n--;
	return name;
}

/* ["a", "b"] in order, each as JSON has it, which YAML reads as well. */
static void add_list(struct slice map, const char *kind, struct buf *line)
{
	struct cursor c = field_at(map, kind);
	uint32_t n = cursor_peek(&c) == CURSOR_ARRAY ? cursor_array(&c) : 0;
	struct slice *name = calloc(n ? n : 1, sizeof(*name));

	for (uint32_t i = 0; name && i < n; i++)
		name[i] = text_part(cursor_text(&c));
	if (name)
		qsort(name, n, sizeof(*name), compare);
	buf_addf(line, "[");
	for (uint32_t i = 0; name && i < n; i++) {
		bool all = name[i].n == 0 && strcmp(kind, "bus") == 0;

		buf_addf(line, i ? ", " : "");
		json_write_string(all ? slice_str("*") : name[i], line);
	}
	buf_addf(line, "]");
	free(name);
}

static bool is_limited(struct slice map, const char *kind)
{
	struct cursor c = field_at(map, kind);

	return cursor_peek(&c) == CURSOR_ARRAY;
}

/* The kinds, where limited; how many. */
static int print_kinds(struct slice map, struct buf *line, int *rc)
{
	static const char *const kinds[] = {"bus", "artifacts", "data",
					    "providers"};
	int n = is_limited(map, "kv.read") || is_limited(map, "kv.write");

	if (n) {
		buf_addf(line, "  kv:\n    read: ");
		add_list(map, "kv.read", line);
		buf_addf(line, "\n    write: ");
		add_list(map, "kv.write", line);
		*rc = out_line(line);
	}
	for (size_t i = 0; i < 4 && *rc == CTL_OK; i++) {
		if (!is_limited(map, kinds[i]))
			continue;
		n++;
		buf_addf(line, "  %s: ", kinds[i]);
		add_list(map, kinds[i], line);
		*rc = out_line(line);
	}
	return n;
}

static int print_yaml(struct slice result, bool learned, struct buf *line)
{
	struct slice map;
	int rc, n;

	if (!map_find(result, learned ? "used" : "granted", &map))
		return ctl_nonsense("script.grants");
	if (learned)
		buf_addf(line,
			 "# what generation %" PRId64 " has used so far, but "
			 "for values that\n# a run has read back which it had "
			 "written itself\n",
			 field_int(result, "generation"));
	buf_addf(line, "grants:");
	rc = out_line(line);
	n = rc == CTL_OK ? print_kinds(map, line, &rc) : 0;
	if (rc == CTL_OK && n == 0) {
		buf_addf(line, "  {}    # everything");
		rc = out_line(line);
	}
	return rc;
}

static int run_grants(struct ctl *ctl)
{
	bool learned = ctl->option[OPT_LEARN];
	struct buf args = {0}, line = {0};
	struct slice result;
	int rc;

	pack_text(&args, slice_str(ctl->word[0]));
	rc = ctl_ask(ctl, "script.grants", 1, &args, &result);
	if (rc == CTL_OK)
		rc = ctl->option[OPT_JSON] ? out_value(result)
					   : print_yaml(result, learned, &line);
	buf_fini(&line);
	return rc;
}

const struct command grants_commands[] = {
	{"grants", "SCRIPT", "what a script may touch, or has touched",
	 "As YAML for its settings. With --learn: the smallest grants that "
	 "cover\n"
	 "what it has done since it was loaded; names that are many are told "
	 "by\n"
	 "what they begin with. Let it run without `grants` for a while "
	 "first.\n"
	 "--json prints both, what is granted (null: everything) and used.",
	 1, 1, OPTION(OPT_LEARN), run_grants},
	{0},
};
