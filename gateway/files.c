/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files: one Landlock rule set, path by path. What is not there when it is
 * made cannot be read later.
 */
#include "gateway/files.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gateway/policy.h"
#include "lib/landlock.h"
#include "proto/unpack.h"

enum {
	PATH_BENEATH = 1,
	READ_FILE = 1 << 2,
	READ_DIR = 1 << 3,
	BIND_TCP = 1 << 0,
	PATH_BYTES = 4096,
};

/* As the kernel reads it. */
struct beneath {
	uint64_t allowed;
	int32_t parent;
} __attribute__((packed));

static const char *const readable[] = {
	"/etc",	    /* resolv.conf, hosts, nsswitch.conf, ssl */
	"/usr/lib", /* what is loaded late: name services, plugins */
	"/usr/lib32",
	"/usr/lib64",
	"/lib",
	"/lib64",
	"/usr/share/ca-certificates",
	"/usr/local/share/ca-certificates",
	"/run/systemd/resolve",
	"/run/resolvconf",
	"/run/NetworkManager",
	"/dev/null",
	"/dev/urandom",
	"/sys/devices/system/cpu/online",
#if POLICY_SANITIZED
	"/proc", /* reports, leak check */
#endif
};

static int allow(int rules, const char *path)
{
	struct beneath rule = {.allowed = READ_FILE};
	struct stat st;
	long r;
	int fd = open(path, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return 0;
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		rule.allowed |= READ_DIR;
	rule.parent = fd;
	r = syscall(SYS_landlock_add_rule, rules, PATH_BENEATH, &rule, 0);
	close(fd);
	return r == 0 ? 0 : ERR_IO;
}

static int allow_setting(int rules, struct slice settings, const char *key)
{
	char path[PATH_BYTES];
	struct slice value, text;
	struct cursor c;

	if (!map_find(settings, key, &value))
		return 0;
	c = cursor_of(value);
	text = cursor_text(&c);
	if (c.error || text.n == 0 || text.n >= sizeof(path))
		return 0;
	memcpy(path, text.p, text.n);
	path[text.n] = '\0';
	return allow(rules, path);
}

static int allow_all(int rules, struct slice config)
{
	static const char *const keys[] = {"cafile", "cacertfile", "certfile",
					   "keyfile"};
	struct cursor c = cursor_of(config);
	uint32_t n = config.n ? cursor_map(&c) : 0;
	int r = 0;

	for (size_t i = 0; i < sizeof(readable) / sizeof(*readable); i++)
		if ((r = allow(rules, readable[i])) < 0)
			return r;
	for (; n > 0 && !c.error; n--) {
		struct slice settings;

		cursor_skip(&c);
		settings = cursor_raw(&c);
		for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
			if ((r = allow_setting(rules, settings, keys[i])) < 0)
				return r;
	}
	return 0;
}

int files_enter(struct slice config)
{
	struct landlock_rights rights;
	int abi = landlock_abi(), rules, r;
	size_t n;

	if (abi < 1)
		return ERR_ABSENT;
	n = landlock_rights(abi, &rights);
	rights.net &= BIND_TCP; /* connecting is what it is for */
	rules = (int)syscall(SYS_landlock_create_ruleset, &rights, n, 0);
	if (rules < 0)
		return ERR_IO;
	r = allow_all(rules, config);
	if (r == 0 && syscall(SYS_landlock_restrict_self, rules, 0) != 0)
		r = ERR_IO;
	close(rules);
	return r;
}
