/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http: get, put, post, delete (pool, url[, body[, headers]]) and body(ref),
 * by libcurl, one handle for each thread, which keeps its connections alive.
 *
 * Nothing is followed, nothing remembered: no redirect, no cookie, no proxy,
 * no ~/.netrc, http and https only. Which addresses may be reached is asked
 * twice: the URL's host against the grants here, and what it resolves to in
 * net.c, through which libcurl connects.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <strings.h>

#include "gateway/net.h"
#include "gateway/provider/all.h"
#include "gateway/provider/http.h"
#include "gateway/settings.h"

enum {
	MAX_HEADER_BYTES = 256 << 10, /* of a response, all together */
	CONNECT_MS = 8000,
	KEEP_CONNECTIONS = 8, /* alive, of one thread */
};

struct settings {
	char *cafile;
};

/* One response on its way. */
struct response {
	struct buf body, headers;
	uint32_t nheaders;
	size_t header_bytes;
	bool too_large, denied;
	char error[CURL_ERROR_SIZE];
};

/* ---- settings ---------------------------------------------------------- */

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_library(void)
{
	curl_global_init(CURL_GLOBAL_ALL);
}

static void pool_close(void *arg)
{
	struct settings *s = arg;

	free(s->cafile);
	free(s);
}

static int pool_open(struct slice map, void **out, unsigned *size,
		     struct buf *target, struct buf *why)
{
	struct settings *s = calloc(1, sizeof(*s));
	int r;

	(void)target;
	if (!s)
		return ERR_NOMEM;
	pthread_once(&once, init_library);
	if ((r = settings_text(map, "cafile", NULL, &s->cafile, why)) < 0 ||
	    (r = settings_size(map, size, why)) < 0) {
		pool_close(s);
		return r;
	}
	*out = s;
	return OK;
}

static void disconnect(struct conn *c)
{
	curl_easy_cleanup(c->handle);
	c->handle = NULL;
}

/* ---- what comes back --------------------------------------------------- */

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct response *r = arg;

	n *= size;
	buf_add(&r->body, p, n);
	if (buf_error(&r->body) == OK)
		return n;
	r->too_large = true;
	return 0;
}

static struct slice trim(struct slice s)
{
	while (s.n && (s.p[s.n - 1] == '\r' || s.p[s.n - 1] == '\n' ||
		       s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	while (s.n && (*s.p == ' ' || *s.p == '\t'))
		s = slice_of(s.p + 1, s.n - 1);
	return s;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	struct slice line = slice_of(p, n *= size), name, value;
	struct response *r = arg;
	const uint8_t *colon = memchr(p, ':', n);

	r->header_bytes += n;
	if (r->header_bytes > MAX_HEADER_BYTES) {
		r->too_large = true;
		return 0;
	}
	if (slice_starts(line, slice_str("HTTP/"))) {
		/* Another head: what came before was only `100 Continue`. */
		buf_clear(&r->headers);
		r->nheaders = 0;
		return n;
	}
	if (!colon)
		return n;
	name = slice_of(line.p, (size_t)(colon - line.p));
	value = slice_of(colon + 1, line.n - name.n - 1);
	pack_text(&r->headers, trim(name));
	pack_text(&r->headers, trim(value));
	r->nheaders++;
	return n;
}

/* ---- one request ------------------------------------------------------- */

static bool has_type(const struct curl_slist *list)
{
	for (; list; list = list->next)
		if (strncasecmp(list->data, "content-type:", 13) == 0 ||
		    strncasecmp(list->data, "content-type;", 13) == 0)
			return true;
	return false;
}

static void add_line(struct request *q, const char *line)
{
	struct curl_slist *longer = curl_slist_append(q->headers, line);

	if (longer)
		q->headers = longer;
}

/* A connection that is used again was made on behalf of another call. */
static int before_request(void *arg, char *remote, char *local, int remote_port,
			  int local_port)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	const struct sockaddr *addr = (const void *)&in;
	bool *denied = arg;

	(void)local, (void)local_port;
	in.sin_port = in6.sin6_port = htons((uint16_t)remote_port);
	if (inet_pton(AF_INET6, remote, &in6.sin6_addr) == 1)
		addr = (const void *)&in6;
	else if (inet_pton(AF_INET, remote, &in.sin_addr) != 1)
		return CURL_PREREQFUNC_ABORT;
	*denied = !net_allowed(addr);
	return *denied ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static void set_method(CURL *h, const char *op, const struct request *q)
{
	bool post = strcmp(op, "post") == 0;

	if (q->has_body || post || strcmp(op, "put") == 0) {
		curl_easy_setopt(h, CURLOPT_POST, 1L);
		curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE,
				 (curl_off_t)q->body.n);
		curl_easy_setopt(h, CURLOPT_POSTFIELDS,
				 q->body.n ? (const char *)q->body.p : "");
	}
	if (!post)
		curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST,
				 strcmp(op, "get") == 0	  ? "GET"
				 : strcmp(op, "put") == 0 ? "PUT"
							  : "DELETE");
}

static void set_rules(CURL *h, const struct settings *s, const struct job *job)
{
	/* Where a second ends in between, libcurl counts up to a millisecond
	 * too much; it must not end a call before we call it late. */
	long left = net_left_ms(job->deadline_ms) + 1L;

	curl_easy_reset(h); /* its connections stay */
	curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(h, CURLOPT_PROXY, "");
	curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(h, CURLOPT_MAXCONNECTS, (long)KEEP_CONNECTIONS);
	curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, left);
	curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 2L);
	if (s->cafile)
		curl_easy_setopt(h, CURLOPT_CAINFO, s->cafile);
}

/* ---- its end ----------------------------------------------------------- */

static void pack_answer(CURL *h, struct response *r, struct job *job)
{
	long status = 0;

	curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
	pack_map(&job->out, 3);
	pack_cstr(&job->out, "status");
	pack_int(&job->out, status);
	pack_cstr(&job->out, "headers");
	pack_map(&job->out, r->nheaders);
	pack_raw(&job->out, buf_slice(&r->headers));
	pack_cstr(&job->out, "ref");
	pack_text(&job->out, buf_slice(&r->body));
}

/* Whatever a server did or did not do is `false`; only what is our own rule
 * has a code. */
static void conclude(CURL *h, CURLcode code, struct response *r,
		     struct job *job)
{
	if (r->too_large || code == CURLE_FILESIZE_EXCEEDED) {
		job_fail(job, JOB_TOO_LARGE, "the response is too large");
	} else if (code == CURLE_OK) {
		pack_answer(h, r, job);
	} else if (r->denied) {
		job_fail(job, JOB_DENIED, "denied: no grant for that address");
	} else if (net_left_ms(job->deadline_ms) == 0) {
		job_fail(job, JOB_TIMEOUT, "there was no answer in time");
	} else {
		buf_addf(&job->note, "%s",
			 r->error[0] ? r->error : curl_easy_strerror(code));
		pack_bool(&job->out, false);
	}
}

static void perform(struct conn *c, struct request *q, struct job *job,
		    const char *op)
{
	struct response r = {.nheaders = 0};
	CURL *h = c->handle;

	buf_init(&r.body, PROVIDER_MAX_BYTES - MAX_HEADER_BYTES - 1024);
	set_rules(h, c->settings, job);
	set_method(h, op, q);
	add_line(q, "Expect:");
	if (q->type && !has_type(q->headers))
		add_line(q, q->type);
	else if (!q->has_body)
		add_line(q, "Content-Type:"); /* none */
	curl_easy_setopt(h, CURLOPT_CURLU, q->url);
	curl_easy_setopt(h, CURLOPT_HTTPHEADER, q->headers);
	curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(h, CURLOPT_WRITEDATA, &r);
	curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(h, CURLOPT_HEADERDATA, &r);
	curl_easy_setopt(h, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)r.body.max);
	curl_easy_setopt(h, CURLOPT_ERRORBUFFER, r.error);
	curl_easy_setopt(h, CURLOPT_PREREQFUNCTION, before_request);
	curl_easy_setopt(h, CURLOPT_PREREQDATA, &r.denied);
	conclude(h, curl_easy_perform(h), &r, job);
	curl_easy_reset(h); /* nothing of ours is left in it */
	buf_fini(&r.body);
	buf_fini(&r.headers);
}

static const char *method_of(struct slice op)
{
	static const char *const ops[] = {"get", "put", "post", "delete"};

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (slice_is(op, ops[i]))
			return ops[i];
	return NULL;
}

static int call(struct conn *c, struct job *job)
{
	const char *op = method_of(job->op);
	struct request q = {0};

	if (!c->handle)
		c->handle = curl_easy_init();
	if (!op)
		job_fail(job, JOB_BADARG, "unknown function");
	else if (!c->handle)
		job_fail(job, JOB_UNAVAILABLE, "no memory");
	else if (!http_read(job, &q))
		;
	else if (!net_granted(job->grants, "http", buf_slice(&q.target)))
		job_fail(job, JOB_DENIED, "denied: no grant for %.*s",
			 (int)q.target.n, (const char *)q.target.p);
	else
		perform(c, &q, job, op);
	http_fini(&q);
	return OK;
}

/* The reference to a body is the body. */
static int local(struct slice settings, struct job *job)
{
	(void)settings;
	if (!slice_is(job->op, "body"))
		return ERR_ABSENT;
	if (job->nargs < 1)
		job_fail(job, JOB_BADARG, "a reference is a string");
	else
		pack_raw(&job->out, cursor_raw(&job->args));
	return OK;
}

const struct provider http_provider = {
	.name = "http",
	.default_pool = "pool_http",
	.implicit = true,
	.size = 10,
	.pool_open = pool_open,
	.pool_close = pool_close,
	.disconnect = disconnect,
	.call = call,
	.local = local,
};
