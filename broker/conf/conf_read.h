/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_read: from nodes of the YAML tree to C values, by tables of keys.
 *
 * Private to conf.c and conf_script.c. A table says for each key which
 * function reads it and where the value goes; what is wrong is written into
 * the reader's error, with file, line and column, by conf_wrong() only.
 */
#ifndef PF_BROKER_CONF_READ_H
#define PF_BROKER_CONF_READ_H

#include "broker/conf/conf.h"
#include "broker/conf/yaml.h"

struct conf_reader {
	const char *file, *dir;
	struct buf *error;
	const struct yaml_node *plugin; /* the luaplugin block that was read */
};

struct conf_key {
	const char *name;
	/* `node` is never null there; `field` is base + offset. */
	int (*read)(struct conf_reader *r, const struct conf_key *key,
		    const struct yaml_node *node, void *field);
	size_t offset;
	uint64_t min, max;    /* bounds, where the reader knows bounds */
	const char *words[2]; /* conf_read_either */
	const struct conf_keys *keys; /* conf_read_block */
	unsigned who;		      /* conf_keys.who that have it; 0: all */
};

/* A row: name, reader, offset, then what else it needs (.min = 1). */
#define CONF_KEY(name_, read_, offset_, ...)                                   \
	{                                                                      \
		.name = name_, .read = read_, .offset = offset_, __VA_ARGS__   \
	}

struct conf_keys {
	const char *where; /* for messages: "limits", "the top level" */
	bool lenient;	   /* unknown keys are warned about, no mistake */
	const struct conf_key *key;
	size_t n;
	unsigned who; /* a bit, where blocks of several kinds share a table */
};

#define CONF_KEYS(where_, lenient_, table_)                                    \
	{                                                                      \
		.where = where_, .lenient = lenient_, .key = table_,           \
		.n = sizeof(table_) / sizeof((table_)[0])                      \
	}

/* Read a map by its table into the struct at `base`. */
int conf_read_map(struct conf_reader *r, const struct conf_keys *keys,
		  const struct yaml_node *node, void *base) must_check;

/* Readers for tables. Bounds include both ends. */
int conf_read_block(struct conf_reader *r, const struct conf_key *key,
		    const struct yaml_node *node,
		    void *field); /* the base of key->keys */
int conf_read_bool(struct conf_reader *r, const struct conf_key *key,
		   const struct yaml_node *node, void *field); /* bool */
int conf_read_int(struct conf_reader *r, const struct conf_key *key,
		  const struct yaml_node *node, void *field); /* int64_t */
int conf_read_count(struct conf_reader *r, const struct conf_key *key,
		    const struct yaml_node *node, void *field); /* uint64_t */
int conf_read_size(struct conf_reader *r, const struct conf_key *key,
		   const struct yaml_node *node, void *field); /* uint64_t */
int conf_read_duration(struct conf_reader *r, const struct conf_key *key,
		       const struct yaml_node *node,
		       void *field); /* uint64_t, ms */
/* The second of two words is true. Field: bool. */
int conf_read_either(struct conf_reader *r, const struct conf_key *key,
		     const struct yaml_node *node, void *field);
/* Made absolute; shorter than min bytes or longer than max is a mistake. */
int conf_read_path(struct conf_reader *r, const struct conf_key *key,
		   const struct yaml_node *node, void *field); /* char * */
int conf_read_list(struct conf_reader *r, const struct conf_key *key,
		   const struct yaml_node *node,
		   void *field); /* struct conf_list */

/* A word or text: refuses lists, maps, numbers and NUL bytes. */
int conf_text(struct conf_reader *r, const char *name,
	      const struct yaml_node *node, struct slice *out) must_check;

/* An owned copy of a slice; replaces (and frees) what *out held. */
int conf_copy(struct slice s, char **out) must_check;

bool conf_is_null(const struct yaml_node *node);

/* "FILE:LINE:COL: " and the text; returns ERR_FORMAT. */
int conf_wrong(struct conf_reader *r, const struct yaml_node *node,
	       const char *fmt, ...) printf_like(3, 4);

/* "FILE:LINE:COL: NAME: 'what is there', expected EXPECTED". ERR_FORMAT. */
int conf_unexpected(struct conf_reader *r, const char *name,
		    const struct yaml_node *node, const char *expected);

/*
 * An unknown key: a mistake, or a warning where the table is lenient (then
 * 0). The text lists the known ones and names the nearest.
 */
int conf_unknown(struct conf_reader *r, const struct conf_keys *keys,
		 const struct yaml_node *key);

#endif
