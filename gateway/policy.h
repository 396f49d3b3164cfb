/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy: what the locked gateway may ask of the kernel. Sockets, threads,
 * memory, and files to read; what those libraries need that it talks through.
 * All else fails as EPERM, since a library that asks for something odd should
 * get an answer; what only an attacker asks for kills the process.
 *
 * Rows are explained in lib/seccomp.h; which files there are to read is
 * Landlock's business (files.c).
 */
#ifndef PF_GATEWAY_POLICY_H
#define PF_GATEWAY_POLICY_H

#include <fcntl.h>
#include <linux/prctl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "lib/seccomp.h"

#if defined(PINFOLD_SANITIZE) || defined(__SANITIZE_ADDRESS__) ||              \
	defined(__SANITIZE_THREAD__)
#define POLICY_SANITIZED 1
#else
#define POLICY_SANITIZED 0
#endif

/* To read, and nothing but to read. The kernel's own number of O_LARGEFILE,
 * which the C library adds. */
enum {
	POLICY_OPEN = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_DIRECTORY |
		      O_NONBLOCK | O_NOCTTY | 0100000 | 0400000
};

#define ANY(call)                                                              \
	{                                                                      \
#call, SYS_##call, "",                                         \
		{                                                              \
			{                                                      \
				0                                              \
			}                                                      \
		}                                                              \
	}

static const struct policy_rule policy_rules[] = {
	/* reading and writing what is open */
	ANY(read),
	ANY(write),
	ANY(readv),
	ANY(writev),
	ANY(pread64),
	ANY(lseek),
	ANY(close),
	ANY(dup),
	ANY(fcntl),
	ANY(ioctl),
	ANY(ppoll),
	ANY(pselect6),
	ANY(epoll_create1),
	ANY(epoll_ctl),
	ANY(epoll_pwait),
	ANY(eventfd2),
	ANY(pipe2),
#ifdef SYS_poll
	ANY(poll),
	ANY(select),
	ANY(epoll_wait),
	ANY(pipe),
	ANY(dup2),
#endif
	/* sockets; netlink tells the resolver which addresses there are */
	{"socket", SYS_socket, "IPv4", {{POLICY_IS, 0, AF_INET, false}}},
	{"socket", SYS_socket, "IPv6", {{POLICY_IS, 0, AF_INET6, false}}},
	{"socket",
	 SYS_socket,
	 "routes",
	 {{POLICY_IS, 0, AF_NETLINK, false}, {POLICY_IS, 2, 0, false}}},
	ANY(socketpair),
	ANY(connect),
	ANY(bind),
	ANY(shutdown),
	ANY(getsockname),
	ANY(getpeername),
	ANY(getsockopt),
	ANY(setsockopt),
	ANY(sendto),
	ANY(sendmsg),
	ANY(sendmmsg),
	ANY(recvfrom),
	ANY(recvmsg),
	ANY(recvmmsg),
	/* files to read */
	{"openat",
	 SYS_openat,
	 "to read",
	 {{POLICY_BITS, 2, POLICY_OPEN, false}}},
#ifdef SYS_open
	{"open", SYS_open, "to read", {{POLICY_BITS, 1, POLICY_OPEN, false}}},
	ANY(stat),
	ANY(lstat),
	ANY(access),
	ANY(readlink),
#endif
	ANY(fstat),
	ANY(newfstatat),
	ANY(statx),
	ANY(faccessat),
	ANY(readlinkat),
	ANY(getdents64),
	ANY(getcwd),
	ANY(fstatfs),
	/* memory */
	ANY(mmap),
	ANY(mprotect),
	ANY(munmap),
	ANY(mremap),
	ANY(madvise),
	ANY(brk),
	/* threads, never processes */
	{"clone", SYS_clone, "a thread", {{POLICY_ANY, 0, CLONE_THREAD, true}}},
	ANY(futex),
	ANY(set_robust_list),
#ifdef SYS_rseq
	ANY(rseq),
#endif
	ANY(gettid),
	ANY(sched_yield),
	ANY(sched_getaffinity),
	ANY(exit),
	ANY(exit_group),
	{"prctl",
	 SYS_prctl,
	 "the name of a thread",
	 {{POLICY_IS, 0, PR_SET_NAME, false}}},
	/* signals of its own */
	ANY(rt_sigaction),
	ANY(rt_sigprocmask),
	ANY(rt_sigreturn),
	ANY(sigaltstack),
	ANY(restart_syscall),
	/* time, and who it is */
	ANY(clock_gettime),
	ANY(clock_getres),
	ANY(clock_nanosleep),
	ANY(nanosleep),
	ANY(gettimeofday),
	ANY(getrandom),
	ANY(getpid),
	ANY(getppid),
	ANY(getuid),
	ANY(geteuid),
	ANY(getgid),
	ANY(getegid),
	ANY(uname),
	ANY(sysinfo),
	ANY(getrusage),
	{"prlimit64",
	 SYS_prlimit64,
	 "its limits, to read",
	 {{POLICY_IS, 0, 0, false}, {POLICY_IS, 2, 0, true}}},
#ifdef SYS_getrlimit
	ANY(getrlimit),
#endif
};

/* Nobody asks for these by mistake. */
static const uint32_t policy_deadly[] = {
	SYS_execve,
	SYS_execveat,
	SYS_ptrace,
	SYS_process_vm_readv,
	SYS_process_vm_writev,
	SYS_kill,
	SYS_pidfd_open,
	SYS_pidfd_send_signal,
	SYS_mount,
	SYS_umount2,
	SYS_pivot_root,
	SYS_chroot,
	SYS_unshare,
	SYS_setns,
	SYS_bpf,
	SYS_perf_event_open,
	SYS_userfaultfd,
	SYS_io_uring_setup,
	SYS_keyctl,
	SYS_add_key,
	SYS_init_module,
	SYS_finit_module,
	SYS_kexec_load,
	SYS_setuid,
	SYS_setresuid,
	SYS_capset,
	SYS_listen,
	SYS_accept4,
	SYS_personality,
	SYS_reboot,
#ifdef SYS_fork
	SYS_fork,
	SYS_vfork,
#endif
};

#if POLICY_SANITIZED
/* The run time of the sanitizers: reports, and the leak check, which traces
 * its own process from another one. */
static const struct policy_rule policy_sanitizer[] = {
	ANY(clone),	ANY(ptrace),	  ANY(wait4),	      ANY(kill),
	ANY(tgkill),	ANY(prctl),	  ANY(openat),	      ANY(arch_prctl),
	ANY(prlimit64), ANY(personality), ANY(unlink),	      ANY(ftruncate),
	ANY(getdents),	ANY(msync),	  ANY(rt_sigpending), ANY(socket),
};
#endif

#undef ANY

#endif
