/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format: the number of the database's format, in a file beside it.
 *
 * It is inside the database as well, but nobody can read it there who has not
 * opened the database, and RocksDB writes to what it opens. DIR/format, one
 * line, is read before, so that what a newer release wrote stays as it is.
 */
#ifndef PF_BROKER_STORE_FORMAT_H
#define PF_BROKER_STORE_FORMAT_H

#include "broker/store.h"

/* OK: it is ours. ERR_ABSENT: there is no such file. Else `why` is filled:
 * ERR_FORMAT (another number), ERR_CORRUPT (no number), ERR_IO. */
int format_check(const char *dir, char why[STORE_WHY]) must_check;

/* Say that it is ours. The file is whole or not there. ERR_IO, and `why`. */
int format_put(const char *dir, char why[STORE_WHY]);

/* Of a backup that came to nothing. */
void format_remove(const char *dir);

#endif
