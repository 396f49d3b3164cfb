/* SPDX-License-Identifier: Apache-2.0 */
/*
 * properties: MQTT 5 properties of a message, as the map that scripts see
 * (p_content_type, p_user_property, ...) and as Mosquitto's list.
 */
#ifndef PF_MOSQUITTO_PROPERTIES_H
#define PF_MOSQUITTO_PROPERTIES_H

#include "clients/mosquitto/api.h"
#include "lib/buf.h"

/* Append the map. Properties that scripts have no name for are left out. */
void properties_pack(struct buf *b, const mosquitto_property *list);

/*
 * A list for a raw map. *odd (may stay NULL) names a property that is in the
 * map and cannot be set. ERR_TYPE, ERR_FORMAT: a value that no property can
 * have; ERR_NOMEM. On an error *out is NULL.
 */
int properties_build(struct slice map, mosquitto_property **out,
		     const char **odd) must_check;

#endif
