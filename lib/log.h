/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log: one line per record to stderr.
 *
 *   2026-11-22T03:24:13.123Z warn child message key=value key="two words"
 *
 * or one JSON object per line. The topic is the noun of the file that logs.
 * The sink is the only global state of this project.
 */
#ifndef PF_LIB_LOG_H
#define PF_LIB_LOG_H

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/slice.h"

enum log_level {
	LOG_TRACE,
	LOG_DEBUG,
	LOG_INFO,
	LOG_WARN,
	LOG_ERROR,
	LOG_AUDIT, /* always written */
};

struct log_attr {
	struct slice key, value;
};

void log_setup(enum log_level least, bool json);
bool log_wants(enum log_level level);
const char *log_level_name(enum log_level level);

/* "trace".."audit" -> level, or ERR_ABSENT. */
int log_level_parse(struct slice name) must_check;

/*
 * A second reader of every record that is written (the control socket's
 * log.subscribe); NULL removes it. The line ends with a newline.
 */
void log_tap(void (*tap)(void *arg, enum log_level level, struct slice line),
	     void *arg);

/*
 * A look at every text of a record before it is written (messages, keys and
 * values, as they are, not escaped): true when `out` holds what shall be
 * written in its place. NULL removes it.
 */
void log_filter(bool (*filter)(void *arg, struct slice text, struct buf *out),
		void *arg);

/* printf-style; the text may carry key=value pairs of its own after a space.
 * Control bytes in it are escaped. */
void log_at(enum log_level level, const char *topic, const char *fmt, ...)
	printf_like(3, 4);

/* A record with attributes from elsewhere (a script); everything escaped, and
 * cut where the line has 16 KiB. */
void log_attrs(enum log_level level, const char *topic, struct slice msg,
	       const struct log_attr *attrs, size_t n);

#define log_trace(...) log_at(LOG_TRACE, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)

#endif
