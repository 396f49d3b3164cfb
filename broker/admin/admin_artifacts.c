/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_artifacts: artifacts.list and artifacts.read of tools.
 */
#include <stdlib.h>

#include "broker/admin/admin.h"
#include "proto/pack.h"

static void refuse(struct admin_later *l, int error)
{
	if (error == ERR_ABSENT || error == ERR_FORMAT)
		admin_later_refuse(l, CODE_UNAVAILABLE, "no such artifact");
	else
		admin_later_refuse(l, call_code(error), call_message(error));
	admin_later_end(l);
}

/* Names are flat and few; their sizes are looked up one after the other. */
struct listing {
	struct admin_later *later;
	struct buf names; /* each followed by a NUL */
	struct buf rows;
	size_t at;
	uint32_t n;
	struct slice prefix;
	char prefix_text[PROTO_MAX_KEY];
};

static void list_end(struct listing *l, int status)
{
	struct buf none = {0}, *out;

	if (status < 0) {
		refuse(l->later, status);
	} else {
		out = admin_later_answer(l->later, &none);
		pack_array(out, l->n);
		pack_raw(out, buf_slice(&l->rows));
		buf_fini(&none);
		admin_later_end(l->later);
	}
	buf_fini(&l->names);
	buf_fini(&l->rows);
	free(l);
}

static void list_next(struct listing *l);

static void on_stat(void *arg, int status, const struct artifact_stat *stat)
{
	struct listing *l = arg;
	const char *name = (const char *)l->names.p + l->at;

	if (status == OK && !stat->dir) {
		pack_array(&l->rows, 2);
		pack_text(&l->rows, slice_str(name));
		pack_uint(&l->rows, stat->size);
		l->n++;
	}
	l->at += strlen(name) + 1;
	list_next(l);
}

static void list_next(struct listing *l)
{
	int r;

	if (l->at >= l->names.n || buf_error(&l->names) < 0) {
		list_end(l, buf_error(&l->names));
		return;
	}
	r = artifact_stat(l->later->broker->calls.artifacts[l->later->dialect],
			  slice_str((const char *)l->names.p + l->at), on_stat,
			  l);
	if (r < 0)
		list_end(l, r);
}

static void on_list(void *arg, int status, const struct slice *name, size_t n)
{
	struct listing *l = arg;

	if (status < 0) {
		list_end(l, status);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (!slice_starts(name[i], l->prefix))
			continue;
		buf_add_slice(&l->names, name[i]);
		buf_add_byte(&l->names, 0);
	}
	list_next(l);
}

void admin_artifacts_list(struct admin_call *a)
{
	struct slice prefix = {0};
	enum dialect dialect;
	struct listing *l;
	int r;

	if (a->nargs > 0 && !cursor_nil(&a->args))
		prefix = cursor_text(&a->args);
	if (a->args.error || prefix.n > PROTO_MAX_KEY) {
		admin_refuse(a, CODE_BAD_EVENT,
			     "artifacts.list [prefix, space]");
		return;
	}
	if (!admin_dialect(a, 1, &dialect))
		return;
	l = calloc(1, sizeof(*l));
	if (!l || !(l->later = admin_later(a))) {
		free(l);
		return;
	}
	if (prefix.n)
		memcpy(l->prefix_text, prefix.p, prefix.n);
	l->later->dialect = dialect;
	l->prefix = slice_of(l->prefix_text, prefix.n);
	r = artifact_list(a->broker->calls.artifacts[dialect], on_list, l);
	if (r < 0)
		list_end(l, r);
}

/* artifacts.read [name, offset, length] -> [bytes, size] */
struct reading {
	struct admin_later *later;
	uint64_t offset, size;
	size_t length;
};

static void read_end(struct reading *r, int status, struct slice bytes)
{
	struct buf none = {0}, *out;

	if (status < 0) {
		refuse(r->later, status);
	} else {
		out = admin_later_answer(r->later, &none);
		pack_array(out, 2);
		pack_bin(out, bytes);
		pack_uint(out, r->size);
		buf_fini(&none);
		admin_later_end(r->later);
	}
	free(r);
}

static void on_read(void *arg, int status, struct slice bytes)
{
	read_end(arg, status, bytes);
}

static void on_read_stat(void *arg, int status,
			 const struct artifact_stat *stat)
{
	struct reading *r = arg;
	struct artifact_range range = {.offset = r->offset,
				       .length = r->length};
	int rc = status == OK && stat->dir ? ERR_ABSENT : status;

	if (rc == OK) {
		r->size = stat->size;
		range.blob = stat->blob;
		rc = artifact_read(
			r->later->broker->calls.artifacts[r->later->dialect],
			&range, on_read, r);
	}
	if (rc < 0)
		read_end(r, rc, slice_of(NULL, 0));
}

void admin_artifacts_read(struct admin_call *a)
{
	struct slice name = cursor_text(&a->args);
	uint64_t offset = cursor_uint(&a->args);
	uint64_t length = cursor_uint(&a->args);
	enum dialect dialect;
	struct reading *r;
	int rc;

	if (a->args.error || length > PROTO_RANGE) {
		admin_refuse(a, CODE_BAD_EVENT,
			     "artifacts.read [name, offset, length <= 1 MiB, "
			     "space]");
		return;
	}
	if (!admin_dialect(a, 3, &dialect))
		return;
	r = calloc(1, sizeof(*r));
	if (!r || !(r->later = admin_later(a))) {
		free(r);
		return;
	}
	r->later->dialect = dialect;
	r->offset = offset;
	r->length = (size_t)length;
	rc = artifact_stat(a->broker->calls.artifacts[dialect], name,
			   on_read_stat, r);
	if (rc < 0)
		read_end(r, rc, slice_of(NULL, 0));
}
