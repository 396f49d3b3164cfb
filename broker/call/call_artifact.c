/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call_artifact: artifact.stat, list, read and put of workers. Names change
 * only by the effects of a run.
 */
#include "broker/call/call.h"
#include "proto/pack.h"

/*
 * A script whose grants name artifacts may read only what it was told of: the
 * broker remembers the last few blobs that it named to this event's runs.
 */
static void remember(struct later *l, uint64_t blob)
{
	struct event *ev = l->call.run ? l->call.run->owner : NULL;

	if (ev)
		ev->blobs[ev->nblobs++ % CHAIN_BLOBS] = blob;
}

static bool remembered(const struct question *q, uint64_t blob)
{
	const struct event *ev = q->run->owner;

	if (!q->script->grants.list[GRANT_ARTIFACTS].limited)
		return true;
	for (unsigned i = 0; ev && i < ev->nblobs && i < CHAIN_BLOBS; i++)
		if (ev->blobs[i] == blob)
			return true;
	return false;
}

static void on_stat(void *arg, int status, const struct artifact_stat *stat)
{
	struct later *l = arg;
	struct buf *out;

	if (status == ERR_ABSENT) {
		pack_nil(later_answer(l));
		later_end(l);
		return;
	}
	if (status < 0) {
		later_fail(l, status);
		return;
	}
	remember(l, stat->blob);
	out = later_answer(l);
	pack_array(out, 3);
	pack_cstr(out, stat->dir ? "dir" : "file");
	pack_uint(out, stat->blob);
	pack_uint(out, stat->size);
	later_end(l);
}

int call_artifact_stat(struct question *q)
{
	struct slice name = cursor_text(&q->args);
	struct later *l;
	int r;

	if (q->args.error)
		return ERR_FORMAT;
	if (!question_granted(q, GRANT_ARTIFACTS, name) || !(l = later_new(q)))
		return OK;
	r = artifact_stat(question_artifacts(q), name, on_stat, l);
	if (r < 0)
		on_stat(l, r == ERR_FORMAT ? ERR_ABSENT : r, NULL);
	return OK;
}

/* Only names that the script may touch. */
static void on_list(void *arg, int status, const struct slice *name, size_t n)
{
	struct later *l = arg;
	const struct grants *grants;
	uint32_t granted = 0;
	struct buf *out;

	if (status < 0) {
		later_fail(l, status);
		return;
	}
	grants = l->call.run ? &l->script->grants : NULL;
	for (size_t i = 0; i < n; i++)
		granted += grants_allow(grants, GRANT_ARTIFACTS, name[i]);
	out = later_answer(l);
	pack_array(out, granted);
	for (size_t i = 0; i < n; i++)
		if (grants_allow(grants, GRANT_ARTIFACTS, name[i]))
			pack_bin(out, name[i]);
	later_end(l);
}

int call_artifact_list(struct question *q)
{
	struct later *l;
	int r;

	if (!(l = later_new(q)))
		return OK;
	r = artifact_list(question_artifacts(q), on_list, l);
	if (r < 0)
		later_fail(l, r);
	return OK;
}

static void on_read(void *arg, int status, struct slice bytes)
{
	struct later *l = arg;

	if (status < 0) {
		later_fail(l, status);
		return;
	}
	pack_bin(later_answer(l), bytes);
	later_end(l);
}

int call_artifact_read(struct question *q)
{
	struct artifact_range range;
	uint64_t length;
	struct later *l;
	int r;

	range.blob = cursor_uint(&q->args);
	range.offset = cursor_uint(&q->args);
	length = cursor_uint(&q->args);
	if (q->args.error || length > PROTO_RANGE)
		return ERR_FORMAT;
	range.length = (size_t)length;
	if (!remembered(q, range.blob))
		return question_refuse(q, CODE_DENIED,
				       "denied: not a blob of this run");
	if (!(l = later_new(q)))
		return OK;
	r = artifact_read(question_artifacts(q), &range, on_read, l);
	if (r < 0)
		later_fail(l, r);
	return OK;
}

static void on_put(void *arg, int status, uint64_t blob)
{
	struct later *l = arg;

	if (status < 0) {
		later_fail(l, status);
		return;
	}
	remember(l, blob);
	pack_uint(later_answer(l), blob);
	later_end(l);
}

int call_artifact_put(struct question *q)
{
	struct artifact_put put = {.owner = q->run->serial};
	struct later *l;
	int r;

	if (!cursor_nil(&q->args))
		put.blob = cursor_uint(&q->args);
	put.bytes = cursor_text(&q->args);
	if (q->args.error)
		return ERR_FORMAT;
	if (!(l = later_new(q)))
		return OK;
	r = artifact_put(question_artifacts(q), &put, on_put, l);
	if (r < 0)
		later_fail(l, r);
	return OK;
}
