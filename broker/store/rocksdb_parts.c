/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rocksdb_parts: see rocksdb_parts.h. Why a setting is as it is stands beside
 * it; what is not named is RocksDB's default.
 */
#include "broker/store/rocksdb_parts.h"

enum {
	BLOB_FILE = 64 << 20,
	WAL_TOTAL = 64 << 20,
	RECOVERY_TOLERATE_TORN_TAIL = 0,
	TIER_BLOCK_CACHE = 1,
	LOG_LEVEL_WARN = 2,
};

static rocksdb_options_t *make_options(struct rocks_parts *p,
				       const struct store_options *o)
{
	rocksdb_options_t *opt = rocksdb_options_create();

	p->cache = rocksdb_cache_create_lru(o->cache_bytes);
	p->table = rocksdb_block_based_options_create();
	rocksdb_block_based_options_set_block_cache(p->table, p->cache);
	rocksdb_block_based_options_set_filter_policy(
		p->table, rocksdb_filterpolicy_create_bloom_full(10));
	rocksdb_options_set_block_based_table_factory(opt, p->table);

	/* Fail loudly: a flipped bit in the log must not drop what follows
	 * it, yet the torn tail of a kill is no damage. */
	rocksdb_options_set_wal_recovery_mode(opt, RECOVERY_TOLERATE_TORN_TAIL);
	rocksdb_options_set_paranoid_checks(opt, 1);
	rocksdb_options_set_max_total_wal_size(opt, WAL_TOTAL);
	rocksdb_options_set_recycle_log_file_num(opt, 0);
	rocksdb_options_set_wal_bytes_per_sync(opt, 0);
	rocksdb_options_set_max_open_files(opt, 256);
	/* More than 2 can put a failed flush out of order in 7.8. */
	rocksdb_options_set_max_write_buffer_number(opt, 2);
	rocksdb_options_set_write_buffer_size(opt, o->write_buffer_bytes);
	rocksdb_options_set_max_background_jobs(opt, 2);

	rocksdb_options_set_enable_blob_files(opt, 1);
	rocksdb_options_set_min_blob_size(opt, ENGINE_LARGE);
	rocksdb_options_set_blob_file_size(opt, BLOB_FILE);
	rocksdb_options_set_enable_blob_gc(opt, 1);
	rocksdb_options_set_blob_gc_force_threshold(opt, 0.5);

	rocksdb_options_set_info_log_level(opt, LOG_LEVEL_WARN);
	rocksdb_options_set_keep_log_file_num(opt, 4);
	rocksdb_options_set_max_log_file_size(opt, 1 << 20);
	/* An idle broker must not wake up for statistics. */
	rocksdb_options_set_stats_dump_period_sec(opt, 0);
	rocksdb_options_set_stats_persist_period_sec(opt, 0);
	return opt;
}

/* The library's classes have no forms that fail. */
void rocks_parts_make(struct rocks_parts *p, const struct store_options *o)
{
	p->options = make_options(p, o);
	p->read = rocksdb_readoptions_create();
	p->read_cached = rocksdb_readoptions_create();
	rocksdb_readoptions_set_read_tier(p->read_cached, TIER_BLOCK_CACHE);
	p->read_scan = rocksdb_readoptions_create();
	rocksdb_readoptions_set_verify_checksums(p->read, 1);
	rocksdb_readoptions_set_verify_checksums(p->read_cached, 1);
	rocksdb_readoptions_set_verify_checksums(p->read_scan, 1);
	rocksdb_readoptions_set_fill_cache(p->read_scan, 0);
	for (int i = 0; i <= ENGINE_NOWAIT; i++)
		p->write[i] = rocksdb_writeoptions_create();
	rocksdb_writeoptions_set_sync(p->write[ENGINE_SYNC], 1);
	rocksdb_writeoptions_set_no_slowdown(p->write[ENGINE_NOWAIT], 1);
	p->flush = rocksdb_flushoptions_create();
	rocksdb_flushoptions_set_wait(p->flush, 0);
	p->batch = rocksdb_writebatch_create();
}

void rocks_parts_free(struct rocks_parts *p)
{
	if (!p->options)
		return;
	rocksdb_writebatch_destroy(p->batch);
	rocksdb_flushoptions_destroy(p->flush);
	for (int i = 0; i <= ENGINE_NOWAIT; i++)
		rocksdb_writeoptions_destroy(p->write[i]);
	rocksdb_readoptions_destroy(p->read);
	rocksdb_readoptions_destroy(p->read_cached);
	rocksdb_readoptions_destroy(p->read_scan);
	rocksdb_options_destroy(p->options);
	rocksdb_block_based_options_destroy(p->table);
	rocksdb_cache_destroy(p->cache);
}
