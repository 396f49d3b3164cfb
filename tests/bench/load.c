/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load: keeps `depth` requests outstanding on one connection and prints, as
 * one line of JSON, how many were answered and how long each took. It writes
 * what it may in one call and reads what there is in one call, whatever the
 * system, so that the systems differ and the client does not. Start at run().
 *
 *   load peer=NAME socket=PATH [what=NAME] [depth=N] [ms=N] [warm_ms=N]
 *        [path=/x] [body=BYTES] [event=FILE] [once=1]
 */
#include "tests/bench/load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { LATENCIES = 1 << 20, READ_SIZE = 1 << 18, LOAD_EVENT_MAX = 1 << 16 };

struct load {
	const struct load_peer *peer;
	struct load_options options;
	struct load_request request;
	struct buf in, out;
	int fd;
	uint32_t next_id;
	uint64_t events;     /* answered, warming up included */
	uint32_t *latencies; /* ns, of the measured time; depth 1 only */
	size_t nlatencies;
};

__attribute__((noreturn)) static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int dial(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(addr.sun_path))
		die("socket path too long");
	strcpy(addr.sun_path, path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		die(path);
	return fd;
}

/* One more request at the end of `out`, with numbers of its own. */
static void add_request(struct load *l)
{
	static const char hex[] = "0123456789abcdef";
	size_t at = l->out.n;
	uint32_t id = l->next_id++;

	buf_add_slice(&l->out, buf_slice(&l->request.bytes));
	must(buf_error(&l->out) == 0);
	for (int i = 0; i < 8; i++)
		l->out.p[at + l->request.event_id + (size_t)i] =
			(uint8_t)hex[id >> (28 - 4 * i) & 15];
	for (int i = 0; l->request.msg_id && i < 4; i++)
		l->out.p[at + l->request.msg_id + (size_t)i] =
			(uint8_t)(id >> (24 - 8 * i));
}

static void flush_out(struct load *l)
{
	size_t done = 0;

	while (done < l->out.n) {
		ssize_t n = write(l->fd, l->out.p + done, l->out.n - done);

		if (n < 0)
			die("write");
		done += (size_t)n;
	}
	buf_clear(&l->out);
}

/* Waits for at least one answer; returns how many came. */
static unsigned take_answers(struct load *l)
{
	unsigned taken = 0;

	while (!taken) {
		uint8_t *room;
		size_t at = 0, len;
		ssize_t n;
		int r;

		if (buf_reserve(&l->in, READ_SIZE, &room) < 0)
			die("memory");
		n = read(l->fd, room, READ_SIZE);
		if (n <= 0)
			die("the server closed the connection");
		buf_commit(&l->in, (size_t)n);
		while ((r = l->peer->answer(
				slice_of(l->in.p + at, l->in.n - at), &len)) >
		       0) {
			at += len;
			taken++;
		}
		if (r < 0) {
			fprintf(stderr, "load: %s answered: %.*s\n",
				l->peer->name, (int)(l->in.n - at),
				(char *)l->in.p + at);
			exit(1);
		}
		if (l->options.once && taken)
			fwrite(l->in.p, 1, at, stdout);
		buf_consume(&l->in, at);
	}
	l->events += taken;
	return taken;
}

/* One outstanding: the time of every single round trip counts. */
static void run_one(struct load *l, uint64_t until, bool measured)
{
	uint64_t start = now_ns();

	while (start < until) {
		uint64_t end;

		add_request(l);
		flush_out(l);
		take_answers(l);
		end = now_ns();
		if (measured && l->nlatencies < LATENCIES)
			l->latencies[l->nlatencies++] = (uint32_t)(end - start);
		start = end;
	}
}

/* Many outstanding: an answer makes room for a request. */
static void run_many(struct load *l, uint64_t until)
{
	uint64_t free_slots = l->options.depth;

	while (now_ns() < until) {
		while (free_slots) {
			add_request(l);
			free_slots--;
		}
		flush_out(l);
		free_slots += take_answers(l);
	}
	while (free_slots < l->options.depth)
		free_slots += take_answers(l);
}

static void run(struct load *l, uint64_t ms, bool measured)
{
	uint64_t until = now_ns() + ms * 1000000u;

	if (l->options.depth == 1)
		run_one(l, until, measured);
	else
		run_many(l, until);
}

static int by_value(const void *a, const void *b)
{
	uint32_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

static double percentile_us(struct load *l, size_t percent)
{
	if (!l->nlatencies)
		return 0;
	return l->latencies[(l->nlatencies - 1) * percent / 100] / 1000.0;
}

static void measure(struct load *l)
{
	uint64_t before, start, ns;

	run(l, l->options.warm_ms, false);
	before = l->events;
	start = now_ns();
	run(l, l->options.ms, true);
	ns = now_ns() - start;
	qsort(l->latencies, l->nlatencies, sizeof(*l->latencies), by_value);
	printf("{\"events\":%llu,\"all_events\":%llu,\"seconds\":%.6f,"
	       "\"p50_us\":%.2f,\"p99_us\":%.2f}\n",
	       (unsigned long long)(l->events - before),
	       (unsigned long long)l->events, (double)ns / 1e9,
	       percentile_us(l, 50), percentile_us(l, 99));
}

static bool option(struct load_options *o, const char *arg)
{
	const char *value = strchr(arg, '=');
	size_t n = value ? (size_t)(value - arg) : 0;
	const struct {
		const char *name;
		const char **text;
		uint64_t *number;
	} known[] = {
		{"peer", &o->peer, NULL},	{"socket", &o->socket, NULL},
		{"what", &o->what, NULL},	{"path", &o->path, NULL},
		{"depth", NULL, &o->depth},	{"ms", NULL, &o->ms},
		{"warm_ms", NULL, &o->warm_ms}, {"body", NULL, &o->body},
		{"event", &o->event, NULL},
	};

	if (strcmp(arg, "once=1") == 0) {
		o->once = true;
		return true;
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!n || !slice_is(slice_of(arg, n), known[i].name))
			continue;
		if (known[i].text)
			*known[i].text = value + 1;
		else
			*known[i].number = strtoull(value + 1, NULL, 10);
		return true;
	}
	return false;
}

static void read_event(struct buf *out, const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *room;

	if (!f || buf_reserve(out, LOAD_EVENT_MAX, &room) < 0)
		die(path);
	buf_commit(out, fread(room, 1, LOAD_EVENT_MAX, f));
	fclose(f);
}

static void prepare(struct load *l)
{
	struct buf event = {0};
	const uint8_t *id;

	for (l->peer = load_peers; l->peer->name; l->peer++)
		if (strcmp(l->peer->name, l->options.peer) == 0)
			break;
	must(l->peer->name);
	if (l->options.event)
		read_event(&event, l->options.event);
	else
		load_event(&event, l->options.path, l->options.body);
	l->peer->request(&l->request, l->options.what, buf_slice(&event));
	must(buf_error(&l->request.bytes) == 0);
	id = memmem(l->request.bytes.p, l->request.bytes.n,
		    "\xa8"
		    "00000000",
		    9);
	must(id);
	l->request.event_id = (size_t)(id - l->request.bytes.p) + 1;
	buf_fini(&event);

	l->latencies = calloc(LATENCIES, sizeof(*l->latencies));
	must(l->latencies);
	l->fd = dial(l->options.socket);
	if (l->peer->greet && l->peer->greet(l->fd) < 0)
		die("greeting");
}

int main(int argc, char **argv)
{
	struct load l = {.options = {.path = "/articles/4711",
				     .what = "before_request",
				     .depth = 1,
				     .ms = 1000,
				     .warm_ms = 200}};

	for (int i = 1; i < argc; i++) {
		if (!option(&l.options, argv[i])) {
			fprintf(stderr, "load: what is %s?\n", argv[i]);
			return 2;
		}
	}
	if (!l.options.peer || !l.options.socket) {
		fprintf(stderr, "load: peer= and socket= are needed\n");
		return 2;
	}
	prepare(&l);
	if (l.options.once) {
		add_request(&l);
		flush_out(&l);
		take_answers(&l);
	} else {
		measure(&l);
	}
	close(l.fd);
	buf_fini(&l.in);
	buf_fini(&l.out);
	buf_fini(&l.request.bytes);
	free(l.latencies);
	return 0;
}
