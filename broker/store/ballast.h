/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ballast: space that is set aside for a start on a full disk.
 *
 * Opening a database writes what its log holds into a table, and Debian's
 * RocksDB aborts when the disk is full: without room of its own, a broker that
 * died on a full disk could not come back. DIR/ballast takes up that room
 * while there is plenty and gives it up when there is none.
 */
#ifndef PF_BROKER_STORE_BALLAST_H
#define PF_BROKER_STORE_BALLAST_H

#include <stdint.h>

#include "broker/store.h"

/* Before a database is opened. ERR_IO with `why` when there is too little
 * space even without the ballast, by the size of the log in DIR/db. */
int ballast_release(const char *dir, char why[STORE_WHY]) must_check;

/* Set it aside (again) where that leaves `floor` bytes free. A file system
 * that cannot reserve space goes without. */
void ballast_fill(const char *dir, uint64_t floor);

#endif
