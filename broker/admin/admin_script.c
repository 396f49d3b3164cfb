/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_script: reload, and what may be done to one script: show, reload,
 * restart, enable, disable.
 */
#include <stdlib.h>

#include "broker/admin/admin.h"
#include "broker/reload.h"
#include "broker/reload_wish.h"
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

enum code admin_reload_code(const struct broker *b)
{
	return b->phase >= BROKER_DRAINING ? CODE_SHUTTING_DOWN
					   : CODE_BAD_EVENT;
}

static void on_reloaded(void *arg, const struct reload_result *result)
{
	struct admin_later *l = arg;
	struct buf none = {0}, *out;

	if (result->error.n) {
		char *text =
			strndup((const char *)result->error.p, result->error.n);

		admin_later_refuse(l, admin_reload_code(l->broker),
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

bool admin_may_reload(struct admin_call *a)
{
	if (reload_possible(a->broker))
		return true;
	admin_refuse(a, CODE_OVERLOADED,
		     "a reload is under way, or pinfold is not serving");
	return false;
}

static void start(struct admin_call *a, const char *only)
{
	struct admin_later *l;

	if (!admin_may_reload(a) || !(l = admin_later(a)))
		return;
	if (reload_start(a->broker, only, on_reloaded, l) == OK)
		return;
	admin_later_refuse(l, CODE_OVERLOADED, "no memory");
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

/* New workers would get the same sources. */
static void refuse_restart(struct admin_call *a, const struct script *s)
{
	struct buf text = {0};

	buf_addf(&text, "it does not load, mend it and reload: %s",
		 s->why ? s->why : "");
	buf_add_byte(&text, 0);
	admin_refuse(a, CODE_UNAVAILABLE,
		     buf_error(&text) ? "it does not load"
				      : (const char *)text.p);
	buf_fini(&text);
}

void admin_script_restart(struct admin_call *a)
{
	char name[CONF_NAME_MAX + 1];
	struct script *s;

	if (!read_name(a, name) || !(s = find(a, name)))
		return;
	if (s->state == SCRIPT_UNAVAILABLE) {
		refuse_restart(a, s);
		return;
	}
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

/* ---- enable and disable ------------------------------------------------ */

struct toggle {
	struct admin_later *later;
	enum reload_wish before;
	char name[CONF_NAME_MAX + 1];
};

static void on_toggled(void *arg, const struct reload_result *result)
{
	struct toggle *t = arg;
	struct admin_later *l = t->later;

	if (result->error.n || !reload_knows(result, t->name))
		reload_wish_again(l->broker, t->name, t->before);
	if (result->error.n || reload_knows(result, t->name)) {
		on_reloaded(l, result);
	} else {
		admin_later_refuse(l, CODE_UNAVAILABLE,
				   "no such script in the configuration");
		admin_later_end(l);
	}
	free(t);
}

static void set_enabled(struct admin_call *a, bool enabled)
{
	struct toggle *t = calloc(1, sizeof(*t));

	if (!t) {
		admin_refuse(a, CODE_OVERLOADED, "no memory");
		return;
	}
	if (!read_name(a, t->name) || !admin_may_reload(a) ||
	    !(t->later = admin_later(a))) {
		free(t);
		return;
	}
	t->before = reload_wished(a->broker, slice_str(t->name));
	if (reload_override(a->broker, slice_str(t->name), enabled) == OK &&
	    reload_start(a->broker, NULL, on_toggled, t) == OK)
		return;
	admin_later_refuse(t->later, CODE_OVERLOADED, "no memory");
	admin_later_end(t->later);
	free(t);
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
