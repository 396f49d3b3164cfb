/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv: the commands on the key-value space that scripts of a dialect share.
 */
#include <errno.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/out.h"
#include "proto/pack.h"

static int print_value(struct slice value)
{
	bool tty = isatty(STDOUT_FILENO);
	struct buf line = {0};
	int rc;

	if (tty) {
		out_safe(value, &line);
		rc = out_line(&line);
		buf_fini(&line);
		return rc;
	}
	if (fwrite(value.p, 1, value.n, stdout) != value.n || fflush(stdout))
		return ctl_fail(CTL_REFUSED, "cannot write: %s",
				strerror(errno));
	return CTL_OK;
}

static int run_get(struct ctl *ctl)
{
	struct buf args = {0};
	struct slice result, value;
	struct cursor c;
	int rc;

	pack_text(&args, slice_str(ctl->word[0]));
	rc = ctl_ask(ctl, "kv.get", ctl_space(ctl, 1, &args), &args, &result);
	if (rc != CTL_OK)
		return rc;
	if (ctl->option[OPT_JSON])
		rc = out_value(result);
	c = cursor_of(result);
	if (cursor_nil(&c))
		return ctl_fail(CTL_REFUSED, "%s: no such key", ctl->word[0]);
	value = cursor_text(&c);
	if (c.error)
		return ctl_nonsense("kv.get");
	return ctl->option[OPT_JSON] ? rc : print_value(value);
}

static int run_set(struct ctl *ctl)
{
	struct buf args = {0}, input = {0};
	struct slice value = slice_str(ctl->word[1]), result;
	int64_t ttl = 0;
	int rc = CTL_OK;

	if (ctl->option[OPT_TTL])
		rc = ctl_int("--ttl", ctl->option[OPT_TTL], &ttl);
	if (rc == CTL_OK && (ttl < 0 || ttl > INT64_MAX / 1000))
		rc = ctl_fail(CTL_USAGE, "--ttl: expected seconds");
	if (rc == CTL_OK && slice_is(value, "-")) {
		rc = ctl_read_file("-", &input);
		value = buf_slice(&input);
	}
	if (rc == CTL_OK) {
		pack_text(&args, slice_str(ctl->word[0]));
		pack_bin(&args, value);
		pack_int(&args, ttl * 1000);
		rc = ctl_ask(ctl, "kv.set", ctl_space(ctl, 3, &args), &args,
			     &result);
	}
	buf_fini(&input);
	return rc == CTL_OK ? ctl_done(ctl, result) : rc;
}

static int run_delete(struct ctl *ctl)
{
	struct buf args = {0};
	struct slice result;
	int rc;

	pack_text(&args, slice_str(ctl->word[0]));
	rc = ctl_ask(ctl, "kv.delete", ctl_space(ctl, 1, &args), &args,
		     &result);
	return rc == CTL_OK ? ctl_done(ctl, result) : rc;
}

static int print_list(struct slice result)
{
	struct cursor c = cursor_of(result);
	struct out_table t = {.columns = 2};
	uint32_t n = cursor_map(&c);

	while (n-- > 0 && !c.error) {
		out_cell_slice(&t, cursor_text(&c));
		out_cell_slice(&t, cursor_text(&c));
	}
	if (c.error) {
		buf_fini(&t.cells);
		return ctl_nonsense("kv.list");
	}
	return out_table(&t);
}

static int run_list(struct ctl *ctl)
{
	struct buf args = {0};
	struct slice result;
	int rc;

	pack_text(&args, slice_str(ctl->nwords ? ctl->word[0] : ""));
	rc = ctl_ask(ctl, "kv.list", ctl_space(ctl, 1, &args), &args, &result);
	if (rc != CTL_OK)
		return rc;
	return ctl->option[OPT_JSON] ? out_value(result) : print_list(result);
}

static int run_incr(struct ctl *ctl)
{
	struct buf args = {0};
	struct slice result;
	struct cursor c;
	int64_t by = 1;
	int rc;

	if (ctl->nwords > 1 && ctl_int("BY", ctl->word[1], &by) != CTL_OK)
		return CTL_USAGE;
	pack_text(&args, slice_str(ctl->word[0]));
	pack_int(&args, by);
	rc = ctl_ask(ctl, "kv.incr", ctl_space(ctl, 2, &args), &args, &result);
	if (rc != CTL_OK)
		return rc;
	c = cursor_of(result);
	(void)cursor_int(&c);
	return c.error ? ctl_nonsense("kv.incr") : out_value(result);
}

const struct command kv_commands[] = {
	{"kv get", "KEY", "print a value",
	 "Its bytes as they are, escaped only on a terminal. A key that is "
	 "not\nthere is exit code 1.",
	 1, 1, OPTION(OPT_MQTT), run_get},
	{"kv set", "KEY VALUE", "set a value (- reads it from stdin)", NULL, 2,
	 2, OPTION(OPT_TTL) | OPTION(OPT_MQTT), run_set},
	{"kv delete", "KEY", "remove a key", NULL, 1, 1, OPTION(OPT_MQTT),
	 run_delete},
	{"kv list", "[PREFIX]", "print keys and values", NULL, 0, 1,
	 OPTION(OPT_MQTT), run_list},
	{"kv incr", "KEY [BY]", "add to a number and print it", NULL, 1, 2,
	 OPTION(OPT_MQTT), run_incr},
	{0},
};
