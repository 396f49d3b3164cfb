/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mark: how far the database had come, kept beside it.
 *
 * A log that was cut short, or whose last file is missing, opens without a
 * complaint: it looks like the torn end that a kill leaves. So does a MANIFEST
 * (RocksDB's list of its files) without its last lines, and then whole tables
 * are gone. Only what is kept elsewhere tells the one from the other.
 *
 * DIR/sequence, one line: the number of the last acknowledged write, name and
 * size of the MANIFEST, a letter, and the boot in which that was written:
 * after a power cut what was not synced may rightly be gone, after a kill of
 * the process it may not.
 */
#ifndef PF_BROKER_STORE_MARK_H
#define PF_BROKER_STORE_MARK_H

#include <stdbool.h>
#include <stdint.h>

enum { MARK_BOOT = 36, MARK_NAME = 20, MARK_LOOK_MS = 20 };

enum mark_kind {
	MARK_WRITTEN = 'w', /* holds in this boot */
	MARK_SYNCED = 's',  /* the writes hold for ever */
	MARK_CLOSED = 'c',  /* everything does */
};

struct mark {
	int fd;			  /* -1: none; then nothing is kept */
	int manifest_fd;	  /* of the open database, or -1 */
	char boot[MARK_BOOT + 1]; /* of now */
	char manifest[MARK_NAME + 1];
	uint64_t writes, size; /* at least; 0: nothing is known */
	volatile char *line;   /* the file's, mapped; or NULL */
	uint64_t looked_ms;    /* at the MANIFEST */
	char kind;	       /* what the line says */
};

/* Read what is there, and be ready to write. A file that cannot be opened, or
 * says nothing, costs only the check. mark_close() is due. */
void mark_open(struct mark *m, const char *dir);

/* Before the database in `db` is opened: is its MANIFEST as long as it was?
 * m->manifest is its name. */
bool mark_manifest_whole(const struct mark *m, const char *db);

/* The database is open: watch its MANIFEST. */
void mark_watch(struct mark *m, const char *db);

/* Writes up to that number are acknowledged from now on. A store or two into
 * the page cache, over what was there; the MANIFEST's size follows within
 * MARK_LOOK_MS of writing. */
void mark_put(struct mark *m, uint64_t writes, enum mark_kind kind);

void mark_close(struct mark *m);

#endif
