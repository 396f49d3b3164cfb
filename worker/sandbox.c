/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lockdown as a list: start at `layers` below. Each layer is a function
 * that applies itself and then looks whether it holds, since a call that
 * succeeds is no proof. Larger ones have files of their own: privilege.c,
 * namespace.c, landlock.c, seccomp.c.
 */
#include "worker/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/privilege.h"
#include "worker/landlock.h"
#include "worker/namespace.h"
#include "worker/seccomp.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif
enum { MDWE_REFUSE_EXEC_GAIN = 1, STACK_LIMIT = 2 << 20 };

struct layer {
	const char *name;
	bool mandatory;
	bool namespace;
	/* 0: holds, 1: nothing to do, negative: cannot be had */
	int (*enter)(const struct sandbox_options *o);
};

/* As the kernel has it: the C library hides two signals, which posix_spawn
 * leaves ignored. All zero is the default action. */
struct action {
	uintptr_t handler;
	unsigned long flags;
	uintptr_t restorer;
	uint64_t mask;
};

static long act(int sig, const struct action *set, struct action *get)
{
	return syscall(SYS_rt_sigaction, sig, set, get, sizeof(get->mask));
}

/* Those that main() has decided about. */
static bool is_workers_own(int sig)
{
	return sig == SIGUSR1 || sig == SIGPIPE;
}

static int reset_signals(void)
{
	static const struct action dfl;
	sigset_t none;
	int sig;

	for (sig = 1; sig <= SIGRTMAX; sig++) {
		struct action now = {0};

		if (sig == SIGKILL || sig == SIGSTOP || is_workers_own(sig))
			continue;
		if (act(sig, NULL, &now) != 0)
			return ERR_IO;
		/* A sanitizer's handler makes its report. */
		if (now.handler == (uintptr_t)SIG_DFL ||
		    (POLICY_SANITIZED && now.handler != (uintptr_t)SIG_IGN))
			continue;
		if (act(sig, &dfl, NULL) != 0)
			return ERR_IO;
	}
	sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL) == 0 ? 0 : ERR_IO;
}

/* The kernel's killer should take a worker before the broker. Not a layer:
 * nothing leans on it. */
static void offer_to_oom(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "1000", 4) != 4)
		errno = 0;
	close(fd);
}

static int enter_environment(const struct sandbox_options *o)
{
	(void)o;
	if (environ != NULL && environ[0] != NULL) {
		errno = E2BIG;
		return ERR_DENIED;
	}
	if (chdir("/") != 0)
		return ERR_IO;
	umask(0777);
	setsid(); /* fails when it is one already: looked at next */
	if (getsid(0) != getpid())
		return ERR_IO;
	offer_to_oom();
	return reset_signals();
}

static int enter_fds(const struct sandbox_options *o)
{
	unsigned last = POLICY_SANITIZED ? 1 : 2;
	struct stat st;

	(void)o;
	if (fstat(SANDBOX_FD, &st) != 0)
		return ERR_IO;
	if (!S_ISSOCK(st.st_mode)) {
		errno = ENOTSOCK;
		return ERR_DENIED;
	}
	if (syscall(SYS_close_range, 0, last, 0) != 0)
		return ERR_IO;
	if (syscall(SYS_close_range, SANDBOX_FD + 1, ~0u, 0) != 0)
		return ERR_IO;
	return 0;
}

static int enter_no_new_privs(const struct sandbox_options *o)
{
	(void)o;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return ERR_IO;
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : ERR_DENIED;
}

static int enter_uid(const struct sandbox_options *o)
{
	return privilege_drop_uid(o->uid, o->gid);
}

static int enter_user(const struct sandbox_options *o)
{
	(void)o;
	return namespace_user();
}

static int enter_net(const struct sandbox_options *o)
{
	(void)o;
	return namespace_net();
}

static int enter_ipc(const struct sandbox_options *o)
{
	(void)o;
	return namespace_ipc();
}

static int enter_uts(const struct sandbox_options *o)
{
	(void)o;
	return namespace_uts();
}

static int enter_mount(const struct sandbox_options *o)
{
	(void)o;
	return namespace_mount();
}

static int enter_landlock(const struct sandbox_options *o)
{
	(void)o;
	return landlock_enter();
}

static int enter_mdwe(const struct sandbox_options *o)
{
	(void)o;
	return prctl(PR_SET_MDWE, MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) == 0 ? 0
								       : ERR_IO;
}

static int enter_capabilities(const struct sandbox_options *o)
{
	(void)o;
	return privilege_drop_capabilities();
}

/* At most `value`, soft and hard alike; never more than there is. */
static int limit(int which, rlim_t value)
{
	struct rlimit rl, now;

	if (getrlimit((__rlimit_resource_t)which, &rl) != 0)
		return ERR_IO;
	if (rl.rlim_max > value)
		rl.rlim_max = value;
	rl.rlim_cur = rl.rlim_max;
	if (setrlimit((__rlimit_resource_t)which, &rl) != 0 ||
	    getrlimit((__rlimit_resource_t)which, &now) != 0)
		return ERR_IO;
	return now.rlim_max <= value ? 0 : ERR_DENIED;
}

static int enter_rlimits(const struct sandbox_options *o)
{
	static const int zero[] = {
		RLIMIT_CORE,  RLIMIT_NPROC,   RLIMIT_NOFILE,
		RLIMIT_LOCKS, RLIMIT_MEMLOCK, RLIMIT_MSGQUEUE,
		RLIMIT_NICE,  RLIMIT_RTPRIO,  RLIMIT_SIGPENDING,
		RLIMIT_FSIZE,
	};
	/* A report to a file on fd 2 is a write to a file. */
	size_t n = sizeof(zero) / sizeof(zero[0]) - POLICY_SANITIZED;
	int result = 0;

	for (size_t i = 0; i < n && result == 0; i++)
		result = limit(zero[i], 0);
	if (POLICY_SANITIZED || result != 0)
		return result;
	result = limit(RLIMIT_STACK, STACK_LIMIT);
	if (result != 0 || o->memory == 0)
		return result;
	return limit(RLIMIT_AS, (rlim_t)o->memory + SANDBOX_SLACK);
}

static int enter_dumpable(const struct sandbox_options *o)
{
	(void)o;
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return ERR_IO;
	return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : ERR_DENIED;
}

/* A change of ids or capabilities clears the signal: hence so late. */
static int enter_pdeathsig(const struct sandbox_options *o)
{
	struct ucred creator;
	socklen_t n = sizeof(creator);

	(void)o;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
		return ERR_IO;
	if (getsockopt(SANDBOX_FD, SOL_SOCKET, SO_PEERCRED, &creator, &n) != 0)
		return ERR_IO;
	/* The parent is gone, and with it the one who was to be watched. */
	if (getppid() != creator.pid) {
		errno = ESRCH;
		return ERR_CLOSED;
	}
	return 0;
}

static int enter_seccomp(const struct sandbox_options *o)
{
	(void)o;
	return seccomp_load();
}

static const struct layer layers[] = {
	{"environment", true, false, enter_environment},
	{"fds", true, false, enter_fds},
	{"no_new_privs", true, false, enter_no_new_privs},
	{"uid", true, false, enter_uid},
	{"user", false, true, enter_user},
	{"net", false, true, enter_net},
	{"ipc", false, true, enter_ipc},
	{"uts", false, true, enter_uts},
	{"mount", false, true, enter_mount},
	{"landlock", false, false, enter_landlock},
	{"mdwe", false, false, enter_mdwe},
	{"capabilities", true, false, enter_capabilities},
	{"rlimits", true, false, enter_rlimits},
	{"dumpable", true, false, enter_dumpable},
	{"pdeathsig", true, false, enter_pdeathsig},
	{"seccomp", true, false, enter_seccomp},
};

enum { NLAYERS = sizeof(layers) / sizeof(layers[0]) };
_Static_assert((int)NLAYERS == (int)SANDBOX_LAYERS, "report has the room");

unsigned sandbox_bit(const char *name)
{
	for (unsigned i = 0; i < NLAYERS; i++)
		if (strcmp(layers[i].name, name) == 0)
			return 1u << i;
	return 0;
}

int sandbox_enter_without(const struct sandbox_options *o, unsigned without,
			  struct sandbox_report *r)
{
	*r = (struct sandbox_report){.nheld = 0};
	for (unsigned i = 0; i < NLAYERS; i++) {
		const struct layer *l = &layers[i];
		int result = ERR_DENIED;

		if (without & 1u << i)
			continue;
		errno = 0;
		if (o->namespaces || !l->namespace)
			result = l->enter(o);
		if (result > 0)
			continue;
		if (result == 0) {
			r->held[r->nheld++] = l->name;
		} else if (!l->mandatory) {
			r->missing[r->nmissing++] = l->name;
		} else {
			r->failed = l->name;
			r->error = errno;
			return result;
		}
	}
	return 0;
}

int sandbox_enter(const struct sandbox_options *o, struct sandbox_report *r)
{
	return sandbox_enter_without(o, 0, r);
}
