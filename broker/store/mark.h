/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mark: the number of the last acknowledged write, kept beside the database.
 *
 * A log that was cut short, or whose last file is missing, opens without a
 * complaint: it looks like the torn end that a kill leaves. Only a number
 * kept elsewhere tells the one from the other.
 *
 * DIR/sequence, one line: NUMBER, and `synced` when that write is on the disk,
 * else the boot in which it was acknowledged: after a power cut the end of an
 * unsynced log may rightly be gone, after a kill of the process it may not.
 */
#ifndef PF_BROKER_STORE_MARK_H
#define PF_BROKER_STORE_MARK_H

#include <stdbool.h>
#include <stdint.h>

enum { MARK_BOOT = 36 };

struct mark {
	int fd;			  /* -1: none; then nothing is kept */
	uint64_t least;		  /* a whole log goes at least this far */
	char boot[MARK_BOOT + 1]; /* of now */
};

/* Read what is there, and be ready to write. A file that cannot be opened, or
 * says nothing, costs only the check: least is 0. */
void mark_open(struct mark *m, const char *dir);

/* Writes up to that number are acknowledged from now on. One short write into
 * the page cache, over what was there. */
void mark_put(struct mark *m, uint64_t number, bool synced);

void mark_close(struct mark *m); /* also one that was never opened: fd -1 */

#endif
