/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_script: reload, and what may be done to one script: show, reload,
 * restart, enable, disable.
 */
#include <stdlib.h>

#include "broker/admin/admin.h"
#include "broker/reload.h"
#include "proto/pack.h"

/* [{name, result, generation, why}], or the error of the file. */
void admin_pack_row(struct buf *out, const struct reload_row *row)
{
	pack_map(out, 2 + (row->why != NULL));
	pack_cstr(out, "name");
	pack_cstr(out, row->name);
	pack_cstr(out, "result");
	pack_cstr(out, reload_verdict_name(row->verdict));
	if (row->why) {
		pack_cstr(out, "why");
		pack_text(out, slice_str(row->why));
	}
}

static void on_reloaded(void *arg, const struct reload_result *result)
{
	struct admin_later *l = arg;
	struct buf none = {0}, *out;

	if (result->error.n) {
		char *text =
			strndup((const char *)result->error.p, result->error.n);

		admin_later_refuse(l, CODE_BAD_EVENT,
				   text ? text : "the file is wrong");
		free(text);
		admin_later_end(l);
		return;
	}
	out = admin_later_answer(l, &none);
	pack_array(out, (uint32_t)result->n);
	for (size_t i = 0; i < result->n; i++)
		admin_pack_row(out, &result->row[i]);
	buf_fini(&none);
	admin_later_end(l);
}

static void start(struct admin_call *a, const char *only)
{
	struct admin_later *l = admin_later(a);
	int r;

	if (!l)
		return;
	r = reload_start(a->broker, only, on_reloaded, l);
	if (r == OK)
		return;
	admin_later_refuse(l, CODE_OVERLOADED,
			   "a reload is under way, or pinfold is not serving");
	admin_later_end(l);
}

void admin_reload(struct admin_call *a)
{
	start(a, NULL);
}

/* The first parameter as a script's name; false: refused. */
static bool read_name(struct admin_call *a, char name[CONF_NAME_MAX + 1])
{
	struct slice s = cursor_text(&a->args);

	if (a->args.error || s.n == 0 || s.n > CONF_NAME_MAX ||
	    memchr(s.p, 0, s.n)) {
		admin_refuse(a, CODE_BAD_EVENT, "the name of a script is due");
		return false;
	}
	memcpy(name, s.p, s.n);
	name[s.n] = 0;
	return true;
}

struct script *admin_find_script(struct admin_call *a, struct slice name)
{
	const struct roster *r = a->broker->chains.roster;
	struct buf text = {0};

	for (size_t i = 0; i < r->n; i++)
		if (slice_is(name, r->scripts[i]->name))
			return r->scripts[i];
	buf_addf(&text, "no such script is enabled, there %s:",
		 r->n ? "are" : "is none");
	for (size_t i = 0; i < r->n; i++)
		buf_addf(&text, " %s", r->scripts[i]->name);
	if (r->n == 0)
		text.n--;
	buf_add_byte(&text, 0);
	admin_refuse(a, CODE_UNAVAILABLE,
		     buf_error(&text) ? "no such script"
				      : (const char *)text.p);
	buf_fini(&text);
	return NULL;
}

static struct script *find(struct admin_call *a, const char *name)
{
	return admin_find_script(a, slice_str(name));
}

void admin_script_reload(struct admin_call *a)
{
	char name[CONF_NAME_MAX + 1];

	if (admin_is_path(a))
		admin_path_reload(a);
	else if (read_name(a, name) && find(a, name))
		start(a, name);
}

void admin_script_restart(struct admin_call *a)
{
	char name[CONF_NAME_MAX + 1];
	struct script *s;

	if (!read_name(a, name) || !(s = find(a, name)))
		return;
	crew_restart(s->crew);
	pack_bool(admin_answer(a), true);
}

void admin_script_show(struct admin_call *a)
{
	char name[CONF_NAME_MAX + 1];
	struct script *s;

	if (admin_is_path(a))
		admin_path_show(a);
	else if (read_name(a, name) && (s = find(a, name)))
		admin_pack_script(admin_answer(a), s);
}

static void set_enabled(struct admin_call *a, bool enabled)
{
	char name[CONF_NAME_MAX + 1];

	if (!read_name(a, name))
		return;
	if (reload_override(a->broker, slice_str(name), enabled) < 0) {
		admin_refuse(a, CODE_OVERLOADED, "no memory");
		return;
	}
	start(a, NULL);
}

void admin_script_enable(struct admin_call *a)
{
	set_enabled(a, true);
}

void admin_script_disable(struct admin_call *a)
{
	set_enabled(a, false);
}

/* By path a one-file script; by name as enable and disable. */
void admin_script_load(struct admin_call *a)
{
	if (admin_is_path(a))
		admin_path_load(a);
	else
		set_enabled(a, true);
}

void admin_script_unload(struct admin_call *a)
{
	if (admin_is_path(a))
		admin_path_unload(a);
	else
		set_enabled(a, false);
}
