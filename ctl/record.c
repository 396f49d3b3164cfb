/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record: the next events of a hook as files. A file appears whole or not at
 * all, is readable by its owner only, and replaces none.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/field.h"
#include "ctl/follow.h"
#include "ctl/json.h"
#include "ctl/out.h"
#include "proto/pack.h"

#define TEMPORARY ".pinfold-record.tmp"

struct recording {
	const char *hook, *path;
	int dir;
	unsigned number; /* of the last file */
	char file[128];
};

static int fail(const char *name)
{
	return ctl_fail(CTL_REFUSED, "%s: %s", name, strerror(errno));
}

/* The first number that no file has. */
static int name_it(struct recording *r)
{
	int rc;

	do {
		r->number++;
		snprintf(r->file, sizeof(r->file), "%s-%06u.json", r->hook,
			 r->number);
		rc = linkat(r->dir, TEMPORARY, r->dir, r->file, 0);
	} while (rc < 0 && errno == EEXIST && r->number < 999999);
	return rc < 0 ? fail(r->file) : CTL_OK;
}

static int write_file(struct recording *r, struct slice event)
{
	struct buf text = {0};
	int fd, rc = CTL_OK;

	json_write(event, true, &text);
	buf_add_byte(&text, '\n');
	if (buf_error(&text))
		return ctl_fail(CTL_REFUSED, "out of memory");
	(void)unlinkat(r->dir, TEMPORARY, 0);
	fd = openat(r->dir, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
		    0600);
	for (size_t at = 0; fd >= 0 && at < text.n && rc == CTL_OK;) {
		ssize_t n = write(fd, text.p + at, text.n - at);

		if (n < 0 && errno != EINTR)
			rc = fail(r->path);
		at += n > 0 ? (size_t)n : 0;
	}
	if (fd < 0)
		rc = fail(r->path);
	else
		close(fd);
	if (rc == CTL_OK)
		rc = name_it(r);
	(void)unlinkat(r->dir, TEMPORARY, 0);
	buf_fini(&text);
	return rc;
}

static void tell(struct follow *f, struct slice about)
{
	struct recording *r = f->arg;
	struct buf packed = {0};
	struct slice left_out;

	if (!map_find(about, "left_out", &left_out))
		left_out = slice_of("\x90", 1);
	buf_addf(&f->line, "%s/%s", r->path, r->file);
	if (f->ctl->option[OPT_JSON]) {
		pack_map(&packed, 2);
		pack_cstr(&packed, "file");
		pack_text(&packed, buf_slice(&f->line));
		pack_cstr(&packed, "left_out");
		pack_raw(&packed, left_out);
		buf_clear(&f->line);
		out_json(buf_slice(&packed), &f->line);
		buf_fini(&packed);
	} else if (left_out.n > 1) {
		buf_addf(&f->line, " without ");
		field_words(about, "left_out", (struct field_words){", ", ""},
			    &f->line);
	}
	f->rc = out_line(&f->line);
}

static void on_end(struct follow *f, struct cursor *c)
{
	int64_t missed = field_int(cursor_raw(c), "missed");

	if (missed > 0)
		fprintf(stderr,
			"pinfold: %lld more events were missed: they came "
			"too fast, or were over 4 MiB\n",
			(long long)missed);
	f->left = 0;
}

static void on_event(struct follow *f, const struct pf_item *item)
{
	struct cursor c = cursor_of(item->params.packed);
	struct slice event, about;

	if (slice_is(item->method, "record.end")) {
		on_end(f, &c);
		return;
	}
	if (!slice_is(item->method, "record.event"))
		return;
	event = cursor_raw(&c);
	about = cursor_raw(&c);
	if (c.error) {
		f->rc = ctl_nonsense("record.event");
		return;
	}
	f->rc = write_file(f->arg, event);
	if (f->rc == CTL_OK)
		tell(f, about);
}

static void pack_options(const struct ctl *ctl, int64_t count, struct buf *args)
{
	const char *script = ctl->option[OPT_SCRIPT];

	pack_map(args, 3 + (script != NULL));
	pack_cstr(args, "hook");
	pack_text(args, slice_str(ctl->word[0]));
	pack_cstr(args, "count");
	pack_int(args, count);
	pack_cstr(args, "secrets");
	pack_bool(args, ctl->option[OPT_SECRETS] != NULL);
	if (script) {
		pack_cstr(args, "script");
		pack_text(args, slice_str(script));
	}
}

int record(struct ctl *ctl)
{
	struct recording r = {.hook = ctl->word[0], .path = ctl->word[1]};
	struct buf args = {0};
	struct follow f;
	int64_t count = 1;
	int rc = follow_init(&f, ctl);

	if (rc != CTL_OK)
		return rc;
	if (f.left > 0)
		count = f.left;
	if (hook_parse(slice_str(r.hook)) == HOOK_COUNT)
		return ctl_fail(CTL_USAGE, "%s: no such hook", r.hook);
	(void)mkdir(r.path, 0700);
	r.dir = open(r.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r.dir < 0)
		return fail(r.path);
	f.left = -1; /* the broker counts, and tells the end */
	f.on = on_event;
	f.arg = &r;
	pack_options(ctl, count, &args);
	rc = follow_run(&f, "record", &args);
	close(r.dir);
	return rc;
}
