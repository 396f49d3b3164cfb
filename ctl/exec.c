/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec: one hook of one script on an event from a file.
 */
#include <inttypes.h>

#include "ctl/ctl.h"
#include "ctl/field.h"
#include "ctl/json.h"
#include "ctl/out.h"
#include "proto/pack.h"

enum { EXEC_SECONDS = 60 };

/* JSON from `name`, a file or what else the user calls it. */
static int read_json(const char *name, struct slice text, struct buf *out)
{
	struct json_error error;
	int r = json_read(text, out, &error);

	if (r == OK)
		return CTL_OK;
	if (!error.what)
		return ctl_fail(CTL_REFUSED, "out of memory");
	return ctl_fail(CTL_REFUSED, "%s:%u:%u: %s", name, error.line,
			error.column, error.what);
}

static int read_file(const char *path, struct buf *out)
{
	struct buf text = {0};
	int rc = ctl_read_file(path, &text);

	if (rc == CTL_OK)
		rc = read_json(path, buf_slice(&text), out);
	buf_fini(&text);
	return rc;
}

/* Begins with {: JSON; else a file. */
static int read_config(const char *word, struct buf *out)
{
	int rc;

	if (word[strspn(word, " \t\n")] == '{')
		rc = read_json("--script-config", slice_str(word), out);
	else
		rc = read_file(word, out);
	return rc;
}

/* [name, args...] as a line: the name, then each as JSON. */
static int print_call(struct slice call, struct buf *line)
{
	struct cursor c = cursor_of(call);
	uint32_t n = cursor_array(&c);

	buf_addf(line, "  ");
	if (n > 0)
		out_safe(cursor_text(&c), line);
	while (n-- > 1 && !c.error) {
		buf_add_byte(line, ' ');
		out_json(cursor_raw(&c), line);
	}
	return out_line(line);
}

static int print_calls(struct slice result, const char *key, struct buf *line)
{
	struct cursor c = field_at(result, key);
	uint32_t n = cursor_array(&c);
	int rc;

	out_paint(OUT_BOLD, line);
	buf_addf(line, "%s", key);
	out_paint(OUT_PLAIN, line);
	if (n == 0)
		buf_addf(line, ": none");
	rc = out_line(line);
	while (n-- > 0 && !c.error && rc == CTL_OK)
		rc = print_call(cursor_raw(&c), line);
	return rc;
}

static int print_traceback(struct slice text, struct buf *line)
{
	int rc = CTL_OK;

	while (text.n > 0 && rc == CTL_OK) {
		const uint8_t *end = memchr(text.p, '\n', text.n);
		size_t n = end ? (size_t)(end - text.p) : text.n;

		buf_addf(line, "  ");
		for (; n > 0 && *text.p == '\t'; n--) {
			buf_addf(line, "  ");
			text = slice_of(text.p + 1, text.n - 1);
		}
		out_safe(slice_of(text.p, n), line);
		rc = out_line(line);
		n += end != NULL;
		text = slice_of(text.p + n, text.n - n);
	}
	return rc;
}

static int print_error(struct slice error, struct buf *line)
{
	int rc;

	out_paint(OUT_RED, line);
	buf_addf(line, "error");
	out_paint(OUT_PLAIN, line);
	buf_addf(line, " ");
	out_safe(field_text(error, "code"), line);
	buf_addf(line, ": ");
	out_safe(field_text(error, "message"), line);
	rc = out_line(line);
	return rc == CTL_OK
		       ? print_traceback(field_text(error, "traceback"), line)
		       : rc;
}

/* Of an MQTT hook: "verdict: ok {"username":"x"}, 214 us". */
static int print_verdict(struct slice result, struct buf *line)
{
	struct slice reason = field_text(result, "reason"), mods;

	buf_addf(line, "verdict: ");
	out_safe(field_text(result, "verdict"), line);
	if (reason.n) {
		buf_addf(line, " ");
		out_safe(reason, line);
	}
	if (map_find(result, "mods", &mods)) {
		buf_addf(line, " ");
		out_json(mods, line);
	}
	buf_addf(line, ", %" PRId64 " us", field_int(result, "us"));
	return out_line(line);
}

static int print_result(struct slice result, struct slice error)
{
	static const char *const parts[] = {"ops", "effects", "logs"};
	struct cursor finished = field_at(result, "finished");
	struct buf line = {0};
	int rc = CTL_OK;

	for (size_t i = 0; i < 3 && rc == CTL_OK; i++)
		rc = print_calls(result, parts[i], &line);
	if (rc == CTL_OK && field_text(result, "verdict").n) {
		rc = print_verdict(result, &line);
	} else if (rc == CTL_OK) {
		buf_addf(&line, "finished: %s, %" PRId64 " us",
			 cursor_bool(&finished) ? "yes" : "no",
			 field_int(result, "us"));
		rc = out_line(&line);
	}
	if (rc == CTL_OK && error.n > 1)
		rc = print_error(error, &line);
	buf_fini(&line);
	return rc;
}

static int run_exec(struct ctl *ctl)
{
	const char *config_word = ctl->option[OPT_SCRIPT_CONFIG];
	struct buf event = {0}, config = {0}, args = {0};
	struct slice result, error = {0};
	int rc = read_file(ctl->word[2], &event);

	if (rc == CTL_OK && config_word)
		rc = read_config(config_word, &config);
	if (rc == CTL_OK) {
		pack_map(&args, 3 + (config_word != NULL));
		pack_cstr(&args, "script");
		pack_text(&args, slice_str(ctl->word[0]));
		pack_cstr(&args, "hook");
		pack_text(&args, slice_str(ctl->word[1]));
		pack_cstr(&args, "event");
		pack_raw(&args, buf_slice(&event));
		if (config_word) {
			pack_cstr(&args, "config");
			pack_raw(&args, buf_slice(&config));
		}
		ctl->patience = EXEC_SECONDS;
		rc = ctl_ask(ctl, "exec", 1, &args, &result);
	}
	buf_fini(&event);
	buf_fini(&config);
	if (rc != CTL_OK)
		return rc;
	if (!map_find(result, "error", &error))
		return ctl_nonsense("exec");
	rc = ctl->option[OPT_JSON] ? out_value(result)
				   : print_result(result, error);
	return rc == CTL_OK && error.n > 1 ? CTL_REFUSED : rc;
}

const struct command exec_commands[] = {
	{"exec", "SCRIPT HOOK FILE", "run one hook on an event, commit nothing",
	 "FILE is the event as JSON (PROTOCOL.md section 3), as `pinfold "
	 "record`\n"
	 "writes it; - is stdin. Bytes that are no text: {\"$base64\": "
	 "\"...\"}.\n"
	 "Prints the ops that the proxy would get, the effects that would "
	 "have\n"
	 "been committed, and what was logged. Reads see the real data; "
	 "kv.incr\n"
	 "and kv.cas, which act at once, are denied. Exit code 1: it failed.\n"
	 "--script-config: a map as JSON, or a file with one; its keys lie "
	 "over\n"
	 "those of the script's config for this run.",
	 3, 3, OPTION(OPT_SCRIPT_CONFIG), run_exec},
	{0},
};
