/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host: the broker's version, from the broker's own program file, and two
 * facts that depend on it. Everything here is read only, and has an answer
 * that errs on the safe side.
 */
#include "clients/mosquitto/host.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* "2.0.11", NUL at both ends, is how the version stands in the program. */
static size_t version_at(const char *p, size_t n)
{
	size_t i = 0;
	int dots = 0;

	if (n < 6 || p[0] != '2' || p[1] != '.')
		return 0;
	for (i = 1; i < n && i < 15; i++) {
		if (p[i] == '.' && p[i - 1] != '.')
			dots++;
		else if (p[i] < '0' || p[i] > '9')
			break;
	}
	return dots == 2 && i < n && p[i] == '\0' && p[i - 1] != '.' ? i : 0;
}

static void find_version(struct host *h, const char *p, size_t n)
{
	for (const char *at = p, *end = p + n; at < end;) {
		const char *nul = memchr(at, '\0', (size_t)(end - at));
		size_t len;

		if (!nul)
			return;
		at = nul + 1;
		len = version_at(at, (size_t)(end - at));
		if (len && h->version[0]) { /* two: neither is believed */
			if (strncmp(h->version, at, len) != 0)
				h->version[0] = '\0';
			return;
		}
		if (len)
			memcpy(h->version, at, len);
	}
}

static void read_program(struct host *h)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *p;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_size > 0) {
		p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd,
			 0);
		if (p != MAP_FAILED) {
			find_version(h, p, (size_t)st.st_size);
			munmap(p, (size_t)st.st_size);
		}
	}
	close(fd);
}

/* -1: it is not known. */
static int release_of_2_0(const struct host *h)
{
	int release;

	return sscanf(h->version, "2.0.%d", &release) == 1 ? release : -1;
}

void host_init(struct host *h)
{
	int release;

	*h = (struct host){0};
	read_program(h);
	release = release_of_2_0(h);
	h->we_free = release >= 0 && release <= 14;
	h->modern = dlsym(RTLD_DEFAULT, "mosquitto_client_port") != NULL;
	if (release >= 0)
		h->run = dlsym(RTLD_DEFAULT, "run");
}

bool host_stopping(const struct host *h, bool *known)
{
	*known = h->run != NULL;
	return h->run && *(const volatile int *)h->run == 0;
}

/* In all of 2.0 an identifier is a struct of one pointer: the listener, or
 * NULL for a plugin of the whole broker. */
bool host_per_listener(const struct host *h, const void *identifier)
{
	const void *listener;

	if (release_of_2_0(h) < 0)
		return false;
	memcpy(&listener, identifier, sizeof(listener));
	return listener != NULL;
}
