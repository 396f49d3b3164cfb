/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server: making the sockets so that there is no moment in which a stranger
 * could connect, and accepting.
 */
#include "broker/server.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/log.h"

enum { BACKLOG = 512 };

static int complain(struct buf *why, const char *path, const char *what)
{
	buf_addf(why, "%s: %s", path, what);
	return ERR_IO;
}

/* Is somebody answering on that path? Otherwise it may go. */
static int clear_path(const struct sockaddr_un *addr, struct buf *why)
{
	struct stat st;
	int fd, r;

	if (lstat(addr->sun_path, &st) < 0)
		return errno == ENOENT
			       ? OK
			       : complain(why, addr->sun_path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return complain(why, addr->sun_path, "there is another file");
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return complain(why, addr->sun_path, strerror(errno));
	r = connect(fd, (const struct sockaddr *)addr, sizeof(*addr));
	close(fd);
	if (r == 0 || errno != ECONNREFUSED)
		return complain(why, addr->sun_path,
				"another process serves it");
	if (unlink(addr->sun_path) < 0)
		return complain(why, addr->sun_path, strerror(errno));
	return OK;
}

static int give_group(const char *path, const char *group, struct buf *why)
{
	struct group *g = getgrnam(group);
	char *end;
	gid_t gid = g ? g->gr_gid : (gid_t)strtoul(group, &end, 10);

	if (!g && (*end || end == group))
		return complain(why, path, "its group does not exist");
	if (chown(path, (uid_t)-1, gid) < 0)
		return complain(why, path, strerror(errno));
	return OK;
}

/* Bound with mode 0600 at most; opened to others only when it is ready. */
static int bind_socket(const char *path, const char *group, mode_t mode,
		       struct buf *why)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	mode_t old;
	int fd, r;

	if (strlen(path) >= sizeof(addr.sun_path))
		return complain(why, path, "the path is too long");
	strcpy(addr.sun_path, path);
	if ((r = clear_path(&addr, why)) < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return complain(why, path, strerror(errno));
	old = umask(0177);
	r = bind(fd, (struct sockaddr *)&addr, sizeof(addr));
	umask(old);
	if (r < 0) {
		complain(why, path, strerror(errno));
		close(fd);
		return ERR_IO;
	}
	if ((group && give_group(path, group, why) < 0) ||
	    chmod(path, mode) < 0) {
		if (!why->n)
			complain(why, path, strerror(errno));
		close(fd);
		unlink(path);
		return ERR_IO;
	}
	return fd;
}

static void accept_on(uv_stream_t *listener, int status, bool control)
{
	struct server *s = listener->data;

	if (status < 0 || client_accept(s->clients, listener, control) < 0)
		log_warn("server", "a connection could not be accepted: %s",
			 status < 0 ? uv_strerror(status) : "no memory");
}

static void on_listen(uv_stream_t *listener, int status)
{
	accept_on(listener, status, false);
}

static void on_control(uv_stream_t *listener, int status)
{
	accept_on(listener, status, true);
}

static int start(struct server *s, uv_pipe_t *pipe, int fd,
		 uv_connection_cb on_connection)
{
	pipe->data = s;
	if (uv_pipe_open(pipe, fd) < 0)
		return ERR_IO;
	return uv_listen((uv_stream_t *)pipe, BACKLOG, on_connection) < 0
		       ? ERR_IO
		       : OK;
}

int server_open(struct server *s, uv_loop_t *loop, const struct conf *conf,
		struct client_house *clients, struct buf *why)
{
	int listen_fd, control_fd;

	*s = (struct server){.clients = clients, .conf = conf};
	listen_fd = bind_socket(conf->listen.path, conf->listen.group,
				conf->listen.mode, why);
	if (listen_fd < 0)
		return listen_fd;
	control_fd = bind_socket(conf->control, NULL, 0600, why);
	if (control_fd < 0) {
		close(listen_fd);
		unlink(conf->listen.path);
		return control_fd;
	}
	must(uv_pipe_init(loop, &s->listen, 0) == 0);
	must(uv_pipe_init(loop, &s->control, 0) == 0);
	s->open = true;
	if (start(s, &s->listen, listen_fd, on_listen) < 0 ||
	    start(s, &s->control, control_fd, on_control) < 0) {
		server_close(s);
		return complain(why, conf->listen.path, "cannot listen");
	}
	return OK;
}

void server_close(struct server *s)
{
	if (!s->open)
		return;
	s->open = false;
	unlink(s->conf->listen.path);
	unlink(s->conf->control);
	uv_close((uv_handle_t *)&s->listen, NULL);
	uv_close((uv_handle_t *)&s->control, NULL);
}
