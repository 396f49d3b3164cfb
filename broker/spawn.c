/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a worker comes to life. What it may not do is its own business
 * (worker/sandbox.c); here it only gets nothing to begin with.
 */
#include "broker/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void widen(int fd)
{
	static const int size = SPAWN_BUFFER;
	int now = 0;
	socklen_t n = sizeof(now);

	/* FORCE passes the system's maximum, for who may. Failing that, the
	 * maximum is what we get. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	/* Unix sockets do not use it; read back lest it got smaller. */
	if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &now, &n) == 0 && now < size)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

static int open_pair(int pair[2])
{
	int flags;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return ERR_IO;
	widen(pair[0]);
	widen(pair[1]);
	/* Only our end: a worker reads and waits. */
	flags = fcntl(pair[0], F_GETFL);
	if (flags >= 0 && fcntl(pair[0], F_SETFL, flags | O_NONBLOCK) == 0)
		return 0;
	close(pair[0]);
	close(pair[1]);
	return ERR_IO;
}

static int set_actions(posix_spawn_file_actions_t *fa, int end)
{
	int e;

	/* The socket first: it may itself be one of 0-2. */
	if ((e = posix_spawn_file_actions_adddup2(fa, end, SPAWN_FD)) != 0 ||
	    (e = posix_spawn_file_actions_addopen(fa, 0, "/dev/null", O_RDWR,
						  0)) != 0 ||
	    (e = posix_spawn_file_actions_adddup2(fa, 0, 1)) != 0)
		return e;
#ifndef PINFOLD_SANITIZE
	if ((e = posix_spawn_file_actions_adddup2(fa, 0, 2)) != 0)
		return e;
#endif
	return posix_spawn_file_actions_addclosefrom_np(fa, SPAWN_FD + 1);
}

static int set_attributes(posix_spawnattr_t *attr)
{
	sigset_t all, none;
	int e;

	sigfillset(&all);
	sigemptyset(&none);
	if ((e = posix_spawnattr_setsigdefault(attr, &all)) != 0 ||
	    (e = posix_spawnattr_setsigmask(attr, &none)) != 0)
		return e;
	return posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGDEF |
						      POSIX_SPAWN_SETSIGMASK |
						      POSIX_SPAWN_SETSID);
}

static int start(const char *path, char *const argv[], int end, pid_t *pid)
{
	static char *const no_environment[] = {NULL};
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	int e;

	if ((e = posix_spawn_file_actions_init(&fa)) != 0)
		return e;
	if ((e = posix_spawnattr_init(&attr)) == 0) {
		if ((e = set_actions(&fa, end)) == 0 &&
		    (e = set_attributes(&attr)) == 0)
			e = posix_spawn(pid, path, &fa, &attr, argv,
					no_environment);
		posix_spawnattr_destroy(&attr);
	}
	posix_spawn_file_actions_destroy(&fa);
	return e;
}

int spawn_program(const char *path, char *const argv[], pid_t *pid, int *fd)
{
	int pair[2], e;

	if (open_pair(pair) != 0)
		return ERR_IO;
	e = start(path, argv, pair[1], pid);
	close(pair[1]);
	if (e != 0) {
		close(pair[0]);
		errno = e;
		return e == ENOMEM || e == EAGAIN ? ERR_NOMEM : ERR_IO;
	}
	*fd = pair[0];
	return 0;
}

int spawn_worker(const struct spawn_options *o, pid_t *pid, int *fd)
{
	char text[4][40];
	char *argv[6];
	const char *slash = strrchr(o->path, '/');
	int n = 0, i = 0;

	/* posix_spawn only reads it. */
	argv[n++] = (char *)(uintptr_t)(slash ? slash + 1 : o->path);
	if (o->uid != 0) {
		snprintf(text[i], sizeof(text[i]), "--uid=%u", o->uid);
		argv[n++] = text[i++];
	}
	if (o->gid != 0) {
		snprintf(text[i], sizeof(text[i]), "--gid=%u", o->gid);
		argv[n++] = text[i++];
	}
	if (o->memory != 0) {
		snprintf(text[i], sizeof(text[i]), "--memory=%zu", o->memory);
		argv[n++] = text[i++];
	}
	snprintf(text[i], sizeof(text[i]), "--namespaces=%d", o->namespaces);
	argv[n++] = text[i];
	argv[n] = NULL;
	return spawn_program(o->path, argv, pid, fd);
}

/* Does that map of a user namespace hold all ids of [base, base + n)? Ranges
 * of a map may touch: each is looked at alone, which is enough for us. */
static bool is_mapped(const char *path, unsigned base, unsigned n)
{
	unsigned inside, outside, length;
	bool found = false;
	FILE *f = fopen(path, "re");

	if (f == NULL)
		return true; /* no /proc: the worker will tell */
	while (!found && fscanf(f, "%u %u %u", &inside, &outside, &length) == 3)
		found = base >= inside && base - inside <= length &&
			length - (base - inside) >= n;
	fclose(f);
	return found;
}

static bool is_usable(unsigned base)
{
	/* 65534 and 65535 stand for others, as does -1 in either size. */
	if (base == 0 || base > UINT32_MAX - SPAWN_UIDS ||
	    (base <= 65535 && base + SPAWN_UIDS > 65534))
		return false;
	return is_mapped("/proc/self/uid_map", base, SPAWN_UIDS) &&
	       is_mapped("/proc/self/gid_map", base, SPAWN_UIDS);
}

static void take(struct spawn_uids *u, unsigned id)
{
	unsigned i = id - u->base;

	if (id >= u->base && i < SPAWN_UIDS)
		u->taken[i / 8] |= (uint8_t)(1u << i % 8);
}

static bool is_taken(const struct spawn_uids *u, unsigned i)
{
	return u->taken[i / 8] >> i % 8 & 1;
}

static void take_accounts(struct spawn_uids *u)
{
	const struct passwd *account;
	const struct group *group;

	setpwent();
	while ((account = getpwent()) != NULL) {
		take(u, account->pw_uid);
		take(u, account->pw_gid);
	}
	endpwent();
	setgrent();
	while ((group = getgrent()) != NULL)
		take(u, group->gr_gid);
	endgrent();
}

int spawn_uids_init(struct spawn_uids *u, unsigned base)
{
	static const unsigned defaults[] = {1879048192, 60578};

	*u = (struct spawn_uids){.base = base};
	for (size_t i = 0; base == 0 && i < 2; i++)
		if (is_usable(defaults[i]))
			base = defaults[i];
	if (!is_usable(base))
		return ERR_RANGE;
	u->base = base;
	take_accounts(u);
	for (unsigned i = 0; i < SPAWN_UIDS; i++)
		if (!is_taken(u, i))
			return 0;
	u->base = 0;
	return ERR_EXISTS;
}

unsigned spawn_unused_uid(struct spawn_uids *u)
{
	unsigned i;

	must(u->base != 0);
	do {
		i = u->next;
		u->next = (i + 1) % SPAWN_UIDS;
	} while (is_taken(u, i));
	return u->base + i;
}
