/* SPDX-License-Identifier: Apache-2.0 */
/*
 * modern: what Mosquitto 2.1 has beyond 2.0. With older headers all of it is
 * absent, and MODERN is 0.
 *
 * - A login may be answered later (plugin_opt_delayed_auth): the broker goes
 *   on while scripts decide. The client may be gone by then, without a word,
 *   so its pointer is compared and never followed until the broker uses it.
 * - CONNECT and CLIENT_OFFLINE tell when a session begins and whether it
 *   stays, SUBSCRIBE and UNSUBSCRIBE let filters be rewritten, MESSAGE_OUT
 *   what is delivered.
 */
#ifndef PF_MOSQUITTO_MODERN_H
#define PF_MOSQUITTO_MODERN_H

#include "clients/mosquitto/plugin.h"

#if MODERN

int modern_register(struct plugin *p);

/* MOSQ_ERR_AUTH_DELAYED: asked, p->table was the question. DEFER: it must be
 * asked the ordinary way. */
int modern_login(struct plugin *p, enum hook hook, struct mosquitto *client);
void modern_answer(struct plugin *p, const struct pf_item *item);
void modern_lost(struct plugin *p);
void modern_tick(struct plugin *p, struct mosquitto_evt_tick *ev);
void modern_fini(struct plugin *p);

/* The session of a delayed login that is being completed begins here, at the
 * first event of its client; else session_find(). */
struct session *modern_session(struct plugin *p, struct mosquitto *client);

/* Is it being replaced by a login that is completed right now? */
bool modern_replaces(const struct plugin *p, const struct session *it);

#endif
#endif
