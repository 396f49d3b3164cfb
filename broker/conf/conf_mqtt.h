/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_mqtt: the block `mqtt`: its keys, the settings of providers, and which
 * scripts there are besides those that it names. Private to conf.c.
 */
#ifndef PF_BROKER_CONF_MQTT_H
#define PF_BROKER_CONF_MQTT_H

#include "broker/conf/conf_read.h"

/* A reader for tables; `field` is the struct conf itself (offset 0). */
int conf_read_mqtt(struct conf_reader *r, const struct conf_key *key,
		   const struct yaml_node *node, void *field);

/* Names are how scripts are spoken of, whatever their dialect: no two are
 * equal. A mistake is told at `at`. */
int conf_check_names(struct conf_reader *r, const struct yaml_node *at,
		     const struct conf *conf) must_check;

/* `auth_X` and `bcrypt`; `field` is the struct conf. The settings of a block
 * that is not enabled count as well: scripts may use its provider. */
int conf_read_auth(struct conf_reader *r, const struct conf_key *key,
		   const struct yaml_node *node, void *field);
int conf_read_bcrypt(struct conf_reader *r, const struct conf_key *key,
		     const struct yaml_node *node, void *field);

/*
 * After the file: the scripts of script_dir, and the file of each script (a
 * relative path that is not there is looked for in script_dir). ERR_FORMAT
 * and a line in `error`, or ERR_NOMEM. What cannot be read is no mistake
 * here: that script will not load.
 */
int conf_find_scripts(struct conf *conf, const char *dir,
		      struct buf *error) must_check;

/* One more password. ERR_NOMEM, ERR_FULL. */
int conf_add_secret(struct conf_mqtt *mqtt, struct slice s) must_check;

void conf_mqtt_fini(struct conf_mqtt *mqtt);

#endif
