/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_write: artifacts.write, artifacts.delete and backup of tools. An
 * artifact goes the way that a run's does: chunks of a blob first, then the
 * one effect that names it.
 */
#include <limits.h>
#include <stdlib.h>

#include "broker/admin/admin.h"
#include "broker/name.h"
#include "lib/log.h"
#include "proto/pack.h"

struct writing {
	struct admin_later *later;
	struct buf bytes, effects;
	struct slice name; /* behind the content in bytes */
	size_t at, size;
	uint64_t owner, blob;
};

static void writing_end(struct writing *w, int status)
{
	struct admin_later *l = w->later;
	struct buf none = {0};

	artifact_drop_owner(l->broker->calls.artifacts[l->dialect], w->owner);
	if (status < 0)
		admin_later_refuse(l, call_code(status), call_message(status));
	else
		pack_bool(admin_later_answer(l, &none), true);
	buf_fini(&none);
	admin_later_end(l);
	buf_fini(&w->bytes);
	buf_fini(&w->effects);
	free(w);
}

static void on_applied(void *arg, int status)
{
	writing_end(arg, status);
}

static void commit(struct writing *w)
{
	struct call_house *h = &w->later->broker->calls;
	struct effects_ctx ctx = call_effects(h, w->later->dialect);
	struct effects_run run = {.owner = w->owner};
	int r = buf_error(&w->effects);

	if (r == OK)
		r = effects_apply(&ctx, &run, buf_slice(&w->effects),
				  on_applied, w);
	if (r < 0)
		writing_end(w, r);
}

static void put_next(struct writing *w);

static void on_put(void *arg, int status, uint64_t blob)
{
	struct writing *w = arg;

	if (status < 0) {
		writing_end(w, status);
		return;
	}
	w->blob = blob;
	put_next(w);
}

static void put_next(struct writing *w)
{
	struct artifact_put put = {.owner = w->owner, .blob = w->blob};
	size_t n = w->size - w->at;
	int r;

	if (n == 0) {
		pack_array(&w->effects, 4);
		pack_cstr(&w->effects, "artifact.write");
		pack_text(&w->effects, w->name);
		pack_uint(&w->effects, w->blob);
		pack_uint(&w->effects, w->size);
		commit(w);
		return;
	}
	put.bytes = slice_of(w->bytes.p + w->at,
			     n < ARTIFACT_CHUNK ? n : ARTIFACT_CHUNK);
	w->at += put.bytes.n;
	r = artifact_put(w->later->broker->calls.artifacts[w->later->dialect],
			 &put, on_put, w);
	if (r < 0)
		writing_end(w, r);
}

/* NULL: refused. */
static struct writing *writing_new(struct admin_call *a, struct slice name,
				   struct slice content, enum dialect dialect)
{
	struct writing *w = calloc(1, sizeof(*w));

	if (w) {
		buf_add_slice(&w->bytes, content);
		buf_add_slice(&w->bytes, name);
	}
	if (!w || buf_error(&w->bytes) < 0 || !(w->later = admin_later(a))) {
		if (!w || buf_error(&w->bytes) < 0)
			admin_refuse(a, CODE_OVERLOADED, "no memory");
		if (w)
			buf_fini(&w->bytes);
		free(w);
		return NULL;
	}
	w->later->dialect = dialect;
	w->size = content.n;
	w->name = slice_of(w->bytes.p + content.n, name.n);
	w->owner = ++a->broker->chains.serial;
	return w;
}

void admin_artifacts_write(struct admin_call *a)
{
	struct slice name = cursor_text(&a->args);
	struct slice content = cursor_text(&a->args);
	enum dialect dialect;
	struct writing *w;

	if (a->args.error || !name_ok(name)) {
		admin_refuse(a, CODE_BAD_EVENT,
			     "artifacts.write [name, bytes, space], the name "
			     "relative and without .. in it");
		return;
	}
	if (!admin_dialect(a, 2, &dialect))
		return;
	w = writing_new(a, name, content, dialect);
	if (w)
		put_next(w);
}

void admin_artifacts_delete(struct admin_call *a)
{
	struct slice name = cursor_text(&a->args);
	enum dialect dialect;
	struct writing *w;

	if (a->args.error || !name_ok(name)) {
		admin_refuse(a, CODE_BAD_EVENT,
			     "artifacts.delete [name, space]");
		return;
	}
	if (!admin_dialect(a, 1, &dialect))
		return;
	w = writing_new(a, name, slice_of(NULL, 0), dialect);
	if (!w)
		return;
	pack_array(&w->effects, 2);
	pack_cstr(&w->effects, "artifact.delete");
	pack_text(&w->effects, w->name);
	commit(w);
}

/* ---- backup ------------------------------------------------------------ */

static void on_backup(void *arg, int status)
{
	struct admin_later *l = arg;
	struct buf none = {0};

	if (status == ERR_EXISTS)
		admin_later_refuse(l, CODE_BAD_EVENT,
				   "the directory is there already, expected a "
				   "new one");
	else if (status < 0)
		admin_later_refuse(l, CODE_STORAGE,
				   "the copy could not be written there: see "
				   "the broker's log");
	else
		pack_bool(admin_later_answer(l, &none), true);
	buf_fini(&none);
	admin_later_end(l);
}

void admin_backup(struct admin_call *a)
{
	struct slice dir = cursor_text(&a->args);
	char path[PATH_MAX - 64];
	struct admin_later *l;
	int r;

	if (a->args.error || dir.n == 0 || dir.n >= sizeof(path) ||
	    dir.p[0] != '/' || memchr(dir.p, 0, dir.n)) {
		admin_refuse(a, CODE_BAD_EVENT,
			     "backup [dir], an absolute path");
		return;
	}
	memcpy(path, dir.p, dir.n);
	path[dir.n] = 0;
	log_info("admin", "backup dir=%s", path);
	if (!(l = admin_later(a)))
		return;
	r = store_backup(a->broker->store, path, on_backup, l);
	if (r < 0)
		on_backup(l, r);
}
