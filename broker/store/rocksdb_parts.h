/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rocksdb_parts: RocksDB's settings, and the objects that carry them. Only
 * rocksdb.c uses it.
 */
#ifndef PF_BROKER_STORE_ROCKSDB_PARTS_H
#define PF_BROKER_STORE_ROCKSDB_PARTS_H

#include <rocksdb/c.h>

#include "broker/store/engine.h"

struct rocks_parts {
	rocksdb_options_t *options;
	rocksdb_block_based_table_options_t *table;
	rocksdb_cache_t *cache;
	rocksdb_readoptions_t *read, *read_cached, *read_scan;
	rocksdb_writeoptions_t *write[ENGINE_NOWAIT + 1];
	rocksdb_flushoptions_t *flush; /* does not wait */
	rocksdb_writebatch_t *batch;
};

void rocks_parts_make(struct rocks_parts *p, const struct store_options *o);

/* Accepts one that was never made, all zero. */
void rocks_parts_free(struct rocks_parts *p);

#endif
