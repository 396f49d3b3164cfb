/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lockdown as a list: start at `layers` below. Each layer applies itself
 * and then looks whether it holds, where that can be seen.
 */
#include "gateway/sandbox.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gateway/files.h"
#include "gateway/policy.h"
#include "lib/privilege.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif
enum { MDWE_REFUSE_EXEC_GAIN = 1 };

struct layer {
	const char *name;
	bool mandatory;
	/* 0: holds, 1: nothing to do, negative: cannot be had */
	int (*enter)(const struct sandbox_options *o);
};

static int enter_environment(const struct sandbox_options *o)
{
	(void)o;
	if (!POLICY_SANITIZED && environ != NULL && environ[0] != NULL) {
		errno = E2BIG;
		return ERR_DENIED;
	}
	/* A resolver that does not answer should not take half a minute. */
	if (setenv("RES_OPTIONS", "timeout:2 attempts:2", 1) != 0 ||
	    chdir("/") != 0)
		return ERR_IO;
	umask(0777);
	setsid(); /* fails when it is one already: looked at next */
	return getsid(0) == getpid() ? 0 : ERR_IO;
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
	if (syscall(SYS_close_range, 0, last, 0) != 0 ||
	    syscall(SYS_close_range, SANDBOX_FD + 1, ~0u, 0) != 0)
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

static int enter_landlock(const struct sandbox_options *o)
{
	return files_enter(o->config);
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
	struct rlimit rl;

	if (getrlimit((__rlimit_resource_t)which, &rl) != 0)
		return ERR_IO;
	if (rl.rlim_max > value)
		rl.rlim_max = value;
	rl.rlim_cur = rl.rlim_max;
	return setrlimit((__rlimit_resource_t)which, &rl) == 0 ? 0 : ERR_IO;
}

static int enter_rlimits(const struct sandbox_options *o)
{
	int r = limit(RLIMIT_CORE, 0);

	(void)o;
	if (r == 0)
		r = limit(RLIMIT_NOFILE, SANDBOX_FILES);
	if (r == 0)
		r = limit(RLIMIT_MSGQUEUE, 0);
	if (r == 0)
		r = limit(RLIMIT_MEMLOCK, 0);
	if (r < 0 || POLICY_SANITIZED)
		return r;
	r = limit(RLIMIT_FSIZE, 0);
	return r < 0 ? r : limit(RLIMIT_AS, (rlim_t)8 << 30);
}

static int enter_dumpable(const struct sandbox_options *o)
{
	(void)o;
	if (POLICY_SANITIZED)
		/* The leak check traces it; a change of uid forbade it. */
		return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0 ? 0 : ERR_IO;
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
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 ||
	    getsockopt(SANDBOX_FD, SOL_SOCKET, SO_PEERCRED, &creator, &n) != 0)
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
	static struct seccomp s;

	(void)o;
	seccomp_begin(&s);
	seccomp_allow(&s, policy_rules,
		      sizeof(policy_rules) / sizeof(policy_rules[0]));
#if POLICY_SANITIZED
	seccomp_allow(&s, policy_sanitizer,
		      sizeof(policy_sanitizer) / sizeof(policy_sanitizer[0]));
#endif
	/* The C library then takes clone(), whose flags can be looked at. */
	seccomp_answer(&s, SYS_clone3, SECCOMP_RET_ERRNO | ENOSYS);
	for (size_t i = 0; i < sizeof(policy_deadly) / sizeof(uint32_t); i++)
		seccomp_answer(&s, policy_deadly[i], SECCOMP_RET_KILL_PROCESS);
	seccomp_end_with(&s, SECCOMP_RET_ERRNO | EPERM);
	return seccomp_install(&s);
}

static const struct layer layers[] = {
	{"environment", true, enter_environment},
	{"fds", true, enter_fds},
	{"no_new_privs", true, enter_no_new_privs},
	{"uid", true, enter_uid},
	{"landlock", false, enter_landlock},
	{"mdwe", false, enter_mdwe},
	{"capabilities", true, enter_capabilities},
	{"rlimits", true, enter_rlimits},
	{"dumpable", true, enter_dumpable},
	{"pdeathsig", true, enter_pdeathsig},
	{"seccomp", true, enter_seccomp},
};

enum { NLAYERS = sizeof(layers) / sizeof(layers[0]) };
_Static_assert((int)NLAYERS == (int)SANDBOX_LAYERS, "report has the room");

int sandbox_enter(const struct sandbox_options *o, struct sandbox_report *r)
{
	*r = (struct sandbox_report){.nheld = 0};
	for (unsigned i = 0; i < NLAYERS; i++) {
		const struct layer *l = &layers[i];
		int result;

		errno = 0;
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
