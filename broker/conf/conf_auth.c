/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_auth: the blocks auth_X and bcrypt: settings of a provider, as the
 * gateway gets them, and whether its bundled script runs.
 *
 * A password may be in the file, in another one or in the environment. It is
 * noted as a secret, and no message quotes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/conf/conf_mqtt.h"
#include "broker/conf/conf_script.h"
#include "proto/pack.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum { PASSWORD_MAX = 1024 };

/* Which providers have a key: bits of conf_key.who. */
enum {
	POSTGRES = 1,
	COCKROACHDB = 2,
	MYSQL = 4,
	MYSQL2 = 8,
	MONGODB = 16,
	REDIS = 32,
	MEMCACHED = 64,
	HTTP = 128,
	SQL = POSTGRES | COCKROACHDB | MYSQL | MYSQL2,
	SERVER = SQL | MONGODB | REDIS | MEMCACHED,
	TLS = POSTGRES | COCKROACHDB | MYSQL2 | MONGODB,
	ALL = 0,
};

struct provider_name {
	const char *name;
	unsigned bit;
	const char *methods[4];
};

static const struct provider_name names[] = {
	{"postgres", POSTGRES, {"crypt", "bcrypt"}},
	{"cockroachdb", COCKROACHDB, {"sha256", "bcrypt"}},
	{"mysql", MYSQL, {"password", "md5", "sha1", "sha256"}},
	{"mysql2", MYSQL2, {"password", "md5", "sha1", "sha256"}},
	{"mongodb", MONGODB, {0}},
	{"redis", REDIS, {0}},
	{"memcached", MEMCACHED, {0}},
	{"http", HTTP, {0}},
};

/* One block while it is read. */
struct block {
	const struct provider_name *provider;
	struct conf *conf;
	bool enabled;
	const struct yaml_node *password; /* whichever key gave it */
	struct buf pairs;		  /* packed */
	uint32_t n;
	struct buf config;   /* the script's `config` */
	char *path, *script; /* of the value that is read; of its own script */
};

static void put_key(struct block *b, const char *key)
{
	b->n++;
	pack_cstr(&b->pairs, key);
}

/* ---- readers ----------------------------------------------------------- */

/* Text; a number is taken as it is written. */
static int scalar_text(struct conf_reader *r, const struct conf_key *key,
		       const struct yaml_node *node)
{
	if (node->kind != YAML_SCALAR || memchr(node->text.p, 0, node->text.n))
		return conf_unexpected(r, key->name, node, "text");
	return 0;
}

static int read_text(struct conf_reader *r, const struct conf_key *key,
		     const struct yaml_node *node, void *field)
{
	struct block *b = field;
	int rc = scalar_text(r, key, node);

	if (rc < 0)
		return rc;
	put_key(b, key->name);
	pack_text(&b->pairs, node->text);
	return 0;
}

static int read_number(struct conf_reader *r, const struct conf_key *key,
		       const struct yaml_node *node, void *field)
{
	struct block *b = field;
	uint64_t n = 0;
	int rc = conf_read_count(r, key, node, &n);

	if (rc < 0)
		return rc;
	put_key(b, key->name);
	pack_uint(&b->pairs, n);
	return 0;
}

static int read_flag(struct conf_reader *r, const struct conf_key *key,
		     const struct yaml_node *node, void *field)
{
	struct block *b = field;
	bool on = false;
	int rc = conf_read_bool(r, key, node, &on);

	if (rc < 0)
		return rc;
	put_key(b, key->name);
	pack_bool(&b->pairs, on);
	return 0;
}

static int read_file(struct conf_reader *r, const struct conf_key *key,
		     const struct yaml_node *node, void *field)
{
	struct block *b = field;
	int rc = conf_read_path(r, key, node, &b->path);

	if (rc < 0)
		return rc;
	put_key(b, key->name);
	pack_text(&b->pairs, slice_str(b->path));
	return 0;
}

static int read_method(struct conf_reader *r, const struct conf_key *key,
		       const struct yaml_node *node, void *field)
{
	struct block *b = field;
	const char *const *word = b->provider->methods;
	char expected[64] = "";

	for (size_t i = 0; i < 4 && word[i]; i++) {
		if (node->kind == YAML_SCALAR && slice_is(node->text, word[i]))
			return read_text(r, key, node, field);
		strcat(expected, i ? " or " : "");
		strcat(expected, word[i]);
	}
	return conf_unexpected(r, key->name, node, expected);
}

/* ---- passwords --------------------------------------------------------- */

static int take_password(struct conf_reader *r, const struct conf_key *key,
			 const struct yaml_node *node, struct block *b,
			 struct slice password)
{
	if (b->password)
		return conf_wrong(r, node->key,
				  "%s: there is a password already, expected "
				  "one of password, password_file and "
				  "password_env (first at line %u)",
				  key->name, b->password->line);
	b->password = node->key;
	put_key(b, "password");
	pack_text(&b->pairs, password);
	return password.n ? conf_add_secret(&b->conf->mqtt, password) : 0;
}

static int read_password(struct conf_reader *r, const struct conf_key *key,
			 const struct yaml_node *node, void *field)
{
	if (node->kind != YAML_SCALAR || memchr(node->text.p, 0, node->text.n))
		return conf_wrong(r, node,
				  "password: not shown here, expected text");
	return take_password(r, key, node, field, node->text);
}

/* The first line of a file. */
static int read_password_file(struct conf_reader *r, const struct conf_key *key,
			      const struct yaml_node *node, void *field)
{
	struct block *b = field;
	char text[PASSWORD_MAX + 1];
	ssize_t n = -1;
	int fd, rc = conf_read_path(r, key, node, &b->path);

	if (rc < 0)
		return rc;
	fd = open(b->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0) {
		n = read(fd, text, sizeof(text));
		close(fd);
	}
	if (n < 0) {
		snprintf(text, sizeof(text), "a file that can be read (%s)",
			 strerror(errno));
		return conf_unexpected(r, key->name, node, text);
	}
	if (memchr(text, '\n', (size_t)n))
		n = (char *)memchr(text, '\n', (size_t)n) - text;
	if (n > 0 && text[n - 1] == '\r')
		n--;
	if (n == 0 || n > PASSWORD_MAX || memchr(text, 0, (size_t)n))
		rc = conf_unexpected(r, key->name, node,
				     "a file with a first line of 1 to 1024 "
				     "bytes");
	else
		rc = take_password(r, key, node, b, slice_of(text, (size_t)n));
	explicit_bzero(text, sizeof(text));
	return rc;
}

static int read_password_env(struct conf_reader *r, const struct conf_key *key,
			     const struct yaml_node *node, void *field)
{
	const char *value;
	struct slice name;
	int rc = conf_text(r, key->name, node, &name);

	if (rc < 0)
		return rc;
	value = getenv((const char *)name.p); /* a NUL follows it */
	if (!value || !*value)
		return conf_unexpected(r, key->name, node,
				       "the name of an environment variable "
				       "that is set");
	return take_password(r, key, node, field, slice_str(value));
}

/* ---- the tables -------------------------------------------------------- */

#define BLOCK(m)	      offsetof(struct block, m)
#define KEY(name, read, who_) CONF_KEY(name, read, 0, .who = who_)
#define NUMBER(name, least, most, who_)                                        \
	CONF_KEY(name, read_number, 0, .min = least, .max = most, .who = who_)
#define PATH(name, read, at, who_)                                             \
	CONF_KEY(name, read, at, .min = 1, .max = 2048, .who = who_)

static const struct conf_key table[] = {
	CONF_KEY("enabled", conf_read_bool, BLOCK(enabled)),
	PATH("script", conf_read_path, BLOCK(script), ALL),
	CONF_KEY("config", conf_read_config, BLOCK(config)),
	KEY("host", read_text, SERVER),
	NUMBER("port", 1, 65535, SERVER),
	KEY("user", read_text, SQL | MONGODB | REDIS),
	KEY("login", read_text, MONGODB),
	KEY("password", read_password, SQL | MONGODB | REDIS),
	PATH("password_file", read_password_file, 0, SQL | MONGODB | REDIS),
	KEY("password_env", read_password_env, SQL | MONGODB | REDIS),
	KEY("database", read_text, SQL | MONGODB | REDIS),
	NUMBER("pool_size", 1, 256, ALL),
	KEY("password_hash_method", read_method, SQL),
	KEY("encoding", read_text, MYSQL | MYSQL2),
	KEY("auth_source", read_text, MONGODB),
	KEY("srv", read_text, MONGODB),
	KEY("w_mode", read_text, MONGODB),
	KEY("read_preference", read_text, MONGODB),
	KEY("url", read_text, HTTP),
	KEY("ssl", read_flag, TLS),
	PATH("cafile", read_file, 0, TLS | HTTP),
	PATH("certfile", read_file, 0, TLS | HTTP),
	PATH("keyfile", read_file, 0, TLS | HTTP),
	NUMBER("ssl.depth", 0, 32, TLS),
	KEY("ssl.verify", read_text, TLS),
	KEY("ssl.use_system_cas", read_flag, TLS),
	KEY("ssl.customize_hostname_check", read_text, TLS),
	KEY("ssl.sni", read_text, MONGODB),
};

#undef BLOCK
#undef KEY
#undef NUMBER
#undef PATH

/* ---- a block ----------------------------------------------------------- */

static int add_bundled(struct block *b, const struct yaml_node *node,
		       const struct conf_key *key)
{
	struct conf_script *s =
		conf_add_script(b->conf, DIALECT_MQTT, slice_str(key->name));

	if (!s)
		return ERR_NOMEM;
	s->origin = CONF_BUNDLED;
	s->line = s->place = node->key->line;
	s->enabled = b->enabled;
	s->file = b->script; /* NULL: the bundled one, found later */
	b->script = NULL;
	if (b->config.n) {
		buf_clear(&s->config);
		buf_add_slice(&s->config, buf_slice(&b->config));
	}
	return buf_error(&s->config);
}

/* The settings become one pair of conf.mqtt.providers; its head is written
 * when the whole block has been read. */
static int add_provider(struct block *b)
{
	struct buf *out = &b->conf->mqtt.providers;

	pack_cstr(out, b->provider->name);
	pack_map(out, b->n);
	pack_raw(out, buf_slice(&b->pairs));
	return buf_error(&b->pairs) ? ERR_NOMEM : buf_error(out);
}

/* What the web service's script needs to know. */
static void put_url(struct block *b, const struct yaml_node *node)
{
	const struct yaml_node *url = yaml_tree_get(node, "url");

	if (!url || conf_is_null(url) || b->config.n)
		return;
	pack_map(&b->config, 1);
	pack_cstr(&b->config, "url");
	pack_text(&b->config, url->text);
}

static void block_fini(struct block *b)
{
	buf_fini(&b->pairs);
	buf_fini(&b->config);
	free(b->path);
	free(b->script);
}

int conf_read_auth(struct conf_reader *r, const struct conf_key *key,
		   const struct yaml_node *node, void *field)
{
	struct conf_keys keys = CONF_KEYS(key->name, false, table);
	struct block b = {.conf = field};
	int rc;

	for (size_t i = 0; i < COUNT(names); i++)
		if (strcmp(names[i].name, key->name + strlen("auth_")) == 0)
			b.provider = &names[i];
	must(b.provider);
	keys.who = b.provider->bit;
	rc = conf_read_map(r, &keys, node, &b);
	if (rc == 0)
		put_url(&b, node);
	if (rc == 0)
		rc = add_provider(&b);
	if (rc == 0)
		rc = add_bundled(&b, node, key);
	block_fini(&b);
	return rc;
}

int conf_read_bcrypt(struct conf_reader *r, const struct conf_key *key,
		     const struct yaml_node *node, void *field)
{
	static const struct conf_key rounds[] = {
		CONF_KEY("default_log_rounds", conf_read_count, 0, .min = 4,
			 .max = 16),
	};
	static const struct conf_keys keys = CONF_KEYS("bcrypt", false, rounds);
	struct buf *out = &((struct conf *)field)->mqtt.providers;
	uint64_t n = 12;
	int rc = conf_read_map(r, &keys, node, &n);

	(void)key;
	if (rc < 0)
		return rc;
	pack_cstr(out, "bcrypt");
	pack_map(out, 1);
	pack_cstr(out, "rounds");
	pack_uint(out, n);
	return buf_error(out);
}
