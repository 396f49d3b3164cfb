/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_script: the `luaplugin` block and the settings of its scripts.
 * Private to conf.c.
 */
#ifndef PF_BROKER_CONF_SCRIPT_H
#define PF_BROKER_CONF_SCRIPT_H

#include "broker/conf/conf_read.h"

/* Readers for tables; `field` is the struct conf itself (offset 0). The block
 * may stand at the top or below `plugins`, but only in one of them. */
int conf_read_plugin(struct conf_reader *r, const struct conf_key *key,
		     const struct yaml_node *node, void *field);
int conf_read_plugins(struct conf_reader *r, const struct conf_key *key,
		      const struct yaml_node *node, void *field);

/* The map of one-file scripts below `mqtt`; `field` is the struct conf. */
int conf_read_mqtt_scripts(struct conf_reader *r, const struct conf_key *key,
			   const struct yaml_node *node, void *field);

/* A new script with its defaults at the end of conf->scripts, or NULL.
 * Concurrency 0: what num_states says. */
struct conf_script *conf_add_script(struct conf *conf, enum dialect dialect,
				    struct slice name) must_check;

/* A name that can be a directory's and appear in logs and error texts. */
bool conf_name_ok(struct slice name);

/* The free map `config`. Field: struct buf. */
int conf_read_config(struct conf_reader *r, const struct conf_key *key,
		     const struct yaml_node *node, void *field);

/* Put conf->scripts into their order. */
void conf_order(struct conf *conf);

/* Any YAML value as MessagePack: scalars typed by the core schema, keys that
 * are whole numbers as integers and all others as text. Nesting is at most
 * CONF_CONFIG_DEPTH. */
int conf_pack(struct conf_reader *r, const struct yaml_node *node,
	      struct buf *out) must_check;

#endif
