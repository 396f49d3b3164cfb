/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin: all of it in one struct, handed to every callback of Mosquitto.
 *
 * Where to start: plugin.c registers the callbacks; hooks_auth.c is a login,
 * hooks_acl.c and hooks_message.c a publish, commands.c what pinfold asks.
 * Everything runs on Mosquitto's one thread. Callbacks of the wire, which may
 * come in the middle of any hook, only change tables; what has to call
 * Mosquitto is done at the next tick.
 */
#ifndef PF_MOSQUITTO_PLUGIN_H
#define PF_MOSQUITTO_PLUGIN_H

#include "clients/mosquitto/acls.h"
#include "clients/mosquitto/api.h"
#include "clients/mosquitto/host.h"
#include "clients/mosquitto/options.h"
#include "clients/mosquitto/sessions.h"
#include "clients/mosquitto/wire.h"
#include "proto/mods.h"

/* What ACL_CHECK leaves for the MESSAGE that follows it at once. */
enum pending {
	PENDING_NONE,
	PENDING_PASSED, /* checked; nothing to do but on_publish */
	PENDING_MODS,	/* allowed, with modifiers */
	PENDING_ASK,	/* MQTT 5: ask now, with the properties */
};

struct plugin {
	mosquitto_plugin_id_t *id;
	struct options options;
	struct host host;
	struct wire wire;
	struct sessions sessions;
	struct acls acls;
	struct list commands; /* of pinfold, for the next tick */
	size_t ncommands, command_bytes;
	struct list logins;	  /* 2.1: delayed ones */
	struct login *completing; /* 2.1: the broker is being told of it */
	struct buf table;	  /* of the hook under way */
	struct buf mods;	  /* copied from its answer */
	struct buf props;
	struct {
		enum pending what;
		const struct mosquitto *client;
		const char *topic;
		struct slice mods;
	} pending;
	bool ticked;	   /* the broker's loop runs */
	bool told_no_tick; /* has been logged */
	bool told_unknown;
	uint64_t told_mods; /* modifiers that have been logged */
};

/* At warning or notice level, as "pinfold: ...". */
void plugin_log(bool bad, const char *fmt, ...) printf_like(2, 3);

/* Copy an entry of pinfold's auth cache, if it is for our mountpoint.
 * `renews`: in the place of the newest one of its client. */
void plugin_keep_acl(struct plugin *p, struct slice entry, bool renews);

/* ---- whom a hook is about ----------------------------------------------- */

struct who {
	struct slice client_id, username;
	bool named; /* has a username */
	bool m5;
};

struct who who_of(const struct mosquitto *client);

/* ---- questions (ask.c) ----------------------------------------------------
 */

enum answer_kind {
	ANSWER_OK,
	ANSWER_DENY,
	ANSWER_NEXT,   /* nobody answered, and nothing failed */
	ANSWER_FAILED, /* a deadline, a failed script: rights are denied */
	ANSWER_GONE,   /* no pinfoldd: plugin_opt_on_unavailable decides */
};

struct answer {
	enum answer_kind kind;
	struct slice mods; /* raw value, or empty; until the next question */
	struct slice acl;  /* raw entry, or empty */
};

/* Ask the table that stands in p->table. */
struct answer plugin_ask(struct plugin *p, enum hook hook);
/* An answer that came by itself (wire_send). */
struct answer plugin_answer(struct plugin *p, const struct pf_item *item);
/* Tell p->table; false: it was dropped, and counted. */
bool plugin_tell(struct plugin *p, enum hook hook);
/* The same with wire_tell(): not counted. */
bool plugin_send(struct plugin *p, const char *method);

/* ---- tables: what a hook is told (table.c) ------------------------------- */

struct message {
	const char *topic;
	const void *payload;
	uint32_t n;
	uint8_t qos;
	bool retain;
	const mosquitto_property *properties;
};

/* Each fills p->table. Login: `password` may be NULL, and is left out then. */
void table_login(struct plugin *p, enum hook hook,
		 const struct mosquitto *client, const char *password);
void table_auth(struct plugin *p, const struct mosquitto *client,
		const char *method, struct slice data);
void table_message(struct plugin *p, enum hook hook, const struct who *who,
		   const struct message *m);
/* options < 0: not known */
void table_subscribe(struct plugin *p, const struct who *who, const char *topic,
		     uint8_t qos, int options);
void table_unsubscribe(struct plugin *p, const struct who *who,
		       const char *topic);
void table_session(struct plugin *p, struct slice client_id);
void table_refresh(struct plugin *p, struct slice client_id, unsigned ended);

/* ---- modifiers (modifiers.c) ----------------------------------------------
 */

/* Each is true when the modifiers are applied, or may be left aside; false
 * when the client must be refused. Empty `mods` are fine. `client` NULL: only
 * look whether they can be. */
bool modify_login(struct plugin *p, struct mosquitto *client,
		  struct session *it, struct slice mods);
/* Before anything is changed. `fixed`: it cannot be rewritten (a will). */
bool modify_publish_allowed(struct plugin *p, struct slice mods, uint8_t qos,
			    bool fixed);
/* Of one filter: does the answer leave it as it is? */
bool modify_subscribe_same(struct plugin *p, struct slice mods, bool m5,
			   const char *topic, uint8_t qos);
/* The one filter of such an answer: raw [topic, qos or [qos, options]], or
 * empty. */
struct slice modify_subscribe_only(struct slice mods);
/* Is that filter's QoS one, and no refusal? */
bool modify_subscribe_fit(struct slice mods);
/* Change a message; false: the modifiers make no message (hooks_message.c). */
bool modify_message(struct plugin *p, struct mosquitto_evt_message *ev,
		    struct slice mods, bool m5);
/* A modifier that cannot be applied, and one that need not be. */
bool modifier_refused(struct plugin *p, const char *name);
void modifier_ignored(struct plugin *p, const char *name);

/* The key `name` of raw modifiers that are a map. */
bool modifier_find(struct slice mods, const char *name, struct cursor *out);

/* ---- sessions (lifecycle.c) ------------------------------------------------
 */

/* Its login is accepted: sessions of the same client id end, on_client_wakeup
 * and on_register are sent. */
void plugin_accept(struct plugin *p, struct session *it);
/* The connection is gone. `durable`: Mosquitto keeps the session. */
void plugin_leave(struct plugin *p, struct session *it, bool durable);

/* ---- commands of pinfold (commands.c) --------------------------------------
 */

void commands_init(struct plugin *p);
void commands_fini(struct plugin *p);
void commands_request(struct plugin *p, struct pf_client *c,
		      const struct pf_item *item);
void commands_run(struct plugin *p); /* from the tick */
void commands_kick(struct plugin *p, struct session *it);

/* ---- callbacks of Mosquitto ------------------------------------------------
 */

int on_basic_auth(int event, void *data, void *arg);
int on_auth_start(int event, void *data, void *arg);
int on_auth_continue(int event, void *data, void *arg);
int on_acl_check(int event, void *data, void *arg);
int on_message(int event, void *data, void *arg);
int on_disconnect(int event, void *data, void *arg);
int login_decide(struct plugin *p, struct mosquitto *client,
		 const struct answer *a);
/* A decision of plugin_opt_on_unavailable and of what failed, for rights:
 * MOSQ_ERR_SUCCESS, `denied`, or MOSQ_ERR_PLUGIN_DEFER. */
int verdict_code(const struct plugin *p, enum answer_kind kind, int denied);
/* What pinfold's cache said of one filter, or a script: as verdict_code().
 * *mods (2.1): the filter is to be rewritten. */
int subscribe_decide(struct plugin *p, const struct who *who, const char *topic,
		     uint8_t qos, struct slice *mods);

#endif
