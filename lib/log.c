/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log: records to stderr, one write(2) each, so that lines of two processes
 * never mix. Text and JSON share one path: head, message, attributes, tail.
 */
#include "lib/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "lib/buf.h"

enum { LINE_MAX_BYTES = 16 << 10 };

static struct {
	enum log_level least;
	bool json;
	void (*tap)(void *arg, enum log_level level, struct slice line);
	void *tap_arg;
	bool (*filter)(void *arg, struct slice text, struct buf *out);
	void *filter_arg;
} sink = {.least = LOG_INFO};

static const char *const level_names[] = {
	"trace", "debug", "info", "warn", "error", "audit",
};

void log_setup(enum log_level least, bool json)
{
	sink.least = least;
	sink.json = json;
}

bool log_wants(enum log_level level)
{
	return level >= sink.least;
}

const char *log_level_name(enum log_level level)
{
	return level_names[level];
}

int log_level_parse(struct slice name)
{
	for (int i = 0; i <= LOG_AUDIT; i++)
		if (slice_is(name, level_names[i]))
			return i;
	return ERR_ABSENT;
}

void log_tap(void (*tap)(void *arg, enum log_level level, struct slice line),
	     void *arg)
{
	sink.tap = tap;
	sink.tap_arg = arg;
}

void log_filter(bool (*filter)(void *arg, struct slice text, struct buf *out),
		void *arg)
{
	sink.filter = filter;
	sink.filter_arg = arg;
}

static void add_time(struct buf *b)
{
	struct timespec now;
	struct tm tm;
	char text[32];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	buf_addf(b, "%s.%03ldZ", text, now.tv_nsec / 1000000);
}

/* U+0080..U+009F: a terminal obeys them as it does ESC. */
static bool is_c1(struct slice s, size_t i)
{
	return s.p[i] == 0xc2 && s.p[i + 1] < 0xa0;
}

/*
 * Control characters never reach a terminal or break a line; what is not
 * UTF-8 is shown as \xNN in text and as U+FFFD in JSON. Ends, between two
 * characters, where the line has `limit` bytes. `quoted`: inside quotes.
 */
static void add_escaped(struct buf *b, struct slice s, size_t limit,
			bool quoted)
{
	bool utf8 = slice_is_utf8(s), json = sink.json;

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (b->n >= limit && !(utf8 && (c & 0xc0) == 0x80))
			return;
		if (quoted && (c == '"' || c == '\\'))
			buf_addf(b, "\\%c", c);
		else if (c == '\n')
			buf_add(b, "\\n", 2);
		else if (c < 0x20 || c == 0x7f)
			buf_addf(b, json ? "\\u%04x" : "\\x%02x", c);
		else if (utf8 && c >= 0x80 && is_c1(s, i))
			buf_addf(b, json ? "\\u%04x" : "\\xc2\\x%02x",
				 s.p[++i]);
		else if (c >= 0x80 && !utf8 && json)
			buf_add(b, "\xef\xbf\xbd", 3);
		else if (c >= 0x80 && !utf8)
			buf_addf(b, "\\x%02x", c);
		else
			buf_add_byte(b, c);
	}
}

static bool is_plain(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f || s.p[i] == '"' ||
		    s.p[i] == '=' || s.p[i] == '\\')
			return false;
	return s.n > 0;
}

/* What is written of a text. `room` is the caller's, to be freed. */
static struct slice filtered(struct slice s, struct buf *room)
{
	if (!sink.filter || !s.n || !sink.filter(sink.filter_arg, s, room))
		return s;
	return buf_error(room) < 0 ? slice_str("...") : buf_slice(room);
}

/* A key or a value: in quotes unless it cannot be mistaken. */
static void add_word(struct buf *b, struct slice text)
{
	struct buf room = {0};
	struct slice s = filtered(text, &room);
	bool quoted = sink.json || !is_plain(s);

	if (quoted)
		buf_add_byte(b, '"');
	add_escaped(b, s, LINE_MAX_BYTES, quoted);
	if (quoted)
		buf_add_byte(b, '"');
	buf_fini(&room);
}

static void add_attr(struct buf *b, const struct log_attr *a)
{
	buf_add_byte(b, sink.json ? ',' : ' ');
	add_word(b, a->key);
	buf_add_byte(b, sink.json ? ':' : '=');
	add_word(b, a->value);
}

static void add_head(struct buf *b, enum log_level level, const char *topic)
{
	if (sink.json)
		buf_add(b, "{\"time\":\"", 9);
	add_time(b);
	if (sink.json)
		buf_addf(b, "\",\"level\":\"%s\",\"topic\":\"%s\",\"msg\":\"",
			 level_names[level], topic);
	else
		buf_addf(b, " %-5s %s ", level_names[level], topic);
}

void log_attrs(enum log_level level, const char *topic, struct slice msg,
	       const struct log_attr *attrs, size_t n)
{
	struct buf b, room = {0};
	ssize_t written;

	if (!log_wants(level))
		return;
	buf_init(&b, 2 * LINE_MAX_BYTES);
	add_head(&b, level, topic);
	add_escaped(&b, filtered(msg, &room), LINE_MAX_BYTES / 2, sink.json);
	buf_fini(&room);
	if (sink.json)
		buf_add_byte(&b, '"');
	for (size_t i = 0; i < n && b.n < LINE_MAX_BYTES; i++)
		add_attr(&b, &attrs[i]);
	if (buf_error(&b) == OK) {
		buf_add(&b, sink.json ? "}\n" : "\n", 1 + sink.json);
		written = write(STDERR_FILENO, b.p, b.n);
		(void)written; /* nowhere left to complain */
		if (sink.tap)
			sink.tap(sink.tap_arg, level, buf_slice(&b));
	}
	buf_fini(&b);
}

void log_at(enum log_level level, const char *topic, const char *fmt, ...)
{
	char text[4096];
	va_list args;
	int n;

	if (!log_wants(level))
		return;
	va_start(args, fmt);
	n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (n < 0)
		return;
	if ((size_t)n >= sizeof(text))
		n = sizeof(text) - 1;
	log_attrs(level, topic, slice_of(text, (size_t)n), NULL, 0);
}
