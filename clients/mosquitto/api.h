/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api: Mosquitto's plugin interface, whichever headers are installed.
 *
 * MODERN is 1 with the headers of Mosquitto 2.1 or later: logins may then be
 * answered later, and there are events for connecting, going offline,
 * subscribing and delivering. A plugin built so needs a 2.1 broker.
 */
#ifndef PF_MOSQUITTO_API_H
#define PF_MOSQUITTO_API_H

#include <mosquitto.h>

#if LIBMOSQUITTO_VERSION_NUMBER >= 2001000
#define MODERN 1
#else
#define MODERN 0
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>
#include <mqtt_protocol.h>
#endif

#endif
