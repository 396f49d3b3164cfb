/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl: what the commands of `pinfold` share: the options, the connection to
 * the broker's control socket, exit codes.
 *
 * A new command is one row in the table of its group's file; a new group is
 * one file and one line in main.c.
 */
#ifndef PF_CTL_H
#define PF_CTL_H

#include "clients/c/blocking.h"

/* Documented in --help; scripts rely on them. */
enum {
	CTL_OK = 0,
	CTL_REFUSED = 1, /* the broker said no, or it could not be done here */
	CTL_USAGE = 2,
	CTL_UNREACHABLE = 69,
	CTL_PROTOCOL = 70, /* the answer makes no sense to this version */
};

enum option {
	OPT_SOCKET,
	OPT_CONFIG,
	OPT_JSON,
	OPT_TIMEOUT,
	OPT_HELP,
	OPT_VERSION, /* up to here they go with every command */
	OPT_TTL,
	OPT_FROM,
	OPT_NUMBER,
	OPT_NO_WAIT,
	OPT_FOLLOW,
	OPT_LEVEL,
	OPT_SCRIPT,
	OPT_SECRETS,
	OPT_SCRIPT_CONFIG,
	OPT_LEARN,
	OPT_MQTT,
	OPT_MOUNTPOINT,
	OPT_ALL,
	OPT_COUNT,
};

struct ctl {
	const char *option[OPT_COUNT]; /* NULL: not given; "" for flags */
	char **word;		       /* the command's own arguments */
	int nwords;
	struct pf_conn *conn;
	int patience;	/* seconds that ctl_ask() waits; 0: 10 */
	char path[128]; /* of the control socket */
};

struct command {
	const char *name; /* "status", "kv get" */
	const char *args; /* for the usage line */
	const char *help; /* one line */
	const char *more; /* may be NULL; further lines for --help */
	int min, max;	  /* words after the name; max -1: any number */
	uint32_t options; /* bits of enum option beyond the common ones */
	int (*run)(struct ctl *ctl); /* one of CTL_* */
};

#define OPTION(o) (1u << (o))

/* Groups; each ends with a row of zeros. */
extern const struct command status_commands[];

/* What `status` says of the gateway; nothing when there is none. */
int print_gateway(struct slice status) must_check;

/* Everything of one script, a line for each thing. */
int print_script(struct slice script) must_check;

extern const struct command kv_commands[];
extern const struct command artifact_commands[];
extern const struct command check_commands[];
extern const struct command script_commands[];
extern const struct command script_file_commands[];
extern const struct command exec_commands[];
extern const struct command grants_commands[];
extern const struct command follow_commands[]; /* bus, logs, record */
extern const struct command life_commands[];
extern const struct command cache_commands[];

/* "pinfold: " and the text to stderr; returns `code`. */
int ctl_fail(int code, const char *fmt, ...) printf_like(2, 3);

/*
 * Call the broker, connecting first when need be. CTL_OK: *result is one
 * packed value that lives until the next call. Else the reason was printed,
 * and the code is for main to exit with.
 */
int ctl_call(struct ctl *ctl, const char *method, struct pf_args args,
	     struct slice *result) must_check;

/* The same with `least` seconds to answer, if --timeout says nothing. */
int ctl_call_slow(struct ctl *ctl, const char *method, struct pf_args args,
		  int least, struct slice *result) must_check;

/*
 * The same with n values that were packed into `args`, whose memory is given
 * back in any case.
 */
int ctl_ask(struct ctl *ctl, const char *method, uint32_t n, struct buf *args,
	    struct slice *result) must_check;

/* With --mqtt the name of that space behind n values; how many there are. */
uint32_t ctl_space(const struct ctl *ctl, uint32_t n, struct buf *args);

/* Connect if not connected. CTL_OK or a code, the reason printed. */
int ctl_connect(struct ctl *ctl) must_check;

/* What a failure of pf_conn_* means to the user; prints it. */
int ctl_broken(const struct ctl *ctl, int error);

/* "the broker's answer to METHOD makes no sense"; CTL_PROTOCOL. */
int ctl_nonsense(const char *method);

/* All of a file, or of stdin when the path is "-". CTL_OK, or CTL_REFUSED
 * with a message. */
int ctl_read_file(const char *path, struct buf *out) must_check;

/* With --json the answer `true`; for people nothing: they read the code. */
int ctl_done(const struct ctl *ctl, struct slice result) must_check;

/* The configuration that is meant: `given`, -c, or the usual one. */
const char *ctl_config(const struct ctl *ctl, const char *given);

/* A whole number from an option or argument; CTL_USAGE with a message. */
int ctl_int(const char *name, const char *text, int64_t *out) must_check;

/* The control socket's path into ctl->path: -s, -c, $PINFOLD_CONTROL, the
 * usual configuration, the usual place. CTL_OK or CTL_USAGE. */
int ctl_find_socket(struct ctl *ctl) must_check;

#endif
