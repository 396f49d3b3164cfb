/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup: a kernel limit on all memory of a worker, where the broker may make
 * one. It also counts what RLIMIT_AS and the worker's own heap cannot: page
 * tables and socket buffers. Optional; the layer's name in reports is
 * "cgroup".
 *
 * The first form that can be had is used: v2 (memory.max) below the broker's
 * own group, v1 (memory.limit_in_bytes) likewise, none.
 */
#ifndef PF_BROKER_CGROUP_H
#define PF_BROKER_CGROUP_H

#include <stddef.h>
#include <sys/types.h>

#include "lib/err.h"

enum { CGROUP_SLACK = 32 << 20, CGROUP_PATH = 512 };

struct cgroup {
	int version; /* 0: none */
	char dir[CGROUP_PATH];
};

/*
 * Look where groups can be made, and remove those that an earlier broker left
 * there. `root` is /sys/fs/cgroup, `self` /proc/self/cgroup (tests have
 * others). 0, or ERR_ABSENT and a cgroup that refuses.
 */
int cgroup_open(struct cgroup *cg, const char *root,
		const char *self) must_check;

/*
 * Put the process into a group of its own with a limit of `memory` +
 * CGROUP_SLACK bytes, without swap. To move a process the kernel waits until
 * all CPUs have noticed (11 ms here): call it on a pool thread, any number of
 * them; *cg is only read. Until it returns nobody may wait for the pid, lest
 * it is another's by then. ERR_ABSENT (no cgroups), ERR_CLOSED (no such
 * process), ERR_IO.
 */
int cgroup_add_work(const struct cgroup *cg, pid_t pid,
		    size_t memory) must_check;

/* After the process has been waited for. Harmless when there is none. */
void cgroup_remove(const struct cgroup *cg, pid_t pid);

#endif
