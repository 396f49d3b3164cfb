/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mongodb: MongoDB by libmongoc, one single-threaded client per connection.
 * Here are settings and connecting; the calls are in mongodb_ops.c.
 */
#include "gateway/provider/mongodb.h"

#include <stdlib.h>

#include "gateway/net.h"
#include "gateway/pool.h"
#include "gateway/provider/all.h"
#include "gateway/settings.h"

/* ---- settings ---------------------------------------------------------- */

static void mongo_close(void *settings)
{
	struct mongo_settings *s = settings;

	if (s->uri)
		mongoc_uri_destroy(s->uri);
	server_fini(&s->server);
	free(s->auth_source);
	free(s->srv);
	free(s->w_mode);
	free(s->read_preference);
	free(s->sni);
	free(s);
}

static int read_modes(struct mongo_settings *s, struct buf *why)
{
	static const struct {
		const char *name;
		mongoc_read_mode_t mode;
	} modes[] = {
		{"primary", MONGOC_READ_PRIMARY},
		{"secondary", MONGOC_READ_SECONDARY},
		{"primaryPreferred", MONGOC_READ_PRIMARY_PREFERRED},
		{"secondaryPreferred", MONGOC_READ_SECONDARY_PREFERRED},
		{"nearest", MONGOC_READ_NEAREST},
	};

	if (strcmp(s->w_mode, "safe") != 0 &&
	    strcmp(s->w_mode, "unsafe") != 0) {
		buf_addf(why, "w_mode: must be safe or unsafe");
		return ERR_TYPE;
	}
	s->unsafe = strcmp(s->w_mode, "unsafe") == 0;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(s->read_preference, modes[i].name) == 0) {
			s->read_mode = modes[i].mode;
			return OK;
		}
	buf_addf(why, "read_preference: must be primary, primaryPreferred, "
		      "secondary, secondaryPreferred or nearest");
	return ERR_TYPE;
}

static mongoc_uri_t *base_uri(const struct mongo_settings *s)
{
	mongoc_uri_t *uri;
	char *text;

	if (!s->srv[0])
		return mongoc_uri_new_for_host_port(s->server.host,
						    s->server.port);
	text = bson_strdup_printf("mongodb+srv://%s/", s->srv);
	uri = mongoc_uri_new_with_error(text, NULL);
	bson_free(text);
	return uri;
}

/* TLS is ours (mongodb_stream.c), so the address says nothing about it. */
static int make_uri(struct mongo_settings *s, struct buf *why)
{
	const struct server *server = &s->server;
	mongoc_uri_t *uri = base_uri(s);
	bool good;

	s->uri = uri;
	good = uri && mongoc_uri_set_database(uri, server->database) &&
	       mongoc_uri_set_appname(uri, "pinfold") &&
	       mongoc_uri_set_option_as_int32(uri, MONGOC_URI_CONNECTTIMEOUTMS,
					      POOL_CONNECT_MS) &&
	       mongoc_uri_set_option_as_int32(
		       uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS,
		       POOL_CONNECT_MS) &&
	       mongoc_uri_set_option_as_int32(uri, MONGOC_URI_SOCKETTIMEOUTMS,
					      INT32_MAX);
	if (good && s->srv[0])
		good = mongoc_uri_set_option_as_bool(uri, MONGOC_URI_TLS,
						     server->ssl);
	else if (good)
		good = mongoc_uri_set_option_as_bool(
			uri, MONGOC_URI_DIRECTCONNECTION, true);
	if (good && server->user)
		good = mongoc_uri_set_username(uri, server->user) &&
		       mongoc_uri_set_password(
			       uri, server->password ? server->password : "") &&
		       mongoc_uri_set_auth_source(uri, s->auth_source);
	if (!good)
		buf_addf(why, "the settings do not make an address");
	return good ? OK : ERR_TYPE;
}

static int read_settings(struct mongo_settings *s, struct slice settings,
			 struct buf *why)
{
	const struct server_defaults defaults = {
		.port = 27017,
		.database = "test",
		.user_key = "login",
	};
	int r;

	if ((r = server_init(&s->server, settings, &defaults, why)) < 0 ||
	    (r = settings_text(settings, "auth_source", "admin",
			       &s->auth_source, why)) < 0 ||
	    (r = settings_text(settings, "srv", "", &s->srv, why)) < 0 ||
	    (r = settings_text(settings, "w_mode", "safe", &s->w_mode, why)) <
		    0 ||
	    (r = settings_text(settings, "read_preference", "primaryPreferred",
			       &s->read_preference, why)) < 0 ||
	    (r = server_text(settings, "sni", "ssl.sni", &s->sni, why)) < 0 ||
	    (r = read_modes(s, why)) < 0)
		return r;
	return make_uri(s, why);
}

/* libmongoc has a log of its own; what matters comes as errors. */
static void no_log(mongoc_log_level_t level, const char *domain,
		   const char *message, void *arg)
{
	(void)level;
	(void)domain;
	(void)message;
	(void)arg;
}

static int mongo_open(struct slice settings, void **out, unsigned *size,
		      struct buf *target, struct buf *why)
{
	struct mongo_settings *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return ERR_NOMEM;
	mongoc_init();
	mongoc_log_set_handler(no_log, NULL);
	r = read_settings(s, settings, why);
	if (r == OK)
		r = server_size(settings, size, why);
	if (r < 0) {
		mongo_close(s);
		return r;
	}
	settings_target(s->srv[0] ? s->srv : s->server.host, s->server.port,
			target);
	*out = s;
	return OK;
}

/* ---- connecting -------------------------------------------------------- */

static int fail_connect(const struct mongo *m, const bson_error_t *error,
			struct buf *why)
{
	if (m->late) {
		buf_addf(why, "it does not answer");
		return ERR_TIMEOUT;
	}
	buf_addf(why, "%.*s", (int)strcspn(error->message, "\n"),
		 error->message);
	return ERR_IO;
}

/* A first command: finds the server, and says who we are. */
static int greet(struct mongo *m, struct buf *why)
{
	mongoc_write_concern_t *w = mongoc_write_concern_new();
	bson_t *ping = BCON_NEW("ping", BCON_INT32(1));
	bson_error_t error;
	bool good;

	mongoc_client_set_error_api(m->client, MONGOC_ERROR_API_VERSION_2);
	mongoc_client_set_stream_initiator(m->client, mongo_stream_open, m);
	mongoc_write_concern_set_w(w, m->settings->unsafe ? 0 : 1);
	mongoc_client_set_write_concern(m->client, w);
	good = mongoc_client_command_simple(m->client,
					    m->settings->server.database, ping,
					    NULL, NULL, &error);
	bson_destroy(ping);
	mongoc_write_concern_destroy(w);
	return good ? OK : fail_connect(m, &error, why);
}

static struct mongo *mongo_new(const struct mongo_settings *s)
{
	struct mongo *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->settings = s;
	m->fd = -1;
	m->users = 1;
	list_init(&m->doomed);
	pthread_mutex_init(&m->lock, NULL);
	return m;
}

/* Nothing waits for the server any more. */
static void mongo_end(struct mongo *m)
{
	pthread_mutex_lock(&m->lock);
	mongo_begin(m, 0);
	mongo_cursor_close_all(m);
	if (m->client)
		mongoc_client_destroy(m->client);
	m->client = NULL;
	pthread_mutex_unlock(&m->lock);
	mongo_release(m);
}

static int mongo_connect(struct conn *c, uint64_t deadline_ms, struct buf *why)
{
	const struct mongo_settings *s = c->settings;
	int r = server_check_files(&s->server, why);
	bson_error_t error;
	struct mongo *m;

	if (r < 0)
		return r;
	m = mongo_new(s);
	if (!m)
		return ERR_NOMEM;
	mongo_begin(m, deadline_ms);
	m->client =
		mongoc_client_new_from_uri_with_error(m->settings->uri, &error);
	r = m->client ? greet(m, why) : fail_connect(m, &error, why);
	if (r < 0) {
		mongo_end(m);
		return r;
	}
	c->handle = m;
	c->fd = m->fd;
	return OK;
}

static void mongo_disconnect(struct conn *c)
{
	mongo_end(c->handle);
	c->handle = NULL;
}

/* ---- calls ------------------------------------------------------------- */

static int mongo_call(struct conn *c, struct job *job)
{
	struct mongo *m = c->handle;
	int r;

	if (mongo_is_cursor_op(job->op))
		return mongo_cursor_op(job);
	pthread_mutex_lock(&m->lock);
	mongo_begin(m, job->deadline_ms);
	mongo_cursor_sweep(m);
	r = mongo_op(m, job);
	c->fd = m->fd; /* the library may have connected anew */
	pthread_mutex_unlock(&m->lock);
	return r;
}

const struct provider mongodb_provider = {
	.name = "mongodb",
	.default_pool = "pool_mongodb",
	.connects = true,
	.size = 5,
	.pool_open = mongo_open,
	.pool_close = mongo_close,
	.connect = mongo_connect,
	.disconnect = mongo_disconnect,
	.call = mongo_call,
	.owner = mongo_cursor_owner,
};
