/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err: the codes that functions return, and the check for our own mistakes.
 *
 * A fallible function returns 0 (or a count) or one of these negative codes.
 * Three fates (CONTRIBUTING.md): a stranger is wrong -> the code, and that
 * peer is closed; the machine is short -> this request fails; we are wrong ->
 * must(), always compiled in.
 */
#ifndef PF_LIB_ERR_H
#define PF_LIB_ERR_H

enum err {
	OK = 0,
	ERR_NOMEM = -1,	    /* memory could not be had */
	ERR_RANGE = -2,	    /* past a limit that the caller set */
	ERR_FORMAT = -3,    /* bytes that break the rules of their format */
	ERR_TYPE = -4,	    /* well formed, but not the type asked for */
	ERR_ABSENT = -5,    /* no such thing */
	ERR_EXISTS = -6,    /* already there */
	ERR_FULL = -7,	    /* a bounded queue or table is full */
	ERR_CLOSED = -8,    /* the other side is gone */
	ERR_TIMEOUT = -9,   /* a deadline passed */
	ERR_DENIED = -10,   /* a rule forbids it */
	ERR_IO = -11,	    /* the operating system refused */
	ERR_CORRUPT = -12,  /* stored data is damaged */
	ERR_AGAIN = -13,    /* not now; ask the slower way */
	ERR_CONFLICT = -14, /* a check did not hold */
	ERR_SYSTEM = -15,   /* anything else */
};

#define must_check	       __attribute__((warn_unused_result))
#define printf_like(fmt, args) __attribute__((format(printf, fmt, args)))

/* The code as a word for logs: "nomem", "range", ... Never NULL. */
const char *err_name(int code);

/*
 * must(): a condition that only a bug of ours can break. Prints file, line
 * and condition to stderr and aborts. Never used on what a peer said.
 */
#define must(cond) ((cond) ? (void)0 : must_failed(#cond, __FILE__, __LINE__))
__attribute__((noreturn, cold)) void must_failed(const char *cond,
						 const char *file, int line);

#endif
