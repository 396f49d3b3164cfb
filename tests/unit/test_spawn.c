/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a child of spawn.c finds, asked of a shell in its place. What a worker
 * makes of it: tests/sandbox.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/spawn.h"

enum { WAIT_MS = 20000 };

/* All that it says until it closes its end; its exit must be 0. */
static void hear(pid_t pid, int fd, char *text, size_t n)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	size_t used = 0;
	int status;

	for (;;) {
		ssize_t got;

		cr_assert_eq(poll(&p, 1, WAIT_MS), 1);
		got = read(fd, text + used, n - 1 - used);
		cr_assert(got >= 0);
		if (got == 0)
			break;
		used += (size_t)got;
	}
	text[used] = '\0';
	close(fd);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
}

static void shell(const char *script, char *text, size_t n)
{
	char sh[] = "sh", c[] = "-c", copy[1000];
	char *argv[] = {sh, c, copy, NULL};
	pid_t pid;
	int fd;

	snprintf(copy, sizeof(copy), "%s", script);
	cr_assert_eq(spawn_program("/bin/sh", argv, &pid, &fd), 0);
	hear(pid, fd, text, n);
}

Test(spawn, descriptors)
{
	char text[1000];
	int leaked[2] = {open("/etc/passwd", O_RDONLY), dup(0)};

	cr_assert(leaked[0] >= 0 && dup2(leaked[0], 400) == 400);
	shell("cd /proc/self/fd; for f in ?*; do t=$(readlink $f); "
	      "case $t in socket*) echo s$f >&3;; /dev/null) echo n$f >&3;; "
	      "/etc*) echo leak >&3;; esac; done",
	      text, sizeof(text));
#ifdef PINFOLD_SANITIZE
	/* 2 is the tests' own stderr, whatever that is */
	cr_assert(strncmp(text, "n0\nn1\n", 6) == 0, "%s", text);
	cr_assert_null(strstr(text, "leak"));
#else
	cr_assert_str_eq(text, "n0\nn1\nn2\ns3\n");
#endif
	close(400);
	close(leaked[0]);
	close(leaked[1]);
}

Test(spawn, environment_signals_and_session)
{
	unsigned long blocked = 1, ignored = 1;
	char text[4000];
	sigset_t set;

	signal(SIGTERM, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	setenv("PF_SECRET", "x", 1);
	/* A shell that waits has a mask of its own, hence the exec. */
	shell("tr '\\0' '\\n' </proc/$$/environ >&3; "
	      "set -- $(cat /proc/$$/stat); test $1 = $6 && echo leader >&3; "
	      "exec grep -E '^Sig(Blk|Ign)' /proc/self/status >&3",
	      text, sizeof(text));
	cr_assert_eq(sscanf(text, "leader SigBlk: %lx SigIgn: %lx", &blocked,
			    &ignored),
		     2, "%s", text);
	cr_assert_eq(blocked, 0);
	/* The C library keeps two of its own ignored: the worker resets. */
	cr_assert_eq(ignored & ~0x180000000ul, 0);
}

Test(spawn, arguments_of_a_worker)
{
	char path[] = "/tmp/pf-spawn-XXXXXX", text[1000], want[200];
	struct spawn_options o = {path, 0, 0, 0, false};
	int file = mkstemp(path), fd;
	pid_t pid;

	cr_assert(file >= 0);
	cr_assert(dprintf(file, "#!/bin/sh\necho \"$@\" >&3\n") > 0);
	cr_assert_eq(fchmod(file, 0700), 0);
	close(file);

	cr_assert_eq(spawn_worker(&o, &pid, &fd), 0);
	hear(pid, fd, text, sizeof(text));
	cr_assert_str_eq(text, "--namespaces=0\n");

	o = (struct spawn_options){path, 4294967294, 1234567890,
				   18446744073709551615u, true};
	cr_assert_eq(spawn_worker(&o, &pid, &fd), 0);
	hear(pid, fd, text, sizeof(text));
	snprintf(want, sizeof(want), "%s %s %s %s\n", "--uid=4294967294",
		 "--gid=1234567890", "--memory=18446744073709551615",
		 "--namespaces=1");
	cr_assert_str_eq(text, want);
	unlink(path);
}

Test(spawn, the_end_that_we_keep)
{
	static const char page[4096];
	char sleep[] = "sleep", seconds[] = "60";
	char *argv[] = {sleep, seconds, NULL};
	size_t held = 0;
	ssize_t done;
	pid_t pid;
	int fd;

	cr_assert_eq(spawn_program("/bin/sleep", argv, &pid, &fd), 0);
	cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	while ((done = write(fd, page, sizeof(page))) > 0)
		held += (size_t)done;
	cr_assert_eq(errno, EAGAIN, "it does not block");
	/* The system's default holds 200 KiB; only root may ask for more. */
	cr_assert_geq(held, geteuid() == 0 ? SPAWN_BUFFER / 2 : 65536);
	cr_assert_eq(read(fd, (char[1]){0}, 1), -1);
	cr_assert_eq(errno, EAGAIN);
	kill(pid, SIGKILL);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	close(fd);
}

static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 1000; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

Test(spawn, what_cannot_be_executed)
{
	static const char *const paths[] = {"/nowhere/worker", "/etc",
					    "/etc/passwd", ""};
	int before = count_fds(), fd = -1;
	pid_t pid = -1;

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct spawn_options o = {paths[i], 0, 0, 0, false};

		cr_assert_eq(spawn_worker(&o, &pid, &fd), ERR_IO);
		cr_assert(errno == ENOENT || errno == EACCES);
		cr_assert_eq(fd, -1);
	}
	cr_assert_eq(count_fds(), before);
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1, "a child is left");
}

Test(spawn, many_leave_nothing)
{
	int before = count_fds();

	for (unsigned i = 0; i < 100; i++) {
		struct spawn_options o = {"/bin/true", 0, 0, 0, false};
		int fd, status;
		pid_t pid;

		cr_assert_eq(spawn_worker(&o, &pid, &fd), 0);
		close(fd);
		cr_assert_eq(waitpid(pid, &status, 0), pid);
	}
	cr_assert_eq(count_fds(), before);
}

Test(spawn, uids_by_default)
{
	struct spawn_uids u;
	unsigned first;

	cr_assert_eq(spawn_uids_init(&u, 0), 0);
	first = spawn_unused_uid(&u);
	for (unsigned i = 1; i < SPAWN_UIDS; i++) {
		unsigned id = spawn_unused_uid(&u);

		cr_assert(id != 0 && id != 65534 && id != first);
		cr_assert_null(getpwuid(id));
	}
	cr_assert_eq(spawn_unused_uid(&u), first, "round and round");
}

Test(spawn, uids_that_accounts_have_are_left_out)
{
	const struct passwd *account = getpwnam("games");
	struct spawn_uids u;

	cr_assert_not_null(account, "Debian's base has it");
	cr_assert_eq(spawn_uids_init(&u, 1), 0);
	for (unsigned i = 0; i < 2 * SPAWN_UIDS; i++) {
		unsigned id = spawn_unused_uid(&u);

		cr_assert(id >= 1 && id < 1 + SPAWN_UIDS);
		cr_assert(id != account->pw_uid);
		cr_assert_null(getpwuid(id));
	}
}

Test(spawn, uids_out_of_range)
{
	static const unsigned bad[] = {65534, 65535, 65534 - SPAWN_UIDS + 1,
				       UINT32_MAX, UINT32_MAX - SPAWN_UIDS + 1};
	struct spawn_uids u;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(spawn_uids_init(&u, bad[i]), ERR_RANGE);
	cr_assert_eq(spawn_uids_init(&u, 65534 - SPAWN_UIDS), 0);
	cr_assert_eq(spawn_uids_init(&u, 65536), 0);
}
