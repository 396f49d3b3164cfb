/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hop: the floor that nothing with two processes behind a Unix socket can beat.
 * Two of these stand where broker and worker stand: the first passes all that
 * it reads on, both ways; the second answers each `size` bytes with 64. They
 * look at nothing, so what they take is what the kernel takes.
 *
 *   hop LISTEN SIZE          answers
 *   hop LISTEN SIZE NEXT     passes on to the hop that listens at NEXT
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER = 64, CHUNK = 1 << 18 };

static char chunk[CHUNK];

__attribute__((noreturn)) static void die(const char *what)
{
	fprintf(stderr, "hop: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int open_socket(const char *path, bool server)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (fd < 0 || strlen(path) >= sizeof(addr.sun_path))
		die(path);
	strcpy(addr.sun_path, path);
	if (server) {
		if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
		    listen(fd, 8) < 0)
			die(path);
	} else if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		die(path);
	}
	return fd;
}

static bool write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t done = write(fd, p, n);

		if (done < 0)
			return false;
		p += done;
		n -= (size_t)done;
	}
	return true;
}

/* Bytes from one to the other; false when either is gone. */
static bool pass(int from, int to)
{
	ssize_t n = read(from, chunk, sizeof(chunk));

	return n > 0 && write_all(to, chunk, (size_t)n);
}

/* All whole requests that are there are answered with one write. */
static bool answer(int fd, size_t size, size_t *have)
{
	static char answers[CHUNK];
	ssize_t n = read(fd, chunk, sizeof(chunk));
	size_t whole;

	if (n <= 0)
		return false;
	*have += (size_t)n;
	whole = *have / size;
	*have %= size;
	return write_all(fd, answers, whole * ANSWER);
}

static void watch(int epoll, int fd)
{
	struct epoll_event e = {.events = EPOLLIN, .data = {.fd = fd}};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0)
		die("epoll_ctl");
}

/* One connection until it ends. */
static void serve(int fd, size_t size, const char *next)
{
	int epoll = epoll_create1(0);
	int other = next ? open_socket(next, false) : -1;
	struct epoll_event e;
	size_t have = 0;
	bool on = true;

	watch(epoll, fd);
	if (next)
		watch(epoll, other);
	while (on && epoll_wait(epoll, &e, 1, -1) == 1) {
		if (!next)
			on = answer(fd, size, &have);
		else if (e.data.fd == fd)
			on = pass(fd, other);
		else
			on = pass(other, fd);
	}
	if (next)
		close(other);
	close(epoll);
	close(fd);
}

int main(int argc, char **argv)
{
	size_t size;
	int fd;

	if (argc < 3)
		return 2;
	size = strtoul(argv[2], NULL, 10);
	fd = open_socket(argv[1], true);
	puts("ready");
	fflush(stdout);
	for (;;) {
		int client = accept(fd, NULL, NULL);

		if (client < 0)
			die("accept");
		serve(client, size, argc > 3 ? argv[3] : NULL);
	}
}
