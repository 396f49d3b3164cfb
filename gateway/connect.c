/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connect: the program's own connect() and recv(), which stand in front of the
 * C library's for this program and all its libraries (net.h). Linked to the
 * program only: what tests run on has Unix sockets.
 */
#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gateway/net.h"

int connect(int fd, __CONST_SOCKADDR_ARG addr, socklen_t n)
{
	const struct sockaddr *a = addr.__sockaddr__;

	if (!net_allowed(a)) {
		errno = EACCES;
		return -1;
	}
	net_connecting(fd);
	return (int)syscall(SYS_connect, fd, a, n);
}

ssize_t recv(int fd, void *p, size_t n, int flags)
{
	ssize_t got = syscall(SYS_recvfrom, fd, p, n, flags, NULL, NULL);

	if (got > 0 && !(flags & MSG_PEEK) && !net_inspected(p, (size_t)got)) {
		errno = ECONNRESET;
		return -1;
	}
	return got;
}
