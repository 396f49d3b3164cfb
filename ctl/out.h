/* SPDX-License-Identifier: Apache-2.0 */
/*
 * out: printing what the broker answered: as JSON, as text that is safe for a
 * terminal, as a table.
 */
#ifndef PF_CTL_OUT_H
#define PF_CTL_OUT_H

#include <stdio.h>

#include "lib/buf.h"

/* One packed value as JSON on one line, without a newline (json.h). */
void out_json(struct slice value, struct buf *out);

/* Text for people: control bytes and what is no UTF-8 become \xNN. */
void out_safe(struct slice text, struct buf *out);

/* Milliseconds since the epoch as 2026-01-02T03:04:05.678Z. */
void out_time(int64_t ms, struct buf *out);

/* Colours, for terminals; nothing where stdout is none, or with NO_COLOR or
 * TERM=dumb. OUT_PLAIN ends the one before. */
enum out_color {
	OUT_PLAIN,
	OUT_RED,
	OUT_GREEN,
	OUT_YELLOW,
	OUT_DIM,
	OUT_BOLD,
};

void out_paint(enum out_color color, struct buf *out);

/* To stdout with a newline. CTL_OK, or CTL_REFUSED when it cannot be written
 * (printed). Clears `line`. */
int out_line(struct buf *line) must_check;

/* The same for a packed value as JSON. */
int out_value(struct slice packed) must_check;

/* Columns as wide as their widest cell; numbers are the caller's text. */
enum { OUT_COLUMNS = 12 };

struct out_table {
	struct buf cells; /* NUL-terminated, row after row */
	unsigned columns;
	uint32_t right; /* bits of columns that align right */
};

void out_cell(struct out_table *t, const char *fmt, ...) printf_like(2, 3);
void out_cell_slice(struct out_table *t, struct slice text);
void out_cell_paint(struct out_table *t, enum out_color color); /* the next */
int out_table(struct out_table *t) must_check; /* prints and frees */

#endif
