/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_request: the arguments of a call -> what libcurl is to send. Header
 * names and values are checked here: nothing of a script can end a line.
 */
#include "gateway/provider/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum {
	MAX_HEADERS = 128,
	MAX_FIELD = 64 << 10, /* one header of a request */
	MAX_URL = 64 << 10,
};

static void add_encoded(struct buf *out, struct slice s)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		    (c >= 'A' && c <= 'Z') || c == '-' || c == '_' ||
		    c == '.' || c == '~') {
			buf_add_byte(out, c);
		} else if (c == ' ') {
			buf_add_byte(out, '+');
		} else {
			buf_add_byte(out, '%');
			buf_add_byte(out, (uint8_t)hex[c >> 4]);
			buf_add_byte(out, (uint8_t)hex[c & 15]);
		}
	}
}

/* A text, a number or a boolean as the bytes that it is sent as. */
static bool read_scalar(struct cursor *c, char number[40], struct slice *out)
{
	switch (cursor_peek(c)) {
	case CURSOR_STR:
	case CURSOR_BIN:
		*out = cursor_text(c);
		return true;
	case CURSOR_INT:
		snprintf(number, 40, "%lld", (long long)cursor_int(c));
		break;
	case CURSOR_FLOAT:
		snprintf(number, 40, "%.14g", cursor_number(c));
		break;
	case CURSOR_BOOL:
		snprintf(number, 40, cursor_bool(c) ? "true" : "false");
		break;
	default:
		return false;
	}
	*out = slice_str(number);
	return !c->error;
}

/* A string as it is, a table as a form. */
static bool read_body(struct cursor *c, struct buf *out, bool *form)
{
	uint32_t n;

	*form = cursor_peek(c) == CURSOR_MAP || cursor_peek(c) == CURSOR_ARRAY;
	if (!*form) {
		buf_add_slice(out, cursor_text(c));
		return !c->error;
	}
	/* An empty table comes as an empty array. */
	if (cursor_peek(c) == CURSOR_ARRAY)
		return cursor_array(c) == 0 && !c->error;
	for (n = cursor_map(c); n > 0; n--) {
		char number[40];
		struct slice s;

		if (!read_scalar(c, number, &s))
			return false;
		if (out->n)
			buf_add_byte(out, '&');
		add_encoded(out, s);
		buf_add_byte(out, '=');
		if (!read_scalar(c, number, &s))
			return false;
		add_encoded(out, s);
	}
	return buf_error(out) == OK;
}

static bool is_token(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f ||
		    strchr("()<>@,;:\\\"/[]?={}", s.p[i]))
			return false;
	return s.n > 0;
}

static bool is_field(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '\r' || s.p[i] == '\n' || s.p[i] == '\0')
			return false;
	return s.n <= MAX_FIELD;
}

/* The length and the framing are libcurl's to say. */
static bool is_framing(struct slice name)
{
	static const char *const names[] = {"content-length",
					    "transfer-encoding",
					    "connection",
					    "upgrade",
					    "te",
					    "trailer"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (name.n == strlen(names[i]) &&
		    strncasecmp((const char *)name.p, names[i], name.n) == 0)
			return true;
	return false;
}

static bool add_header(struct curl_slist **list, struct slice name,
		       struct slice value)
{
	struct curl_slist *longer;
	struct buf line = {0};

	if (!is_token(name) || !is_field(value))
		return false;
	if (is_framing(name))
		return true;
	buf_add_slice(&line, name);
	/* libcurl: a semicolon stands for an empty value. */
	buf_addf(&line, value.n ? ": " : ";");
	buf_add_slice(&line, value);
	buf_add_byte(&line, '\0');
	longer = buf_error(&line) == OK
			 ? curl_slist_append(*list, (const char *)line.p)
			 : NULL;
	buf_fini(&line);
	if (longer)
		*list = longer;
	return longer != NULL;
}

/* {Name=value, Name={value, value}}. */
static bool read_headers(struct cursor *c, struct curl_slist **list)
{
	uint32_t n, m;

	if (cursor_nil(c))
		return true;
	if (cursor_peek(c) == CURSOR_ARRAY)
		return cursor_array(c) == 0;
	n = cursor_map(c);
	if (c->error || n > MAX_HEADERS)
		return false;
	for (; n > 0 && !c->error; n--) {
		struct slice name = cursor_text(c), value;
		char number[40];

		m = 1;
		if (cursor_peek(c) == CURSOR_ARRAY)
			m = cursor_array(c);
		while (m-- > 0 && !c->error)
			if (!read_scalar(c, number, &value) ||
			    !add_header(list, name, value))
				return false;
	}
	return !c->error;
}

/* ---- one request ------------------------------------------------------- */

static char *part_of(CURLU *u, CURLUPart part)
{
	char *text = NULL;

	if (curl_url_get(u, part, &text, CURLU_DEFAULT_PORT) != CURLUE_OK)
		return NULL;
	return text;
}

static CURLU *parse_url(struct slice text)
{
	CURLU *u = curl_url();
	char *copy;

	if (!u || !text.n || text.n > MAX_URL || memchr(text.p, 0, text.n)) {
		curl_url_cleanup(u);
		return NULL;
	}
	copy = strndup((const char *)text.p, text.n);
	if (!copy || curl_url_set(u, CURLUPART_URL, copy, CURLU_URLENCODE) !=
			     CURLUE_OK) {
		curl_url_cleanup(u);
		u = NULL;
	}
	free(copy);
	return u;
}

static void lower(char *p)
{
	for (; p && *p; p++)
		*p = (char)(*p >= 'A' && *p <= 'Z' ? *p | 0x20 : *p);
}

/* False: no URL of ours. What is granted, is fetched: both are taken from the
 * same parsed URL. */
static bool read_url(struct slice text, struct request *q)
{
	CURLU *u = parse_url(text);
	char *scheme, *host, *port;

	if (!u)
		return false;
	scheme = part_of(u, CURLUPART_SCHEME);
	host = part_of(u, CURLUPART_HOST);
	port = part_of(u, CURLUPART_PORT);
	lower(host);
	if (scheme && host && port &&
	    (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0)) {
		buf_addf(&q->target, "%s:%s", host, port);
		q->url = u;
	} else {
		curl_url_cleanup(u);
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	return q->url && buf_error(&q->target) == OK;
}

bool http_read(struct job *job, struct request *q)
{
	struct cursor *c = &job->args;
	struct slice url = cursor_text(c);
	bool form;

	if (job->nargs < 1 || c->error || !read_url(url, q)) {
		job_fail(job, JOB_BADARG, "a URL is http:// or https://");
		return false;
	}
	q->has_body = job->nargs >= 2 && !cursor_nil(c);
	if (!q->has_body)
		return true; /* the headers count for nothing then */
	if (!read_body(c, &q->body, &form)) {
		job_fail(job, JOB_BADARG,
			 "a body is a string, or a table of strings");
		return false;
	}
	if (job->nargs >= 3 && !read_headers(c, &q->headers)) {
		job_fail(job, JOB_BADARG, "a header cannot be sent so");
		return false;
	}
	q->type = form ? "Content-Type: application/x-www-form-urlencoded"
		       : "Content-Type: application/octet-stream";
	return true;
}

void http_fini(struct request *q)
{
	curl_slist_free_all(q->headers);
	curl_url_cleanup(q->url);
	buf_fini(&q->body);
	buf_fini(&q->target);
}
