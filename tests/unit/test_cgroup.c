/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory groups: in a folder that looks like each layout, and where the tests
 * may, with the kernel's own.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/cgroup.h"

static char root[] = "/tmp/pf-cgroup-XXXXXX";
static char self[64];

static const char *under(const char *path)
{
	static char full[CGROUP_PATH];

	snprintf(full, sizeof(full), "%s/%s", root, path);
	return full;
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(under(path), "w");

	cr_assert_not_null(f, "%s", path);
	fputs(text, f);
	fclose(f);
}

static const char *get(const char *path)
{
	static char text[256];
	FILE *f = fopen(under(path), "r");
	size_t n;

	cr_assert_not_null(f, "%s", path);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	return text;
}

static void folder(const char *path)
{
	cr_assert_eq(mkdir(under(path), 0755), 0, "%s", path);
}

static void begin(void)
{
	cr_assert_not_null(mkdtemp(root));
	snprintf(self, sizeof(self), "%s/self", root);
}

static int drop(const char *path, const struct stat *st, int kind,
		struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static void end(void)
{
	nftw(root, drop, 8, FTW_DEPTH | FTW_PHYS);
}

/* The files that the kernel would put into a new group. */
static void group(const char *name, const char *limit, const char *swap)
{
	char path[128];

	folder(name);
	snprintf(path, sizeof(path), "%s/%s", name, limit);
	put(path, "");
	snprintf(path, sizeof(path), "%s/%s", name, swap);
	put(path, "");
	snprintf(path, sizeof(path), "%s/cgroup.procs", name);
	put(path, "");
}

Test(cgroup, v2, .init = begin, .fini = end)
{
	struct cgroup cg;

	put("self", "0::/service/pinfold\n");
	folder("service");
	folder("service/pinfold");
	put("service/pinfold/cgroup.procs", "");
	put("service/pinfold/cgroup.controllers", "cpu memory pids\n");
	put("service/pinfold/cgroup.subtree_control", "cpu\n");
	cr_assert_eq(cgroup_open(&cg, root, self), 0);
	cr_assert_eq(cg.version, 2);
	cr_assert_str_eq(get("service/pinfold/cgroup.subtree_control"),
			 "+memory");

	group("service/pinfold/pinfold-77", "memory.max", "memory.swap.max");
	cr_assert_eq(cgroup_add_work(&cg, 77, 64 << 20), 0);
	cr_assert_str_eq(get("service/pinfold/pinfold-77/memory.max"),
			 "100663296");
	cr_assert_str_eq(get("service/pinfold/pinfold-77/memory.swap.max"),
			 "0");
	cr_assert_str_eq(get("service/pinfold/pinfold-77/cgroup.procs"), "77");
}

Test(cgroup, v1_beside_a_v2_without_memory, .init = begin, .fini = end)
{
	struct cgroup cg;

	put("self", "4:cpu,memory:/a\n1:name=systemd:/\n0::/\n");
	folder("unified");
	put("unified/cgroup.procs", "");
	put("unified/cgroup.controllers", "hugetlb\n");
	folder("memory");
	folder("memory/a");
	put("memory/a/cgroup.procs", "");
	cr_assert_eq(cgroup_open(&cg, root, self), 0);
	cr_assert_eq(cg.version, 1);

	group("memory/a/pinfold-8", "memory.limit_in_bytes",
	      "memory.swappiness");
	cr_assert_eq(cgroup_add_work(&cg, 8, 0), 0);
	cr_assert_str_eq(get("memory/a/pinfold-8/memory.limit_in_bytes"),
			 "33554432");
	cr_assert_str_eq(get("memory/a/pinfold-8/cgroup.procs"), "8");
}

Test(cgroup, v1_in_a_container, .init = begin, .fini = end)
{
	struct cgroup cg;
	char want[CGROUP_PATH];

	put("self", "4:memory:/docker/0123456789abcdef\n");
	folder("memory");
	put("memory/cgroup.procs", "");
	cr_assert_eq(cgroup_open(&cg, root, self), 0);
	snprintf(want, sizeof(want), "%s/memory", root);
	cr_assert_str_eq(cg.dir, want);
}

Test(cgroup, none, .init = begin, .fini = end)
{
	struct cgroup cg;

	cr_assert_eq(cgroup_open(&cg, root, self), ERR_ABSENT);
	put("self", "garbage\n:\n::\n4:memory\n0::relative\n");
	cr_assert_eq(cgroup_open(&cg, root, self), ERR_ABSENT);
	cr_assert_eq(cg.version, 0);
	cr_assert_eq(cgroup_add_work(&cg, 1, 1), ERR_ABSENT);
	cgroup_remove(&cg, 1);
}

Test(cgroup, leftovers_are_removed, .init = begin, .fini = end)
{
	struct cgroup cg;

	put("self", "4:memory:/\n");
	folder("memory");
	put("memory/cgroup.procs", "");
	folder("memory/pinfold-1");
	folder("memory/pinfold-2");
	folder("memory/other-3");
	/* The kernel refuses to remove one that is in use; so does this. */
	put("memory/pinfold-2/cgroup.procs", "2");
	cr_assert_eq(cgroup_open(&cg, root, self), 0);
	cr_assert_eq(access(under("memory/pinfold-1"), F_OK), -1);
	cr_assert_eq(access(under("memory/pinfold-2"), F_OK), 0);
	cr_assert_eq(access(under("memory/other-3"), F_OK), 0);
}

Test(cgroup, failing_add_leaves_nothing, .init = begin, .fini = end)
{
	struct cgroup cg;

	put("self", "4:memory:/\n");
	folder("memory");
	put("memory/cgroup.procs", "");
	cr_assert_eq(cgroup_open(&cg, root, self), 0);
	/* A plain folder gets no memory.limit_in_bytes by itself. */
	cr_assert_eq(cgroup_add_work(&cg, 5, 0), ERR_IO);
	cr_assert_eq(access(under("memory/pinfold-5"), F_OK), -1);
}

static size_t limit_of(const struct cgroup *cg, pid_t pid)
{
	char path[CGROUP_PATH + 64];
	size_t limit = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/pinfold-%ld/%s", cg->dir, (long)pid,
		 cg->version == 2 ? "memory.max" : "memory.limit_in_bytes");
	f = fopen(path, "r");
	cr_assert_not_null(f, "%s", path);
	cr_assert_eq(fscanf(f, "%zu", &limit), 1);
	fclose(f);
	return limit;
}

/* The kernel ends a process that passes the limit, and no other. */
static void hog(int go)
{
	size_t n = 256 << 20;
	char c, *p;

	if (read(go, &c, 1) != 1)
		_exit(1);
	p = malloc(n);
	for (size_t i = 0; p != NULL && i < n; i += 4096)
		((volatile char *)p)[i] = 1;
	_exit(0);
}

Test(cgroup, the_kernels)
{
	struct cgroup cg;
	int go[2], status;
	pid_t pid;

	if (cgroup_open(&cg, "/sys/fs/cgroup", "/proc/self/cgroup") != 0)
		cr_skip_test("no memory cgroup for this user");
	cr_assert_eq(pipe(go), 0);
	pid = fork();
	if (pid == 0)
		hog(go[0]);
	cr_assert_eq(cgroup_add_work(&cg, pid, 32 << 20), 0);
	cr_assert_eq(limit_of(&cg, pid), 64 << 20);
	cr_assert_eq(write(go[1], "g", 1), 1);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	cgroup_remove(&cg, pid);
	cr_assert_eq(cgroup_add_work(&cg, pid, 1), ERR_CLOSED);
}
