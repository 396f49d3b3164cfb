/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_loop: what the files of the store's loop side share: store.c (writes,
 * opening, closing) and store_read.c (reads). Nobody else includes it.
 */
#ifndef PF_BROKER_STORE_LOOP_H
#define PF_BROKER_STORE_LOOP_H

#include "broker/store_thread.h"
#include "lib/map.h"

struct store {
	uv_loop_t *loop;
	struct store_thread thread;
	struct map overlay; /* key -> the newest pending store_op */
	struct group group[2];
	struct group *open;   /* gathers what is applied */
	struct group *flight; /* with the thread, or NULL */
	uv_prepare_t turn;    /* the end of a loop turn */
	uv_idle_t again;      /* there is to be one more */
	uint64_t usage[STORE_ACCOUNTS];
	uint64_t growth[STORE_ACCOUNTS]; /* of what is pending, at most */
	uint64_t account_max;
	size_t queue_bytes, loop_bytes;
	uint64_t thread_until_ms; /* the loop's last write took long */
	size_t jobs;		  /* posted, not back yet; groups aside */
	uint64_t freed;		  /* as of the last group, see group.freed */
	struct {
		uv_timer_t timer;
		struct job job;
		uint64_t done, bytes, ms; /* freed at the last one; options */
		bool busy;
	} tidy;
	struct store_status status;
	bool sync, closing, stopped;
	void (*close_cb)(void *arg);
	void *close_arg;
};

enum { STORE_MAX_JOBS = 16384 };

/* May one more job be posted? ERR_FULL, ERR_CLOSED. */
int store_job_allowed(const struct store *s) must_check;
void store_job_post(struct store *s, struct job *job);

/* store_tidy.c: when enough large values were freed, their room goes back to
 * the disk. seen(): after each group. */
void store_tidy_init(struct store *s, const struct store_options *o);
void store_tidy_seen(struct store *s);
void store_tidy_close(struct store *s, uv_close_cb closed);

/* In every done of such a job, last of all: s may begin to close. */
void store_job_over(struct store *s);

#endif
