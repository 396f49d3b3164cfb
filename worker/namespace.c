/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The namespaces of a worker. No pid namespace: that takes a second process,
 * and every call that knows a pid is dead by the system call filter.
 */
#include "worker/namespace.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int put_file(const char *path, const char *text)
{
	size_t n = strlen(text);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t done;

	if (fd < 0)
		return ERR_IO;
	done = write(fd, text, n);
	close(fd);
	return done == (ssize_t)n ? 0 : ERR_IO;
}

static int put_map(const char *path, unsigned id)
{
	char line[64];

	snprintf(line, sizeof(line), "%u %u 1\n", id, id);
	return put_file(path, line);
}

int namespace_user(void)
{
	unsigned uid = geteuid(), gid = getegid();

	/* The maps belong to root while the process is not dumpable, which a
	 * change of uid or an unreadable program made it. */
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0)
		return ERR_IO;
	if (unshare(CLONE_NEWUSER) != 0)
		return ERR_IO;
	if (put_file("/proc/self/setgroups", "deny") != 0)
		return ERR_IO;
	if (put_map("/proc/self/gid_map", gid) != 0)
		return ERR_IO;
	return put_map("/proc/self/uid_map", uid);
}

int namespace_net(void)
{
	return unshare(CLONE_NEWNET) == 0 ? 0 : ERR_IO;
}

int namespace_ipc(void)
{
	return unshare(CLONE_NEWIPC) == 0 ? 0 : ERR_IO;
}

int namespace_uts(void)
{
	return unshare(CLONE_NEWUTS) == 0 ? 0 : ERR_IO;
}

int namespace_mount(void)
{
	/* Any folder will do as the place of the new root; this one exists
	 * wherever the maps could be written. */
	static const char place[] = "/proc";

	if (unshare(CLONE_NEWNS) != 0)
		return ERR_IO;
	/* Root without a user namespace would share its mounts otherwise. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		return ERR_IO;
	if (mount("none", place, "tmpfs",
		  MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  "size=4k,nr_inodes=1,mode=555") != 0)
		return ERR_IO;
	if (chdir(place) != 0)
		return ERR_IO;
	/* The old root lands on top of the new one, and is taken off. */
	if (syscall(SYS_pivot_root, ".", ".") != 0)
		return ERR_IO;
	if (umount2(".", MNT_DETACH) != 0)
		return ERR_IO;
	return chdir("/") == 0 ? 0 : ERR_IO;
}
