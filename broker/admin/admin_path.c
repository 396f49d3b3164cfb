/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_path: script.load, unload, reload and show of a one-file script by the
 * path of its file. Loading and unloading go through a reload that is about
 * this script alone; the answer is its row.
 */
#include <stdlib.h>
#include <sys/stat.h>

#include "broker/admin/admin.h"
#include "broker/reload.h"
#include "broker/reload_wish.h"
#include "proto/pack.h"

struct path_call {
	struct admin_later *later;
	bool loads; /* withdrawn again when it does not load */
	char path[2048];
};

/* ---- finding it -------------------------------------------------------- */

bool admin_is_path(const struct admin_call *a)
{
	struct cursor c = a->args;
	struct slice s = cursor_text(&c);

	return !c.error && s.n > 0 && memchr(s.p, '/', s.n);
}

static struct script *find(const struct broker *b, const char *path)
{
	const struct roster *r = b->chains.roster;

	for (size_t i = 0; i < r->n; i++)
		if (r->scripts[i]->dialect == DIALECT_MQTT &&
		    conf_same_file(r->scripts[i]->conf->file, path))
			return r->scripts[i];
	return NULL;
}

static bool read_path(struct admin_call *a, char path[2048])
{
	struct slice s = cursor_text(&a->args);

	if (a->args.error || s.n >= 2048 || s.n < 6 || s.p[0] != '/' ||
	    memchr(s.p, 0, s.n) || memcmp(s.p + s.n - 4, ".lua", 4) != 0) {
		admin_refuse(a, CODE_BAD_EVENT,
			     "the absolute path of a .lua file is due");
		return false;
	}
	memcpy(path, s.p, s.n);
	path[s.n] = 0;
	return true;
}

/* The script of that path; NULL: refused. */
static struct script *loaded(struct admin_call *a, char path[2048])
{
	struct script *s;

	if (!read_path(a, path))
		return NULL;
	s = find(a->broker, path);
	if (!s)
		admin_refuse(a, CODE_UNAVAILABLE,
			     "no script of that file is loaded");
	return s;
}

/* ---- reloading --------------------------------------------------------- */

static const struct reload_row *row_of(const struct reload_result *result,
				       const char *path)
{
	for (size_t i = 0; i < result->n; i++)
		if (result->row[i].path &&
		    conf_same_file(result->row[i].path, path))
			return &result->row[i];
	return NULL;
}

static void answer(struct path_call *p, const struct reload_row *row)
{
	struct buf none = {0}, *out = admin_later_answer(p->later, &none);

	pack_array(out, 1);
	admin_pack_row(out, row);
	buf_fini(&none);
}

static void on_reloaded(void *arg, const struct reload_result *result)
{
	struct path_call *p = arg;
	const struct reload_row *row = row_of(result, p->path);
	char *text = NULL;

	if (p->loads && (!row || row->verdict == RELOAD_REFUSED))
		(void)reload_withdraw(p->later->broker, p->path);
	if (result->error.n)
		text = strndup((const char *)result->error.p, result->error.n);
	if (!result->error.n && row)
		answer(p, row);
	else
		admin_later_refuse(p->later,
				   admin_reload_code(p->later->broker),
				   text ? text : "it could not be done");
	free(text);
	admin_later_end(p->later);
	free(p);
}

static void start(struct admin_call *a, const char *path, bool loads)
{
	struct path_call *p = calloc(1, sizeof(*p));

	if (!p || !(p->later = admin_later(a))) {
		if (!p)
			admin_refuse(a, CODE_OVERLOADED, "no memory");
		if (loads)
			(void)reload_withdraw(a->broker, path);
		free(p);
		return;
	}
	p->loads = loads;
	memcpy(p->path, path, strlen(path));
	if (reload_start(a->broker, p->path, on_reloaded, p) == OK)
		return;
	if (loads)
		(void)reload_withdraw(a->broker, p->path);
	admin_later_refuse(p->later, CODE_OVERLOADED, "no memory");
	admin_later_end(p->later);
	free(p);
}

/* ---- methods ----------------------------------------------------------- */

void admin_path_load(struct admin_call *a)
{
	char path[2048];
	struct stat st;

	if (!read_path(a, path))
		return;
	if (find(a->broker, path)) {
		admin_refuse(a, CODE_BAD_EVENT,
			     "it is loaded already; reload reads it again");
	} else if (stat(path, &st) < 0 || !S_ISREG(st.st_mode)) {
		admin_refuse(a, CODE_BAD_EVENT, "there is no such file");
	} else if (!admin_may_reload(a)) {
		return;
	} else if (reload_command(a->broker, path) < 0) {
		admin_refuse(a, CODE_OVERLOADED, "no memory");
	} else {
		start(a, path, true);
	}
}

void admin_path_unload(struct admin_call *a)
{
	char path[2048];
	struct script *s = loaded(a, path);

	if (!s || !admin_may_reload(a))
		return;
	(void)reload_withdraw(a->broker, path);
	if (s->conf->origin != CONF_COMMAND &&
	    reload_override(a->broker, slice_str(s->name), false) < 0) {
		admin_refuse(a, CODE_OVERLOADED, "no memory");
		return;
	}
	start(a, path, false);
}

void admin_path_reload(struct admin_call *a)
{
	char path[2048];

	if (loaded(a, path) && admin_may_reload(a))
		start(a, path, false);
}

void admin_path_show(struct admin_call *a)
{
	char path[2048];
	struct script *s = loaded(a, path);

	if (s)
		admin_pack_script(admin_answer(a), s);
}
