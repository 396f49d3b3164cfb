/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy: what a locked worker may ask of the kernel. All else kills it.
 *
 * A row is explained in lib/seccomp.h. Rows stand in the order of their names.
 * Who adds a row says why, and adds the same to tests/unit/test_policy.c and
 * tests/sandbox/expect.py, which are written from the reasons and not from
 * this table.
 */
#ifndef PF_WORKER_POLICY_H
#define PF_WORKER_POLICY_H

#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>

#include "lib/seccomp.h"

#if defined(PINFOLD_SANITIZE) || defined(__SANITIZE_ADDRESS__)
#define POLICY_SANITIZED 1
#else
#define POLICY_SANITIZED 0
#endif

enum { POLICY_FD = 3 };

static const struct policy_rule policy_rules[] = {
	{"clock_gettime",
	 SYS_clock_gettime,
	 "time, where the vDSO has none; a negative id would be the clock of "
	 "another process",
	 {{POLICY_UPTO, 0, CLOCK_BOOTTIME, false}}},
	{"exit_group", SYS_exit_group, "the way to end", {{0}}},
	{"getrandom",
	 SYS_getrandom,
	 "seeds and crypto.random; not GRND_RANDOM, which drains a pool",
	 {{POLICY_BITS, 2, GRND_NONBLOCK, false}}},
	{"madvise",
	 SYS_madvise,
	 "the heap gives memory back; no other advice",
	 {{POLICY_IS, 2, MADV_DONTNEED, false}}},
	{"mmap",
	 SYS_mmap,
	 "the heap grows: the kernel chooses where, nothing shared, no file, "
	 "never executable",
	 {{POLICY_IS, 0, 0, true},
	  {POLICY_IS, 2, PROT_READ | PROT_WRITE, true},
	  {POLICY_IS, 3, MAP_PRIVATE | MAP_ANONYMOUS, true}}},
	{"mremap",
	 SYS_mremap,
	 "the heap resizes large blocks; never to a chosen address",
	 {{POLICY_BITS, 3, MREMAP_MAYMOVE, true}}},
	{"munmap", SYS_munmap, "the heap shrinks", {{0}}},
	{"read",
	 SYS_read,
	 "the one socket",
	 {{POLICY_IS, 0, POLICY_FD, false}}},
	{"rt_sigreturn",
	 SYS_rt_sigreturn,
	 "the way out of the deadline signal's handler",
	 {{0}}},
	{"write",
	 SYS_write,
	 "the one socket",
	 {{POLICY_IS, 0, POLICY_FD, false}}},
};

#if POLICY_SANITIZED
/* What the sanitizers' run time does besides, up to its report on fd 2. */
static const struct policy_rule policy_sanitizer[] = {
	{"close", SYS_close, "maps are read for a report", {{0}}},
	{"exit", SYS_exit, "after a report", {{0}}},
	{"fstat", SYS_fstat, "maps", {{0}}},
	{"futex", SYS_futex, "its locks", {{0}}},
	{"getpid", SYS_getpid, "report", {{0}}},
	{"gettid", SYS_gettid, "report", {{0}}},
	{"ioctl", SYS_ioctl, "is fd 2 a terminal", {{0}}},
	{"madvise", SYS_madvise, "its allocator", {{0}}},
	{"mmap",
	 SYS_mmap,
	 "its allocator and shadow",
	 {{POLICY_BITS, 2, PROT_READ | PROT_WRITE, true}}},
	{"mprotect",
	 SYS_mprotect,
	 "its allocator",
	 {{POLICY_BITS, 2, PROT_READ | PROT_WRITE, true}}},
	{"newfstatat", SYS_newfstatat, "maps", {{0}}},
	{"openat",
	 SYS_openat,
	 "maps; RLIMIT_NOFILE and the root forbid it",
	 {{0}}},
	{"prctl", SYS_prctl, "names of mappings", {{0}}},
	{"readlink", SYS_readlink, "name of the program", {{0}}},
	{"rt_sigaction", SYS_rt_sigaction, "abort", {{0}}},
	{"rt_sigprocmask", SYS_rt_sigprocmask, "abort", {{0}}},
	{"sched_yield", SYS_sched_yield, "its locks", {{0}}},
	{"sigaltstack", SYS_sigaltstack, "end of a thread", {{0}}},
	{"tgkill", SYS_tgkill, "abort", {{0}}},
	{"write", SYS_write, "the report", {{POLICY_IS, 0, 2, false}}},
};
#endif

#endif
