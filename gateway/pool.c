/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool: see pool.h. Start at serve(), what a thread does.
 */
#include "gateway/pool.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "gateway/net.h"
#include "lib/affinity.h"

enum { NEWS_BYTES = 4096 };

struct seat {
	struct pool *pool;
	pthread_t thread;
	struct conn conn;
	int watch; /* its socket, duplicated; -1: none; the pool's lock */
};

/* ---- the done list ----------------------------------------------------- */

int done_init(struct done *d)
{
	*d = (struct done){.lock = PTHREAD_MUTEX_INITIALIZER};
	list_init(&d->tasks);
	d->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return d->fd < 0 ? ERR_IO : OK;
}

static void done_push(struct done *d, struct task *t)
{
	static const uint64_t one = 1;
	bool first;

	pthread_mutex_lock(&d->lock);
	first = list_empty(&d->tasks);
	list_push(&d->tasks, &t->node);
	pthread_mutex_unlock(&d->lock);
	/* Cannot fill: the reader empties it. */
	if (first && write(d->fd, &one, sizeof(one)) != sizeof(one))
		must(!"an eventfd takes one");
}

void done_take(struct done *d, struct list *tasks)
{
	uint64_t n;

	if (read(d->fd, &n, sizeof(n)) < 0)
		n = 0;
	pthread_mutex_lock(&d->lock);
	list_each(node, next, &d->tasks)
	{
		list_remove(node);
		list_push(tasks, node);
	}
	pthread_mutex_unlock(&d->lock);
}

void done_fini(struct done *d)
{
	close(d->fd);
}

/* ---- tasks ------------------------------------------------------------- */

struct task *task_new(struct slice bytes)
{
	struct task *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	list_init(&t->node);
	list_init(&t->inflight);
	buf_init(&t->job.out, PROVIDER_MAX_BYTES);
	buf_add_slice(&t->bytes, bytes);
	if (buf_error(&t->bytes) == OK)
		return t;
	task_free(t);
	return NULL;
}

void task_free(struct task *t)
{
	buf_fini(&t->job.out);
	buf_fini(&t->job.why);
	buf_fini(&t->job.note);
	buf_fini(&t->bytes);
	free(t);
}

/* ---- one thread -------------------------------------------------------- */

static void tell(struct pool *p, const char *what, const struct buf *why)
{
	if (p->news.n > NEWS_BYTES)
		return;
	buf_addf(&p->news, "%s pool=%s target=%.*s %s%.*s\n", p->provider->name,
		 p->name, (int)p->target.n, (const char *)p->target.p, what,
		 (int)why->n, (const char *)why->p);
}

static struct task *take(struct seat *s)
{
	struct pool *p = s->pool;
	struct list *node;
	struct task *t = NULL;

	pthread_mutex_lock(&p->lock);
	p->idle++;
	while (!p->closing && list_empty(&p->queue))
		pthread_cond_wait(&p->more, &p->lock);
	p->idle--;
	node = list_pop(&p->queue);
	if (node) {
		t = container_of(node, struct task, node);
		t->queued = false;
		t->seat = s;
		p->nqueue--;
	}
	pthread_mutex_unlock(&p->lock);
	return t;
}

static void drop(struct seat *s)
{
	struct pool *p = s->pool;

	p->provider->disconnect(&s->conn);
	s->conn.handle = NULL;
	s->conn.fd = -1;
	pthread_mutex_lock(&p->lock);
	p->connected -= p->provider->connects;
	if (s->watch >= 0)
		close(s->watch);
	s->watch = -1;
	pthread_mutex_unlock(&p->lock);
}

/* While the pool is down, only one at a time tries, once a second. */
static bool may_connect(struct pool *p)
{
	uint64_t now = net_now_ms();
	bool may;

	pthread_mutex_lock(&p->lock);
	may = !p->down || (!p->trying && now >= p->retry_ms);
	if (may && p->down)
		p->trying = true;
	pthread_mutex_unlock(&p->lock);
	return may;
}

static void note_connect(struct seat *s, bool good, const struct buf *why)
{
	static const struct buf nothing;
	struct pool *p = s->pool;

	pthread_mutex_lock(&p->lock);
	if (good) {
		p->connected++;
		p->served = true;
		if (s->conn.fd >= 0)
			s->watch = fcntl(s->conn.fd, F_DUPFD_CLOEXEC, 0);
		if (p->down)
			tell(p, "is back", &nothing);
	} else if (!p->down) {
		tell(p, "cannot be reached: ", why);
	}
	p->down = !good;
	p->trying = false;
	p->retry_ms = net_now_ms() + POOL_RETRY_MS;
	pthread_mutex_unlock(&p->lock);
}

static bool ensure_connected(struct seat *s, struct job *job)
{
	struct pool *p = s->pool;
	struct buf why = {0};
	int r;

	if (!p->provider->connects)
		return true;
	if (s->conn.handle && s->conn.fd >= 0 && net_closed(s->conn.fd))
		drop(s);
	if (s->conn.handle)
		return true;
	if (!may_connect(p)) {
		job_fail(job, JOB_UNAVAILABLE, "%s is not connected", p->name);
		return false;
	}
	r = p->provider->connect(&s->conn, net_now_ms() + POOL_CONNECT_MS,
				 &why);
	must((r == OK) == (s->conn.handle != NULL));
	note_connect(s, r == OK, &why);
	if (r < 0)
		job_fail(job, r == ERR_DENIED ? JOB_DENIED : JOB_UNAVAILABLE,
			 "%s: %.*s", p->name, (int)why.n, (const char *)why.p);
	buf_fini(&why);
	return r == OK;
}

static void call(struct seat *s, struct task *t)
{
	struct job *job = &t->job;

	if (!ensure_connected(s, job))
		return;
	if (t->connect_only) {
		pack_bool(&job->out, true);
		return;
	}
	if (net_left_ms(job->deadline_ms) == 0) {
		job_fail(job, JOB_TIMEOUT, "the deadline has passed");
		return;
	}
	if (s->pool->provider->call(&s->conn, job) < 0 && s->conn.handle)
		drop(s);
	if (job->code == JOB_OK && buf_error(&job->out) != OK)
		job_fail(job, JOB_TOO_LARGE, "the answer is over %d bytes",
			 PROVIDER_MAX_BYTES);
}

static void run(struct seat *s, struct task *t)
{
	struct pool *p = s->pool;
	struct net_policy policy = {p->provider->name, t->job.grants};

	net_policy_set(&policy);
	call(s, t);
	net_policy_set(NULL);
	pthread_mutex_lock(&p->lock);
	t->seat = NULL;
	p->calls++;
	p->errors += t->job.code != JOB_OK;
	pthread_mutex_unlock(&p->lock);
}

static void *serve(void *arg)
{
	struct seat *s = arg;
	struct task *t;

	while ((t = take(s)) != NULL) {
		run(s, t);
		done_push(s->pool->done, t);
	}
	if (s->conn.handle)
		drop(s);
	return NULL;
}

/* ---- the main thread's side -------------------------------------------- */

static int add_seat(struct pool *p)
{
	struct seat *s = calloc(1, sizeof(*s));
	pthread_attr_t attr;
	int e;

	if (!s)
		return ERR_NOMEM;
	s->pool = p;
	s->watch = -1;
	s->conn = (struct conn){
		.provider = p->provider, .settings = p->settings, .fd = -1};
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, POOL_STACK);
	e = pthread_create(&s->thread, &attr, serve, s);
	pthread_attr_destroy(&attr);
	if (e != 0) {
		free(s);
		return ERR_NOMEM;
	}
	p->seats[p->nseats++] = s;
	return OK;
}

int pool_submit(struct pool *p, struct task *t)
{
	int r = OK;

	pthread_mutex_lock(&p->lock);
	if (p->nqueue >= POOL_QUEUE)
		r = ERR_FULL;
	else if (p->idle <= p->nqueue && p->nseats < p->size &&
		 add_seat(p) < 0 && p->nseats == 0)
		r = ERR_NOMEM;
	if (r == OK) {
		t->pool = p;
		t->queued = true;
		list_push(&p->queue, &t->node);
		p->nqueue++;
		pthread_cond_signal(&p->more);
	}
	pthread_mutex_unlock(&p->lock);
	return r;
}

bool pool_withdraw(struct pool *p, struct task *t)
{
	bool was;

	pthread_mutex_lock(&p->lock);
	was = t->queued;
	if (was) {
		list_remove(&t->node);
		t->queued = false;
		p->nqueue--;
		p->calls++;
		p->errors++;
	}
	pthread_mutex_unlock(&p->lock);
	return was;
}

void pool_interrupt(struct pool *p, struct task *t)
{
	pthread_mutex_lock(&p->lock);
	if (t->seat && t->seat->watch >= 0)
		shutdown(t->seat->watch, SHUT_RDWR);
	pthread_mutex_unlock(&p->lock);
}

bool pool_served(struct pool *p)
{
	bool served;

	pthread_mutex_lock(&p->lock);
	served = p->served;
	pthread_mutex_unlock(&p->lock);
	return served;
}

void pool_stats(struct pool *p, struct pool_stats *out)
{
	pthread_mutex_lock(&p->lock);
	*out = (struct pool_stats){p->size,  p->nseats, p->connected, p->nqueue,
				   p->calls, p->errors, p->down};
	pthread_mutex_unlock(&p->lock);
}

void pool_news(struct pool *p, struct buf *out)
{
	pthread_mutex_lock(&p->lock);
	buf_add_slice(out, buf_slice(&p->news));
	buf_clear(&p->news);
	pthread_mutex_unlock(&p->lock);
}

int pool_new(const struct provider *provider, struct slice name,
	     struct slice settings, struct done *done, struct pool **out,
	     struct buf *why)
{
	struct pool *p = calloc(1, sizeof(*p));
	unsigned size = provider->size;
	int r;

	if (!p)
		return ERR_NOMEM;
	if (size == 0) {
		struct affinity a;

		affinity_init(&a);
		size = a.left;
	}
	p->provider = provider;
	p->done = done;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->more, NULL);
	list_init(&p->queue);
	snprintf(p->name, sizeof(p->name), "%.*s", (int)name.n,
		 (const char *)name.p);
	r = provider->pool_open(settings, &p->settings, &size, &p->target, why);
	if (r < 0) {
		pool_free(p);
		return r;
	}
	p->size = size < 1		     ? 1
		  : size > PROVIDER_MAX_SIZE ? PROVIDER_MAX_SIZE
					     : size;
	p->seats = calloc(p->size, sizeof(struct seat *));
	if (!p->seats) {
		pool_free(p);
		return ERR_NOMEM;
	}
	*out = p;
	return OK;
}

void pool_close(struct pool *p, struct list *waiting)
{
	struct list *node;

	pthread_mutex_lock(&p->lock);
	p->closing = true;
	while ((node = list_pop(&p->queue)) != NULL) {
		container_of(node, struct task, node)->queued = false;
		p->nqueue--;
		list_push(waiting, node);
	}
	pthread_cond_broadcast(&p->more);
	pthread_mutex_unlock(&p->lock);
}

bool pool_join(struct pool *p, uint64_t deadline_ms)
{
	struct timespec until;
	int left = net_left_ms(deadline_ms);

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += left / 1000;
	until.tv_nsec += left % 1000 * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	while (p->nseats > 0) {
		struct seat *s = p->seats[p->nseats - 1];

		if (pthread_timedjoin_np(s->thread, NULL, &until) != 0)
			return false;
		free(s);
		p->nseats--;
	}
	return true;
}

void pool_free(struct pool *p)
{
	must(p->nseats == 0);
	if (p->settings)
		p->provider->pool_close(p->settings);
	free(p->seats);
	buf_fini(&p->target);
	buf_fini(&p->news);
	pthread_cond_destroy(&p->more);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
