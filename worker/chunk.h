/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chunk: what source text must not contain, although Lua would take it.
 */
#ifndef PF_WORKER_CHUNK_H
#define PF_WORKER_CHUNK_H

#include "lib/slice.h"

/*
 * Lua 5.4 before 5.4.7 names the operand of a failed operation by recursion
 * over the chain of index operations that made it ("a.b.c.d"), without a
 * limit. So chains of more than 250 in one expression are refused, and
 * brackets deeper than 250, which Lua refuses anyway.
 *
 * NULL when the text is fine, else what is wrong, with the line. One pass,
 * no memory. Text that is not Lua may pass: the compiler will say so.
 */
const char *chunk_check(struct slice text, unsigned *line);

#endif
