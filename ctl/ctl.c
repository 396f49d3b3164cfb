/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl: the connection, and what its failures mean to the person in front.
 */
#include "ctl/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/out.h"
#include "proto/pack.h"

enum { SECONDS = 10 };

int ctl_fail(int code, const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("pinfold: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return code;
}

int ctl_nonsense(const char *method)
{
	return ctl_fail(CTL_PROTOCOL,
			"the broker's answer to %s makes no sense to this "
			"version (" PROTO_RELEASE ")",
			method);
}

int ctl_int(const char *name, const char *text, int64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoll(text, &end, 10);
	if (errno || end == text || *end)
		return ctl_fail(CTL_USAGE,
				"%s: '%s' is no number, expected one such as "
				"10",
				name, text);
	return CTL_OK;
}

static bool is_no_socket(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && !S_ISSOCK(st.st_mode);
}

static int unreachable(const struct ctl *ctl, int error)
{
	const char *hint = "Is the path right? Say which socket with -s PATH, "
			   "or -c CONFIG.";
	const char *why = strerror(errno);

	if (error == ERR_CLOSED && is_no_socket(ctl->path))
		hint = "That is no socket. Say which one with -s PATH, or -c "
		       "CONFIG.";
	else if (error == ERR_CLOSED)
		hint = "The socket is there but nobody listens: the broker "
		       "has ended.\n  Start it with: pinfoldd -c CONFIG";
	else if (error == ERR_ABSENT)
		hint = "Start the broker with: pinfoldd -c CONFIG\n  or say "
		       "which socket with -s PATH, or -c CONFIG.";
	else if (error == ERR_DENIED)
		hint = "Run this as the user that pinfoldd runs as, or as "
		       "root.";
	return ctl_fail(CTL_UNREACHABLE, "no broker at %s: %s\n  %s", ctl->path,
			why, hint);
}

int ctl_broken(const struct ctl *ctl, int error)
{
	switch (error) {
	case ERR_CLOSED:
		return ctl_fail(CTL_UNREACHABLE,
				"the broker at %s has closed the connection",
				ctl->path);
	case ERR_TIMEOUT:
		return ctl_fail(CTL_UNREACHABLE,
				"the broker at %s does not answer; wait "
				"longer with --timeout SECONDS",
				ctl->path);
	case ERR_FORMAT:
	case ERR_TYPE:
		return ctl_fail(CTL_PROTOCOL,
				"what listens at %s does not speak this "
				"version of the protocol",
				ctl->path);
	case ERR_RANGE:
		return ctl_fail(CTL_REFUSED, "more than fits in one message");
	default:
		return ctl_fail(CTL_UNREACHABLE,
				"the connection to %s failed: %s", ctl->path,
				err_name(error));
	}
}

static int timeout_ms(const struct ctl *ctl, int seconds)
{
	/* checked by main */
	if (ctl->option[OPT_TIMEOUT])
		seconds = atoi(ctl->option[OPT_TIMEOUT]);
	return seconds * 1000;
}

int ctl_connect(struct ctl *ctl)
{
	int rc;

	if (ctl->conn)
		return CTL_OK;
	rc = ctl_find_socket(ctl);
	if (rc != CTL_OK)
		return rc;
	rc = pf_conn_open(ctl->path, timeout_ms(ctl, SECONDS), &ctl->conn);
	return rc < 0 ? unreachable(ctl, rc) : CTL_OK;
}

static int refused(const char *method, const struct pf_error *e)
{
	struct buf text = {0};
	bool told = slice_starts(e->message, e->word) &&
		    e->message.n > e->word.n && e->message.p[e->word.n] == ':';

	if (!told)
		out_safe(e->word, &text);
	if (!told && e->message.n && e->word.n)
		buf_addf(&text, ": ");
	out_safe(e->message, &text);
	ctl_fail(CTL_REFUSED, "%s: %.*s", method, (int)text.n,
		 text.n ? (const char *)text.p : "");
	buf_fini(&text);
	return CTL_REFUSED;
}

int ctl_call_slow(struct ctl *ctl, const char *method, struct pf_args args,
		  int least, struct slice *result)
{
	struct pf_item item;
	int rc = ctl_connect(ctl);

	if (rc != CTL_OK)
		return rc;
	rc = pf_conn_call(ctl->conn, method, args, timeout_ms(ctl, least),
			  &item);
	if (rc < 0)
		return ctl_broken(ctl, rc);
	if (item.kind == PF_ERROR)
		return refused(method, &item.error);
	*result = item.result;
	return CTL_OK;
}

int ctl_call(struct ctl *ctl, const char *method, struct pf_args args,
	     struct slice *result)
{
	return ctl_call_slow(ctl, method, args, SECONDS, result);
}

uint32_t ctl_space(const struct ctl *ctl, uint32_t n, struct buf *args)
{
	if (!ctl->option[OPT_MQTT])
		return n;
	pack_cstr(args, "mqtt");
	return n + 1;
}

int ctl_ask(struct ctl *ctl, const char *method, uint32_t n, struct buf *args,
	    struct slice *result)
{
	int least = ctl->patience ? ctl->patience : SECONDS, rc;

	rc = buf_error(args) == ERR_RANGE
		     ? ctl_fail(CTL_REFUSED, "more than fits in one message")
	     : buf_error(args)
		     ? ctl_fail(CTL_REFUSED, "out of memory")
		     : ctl_call_slow(ctl, method, pf_args(n, buf_slice(args)),
				     least, result);
	buf_fini(args);
	return rc;
}

int ctl_done(const struct ctl *ctl, struct slice result)
{
	return ctl->option[OPT_JSON] ? out_value(result) : CTL_OK;
}

/* ---- files ------------------------------------------------------------- */

static int read_all(int fd, const char *name, struct buf *out)
{
	for (;;) {
		uint8_t *room;
		ssize_t n;

		if (buf_reserve(out, 65536, &room) < 0)
			return ctl_fail(CTL_REFUSED,
					"%s: more than fits in one message",
					name);
		n = read(fd, room, 65536);
		if (n < 0 && errno != EINTR)
			return ctl_fail(CTL_REFUSED, "%s: %s", name,
					strerror(errno));
		if (n == 0)
			return CTL_OK;
		buf_commit(out, n > 0 ? (size_t)n : 0);
	}
}

int ctl_read_file(const char *path, struct buf *out)
{
	int fd, rc;

	buf_init(out, PROTO_MAX_MESSAGE);
	if (strcmp(path, "-") == 0)
		return read_all(STDIN_FILENO, "stdin", out);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return ctl_fail(CTL_REFUSED, "%s: %s", path, strerror(errno));
	rc = read_all(fd, path, out);
	close(fd);
	return rc;
}
