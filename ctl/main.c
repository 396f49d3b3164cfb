/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main: from words on the command line to one command, and --help.
 *
 * Options may stand anywhere before a bare `--`. Start at main().
 */
#include <stdio.h>
#include <stdlib.h>

#include "ctl/ctl.h"

struct option_info {
	const char *name;
	char letter;
	const char *value; /* NULL: a flag */
	const char *help;
};

static const struct option_info options[OPT_COUNT] = {
	[OPT_SOCKET] = {"socket", 's', "PATH", "the broker's control socket"},
	[OPT_CONFIG] = {"config", 'c', "FILE",
			"read the socket's path from a configuration"},
	[OPT_JSON] = {"json", 0, NULL, "print JSON"},
	[OPT_TIMEOUT] = {"timeout", 0, "SECONDS",
			 "wait this long for an answer (10)"},
	[OPT_HELP] = {"help", 'h', NULL, "print help, also for one command"},
	[OPT_VERSION] = {"version", 'V', NULL, "print the version"},
	[OPT_TTL] = {"ttl", 0, "SECONDS", "forget the key after this time"},
	[OPT_FROM] = {"from", 0, "SEQ", "start with this number, not new"},
	[OPT_NUMBER] = {"number", 'n', "N", "end after N of them"},
	[OPT_NO_WAIT] = {"no-wait", 0, NULL, "do not wait for its end"},
	[OPT_FOLLOW] = {"follow", 'f', NULL, "go on until interrupted"},
	[OPT_LEVEL] = {"level", 0, "LEVEL",
		       "trace, debug, info, warn, error or audit (info)"},
	[OPT_SCRIPT] = {"script", 0, "NAME", "only what is about this one"},
	[OPT_SECRETS] = {"secrets", 0, NULL,
			 "keep passwords, tokens and cookies"},
	[OPT_MQTT] = {"mqtt", 0, NULL, "in the space of the MQTT scripts"},
	[OPT_MOUNTPOINT] = {"mountpoint", 0, "NAME",
			    "of this mountpoint only (drop: the empty one)"},
	[OPT_ALL] = {"all", 0, NULL, "of all clients"},
	[OPT_SCRIPT_CONFIG] = {"script-config", 0, "FILE|JSON",
			       "other values for the script's config"},
	[OPT_LEARN] = {"learn", 0, NULL, "what it has needed so far"},
};

static const struct command *const groups[] = {
	status_commands,      check_commands,	 script_commands, exec_commands,
	kv_commands,	      artifact_commands, follow_commands, life_commands,
	script_file_commands, grants_commands,	 cache_commands,
};

enum { GROUPS = sizeof(groups) / sizeof(groups[0]) };

static void print_option(enum option o)
{
	const struct option_info *i = &options[o];
	char left[40];

	snprintf(left, sizeof(left), "%s%c%c --%s%s%s", i->letter ? "" : "  ",
		 i->letter ? '-' : ' ', i->letter ? i->letter : ' ', i->name,
		 i->value ? " " : "", i->value ? i->value : "");
	if (!i->letter)
		snprintf(left, sizeof(left), "   --%s%s%s", i->name,
			 i->value ? " " : "", i->value ? i->value : "");
	printf("  %-22s  %s\n", left, i->help);
}

static void print_common(void)
{
	puts("\nOptions");
	for (int o = 0; o <= OPT_VERSION; o++)
		print_option((enum option)o);
	puts("\nExit codes\n"
	     "   0  done\n"
	     "   1  the broker refused, or it could not be done here;\n"
	     "      exec: the script failed; reload: a script was refused\n"
	     "   2  the command line is wrong\n"
	     "  69  the broker cannot be reached;\n"
	     "      check: the sandbox does not hold on this system\n"
	     "  70  the broker's answer makes no sense to this version\n"
	     "  78  check: the configuration or a script is wrong");
}

/* Commands whose name starts with `prefix`; how many there are. */
static int print_commands(const char *prefix)
{
	int n = 0;

	for (int g = 0; g < GROUPS; g++) {
		for (const struct command *c = groups[g]; c->name; c++) {
			char left[64];

			if (strncmp(c->name, prefix, strlen(prefix)) != 0)
				continue;
			snprintf(left, sizeof(left), "%s %s", c->name, c->args);
			printf("  %-30s  %s\n", left, c->help);
			n++;
		}
	}
	return n;
}

static int help_all(void)
{
	puts("pinfold: look into a running pinfoldd and steer it\n\n"
	     "usage: pinfold [-s SOCKET | -c CONFIG] [--json] COMMAND\n\n"
	     "Commands");
	print_commands("");
	print_common();
	puts("\nWithout -s and -c the socket is $PINFOLD_CONTROL, or what\n"
	     "/etc/pinfold/pinfold.yml names, or /run/pinfold/control.sock.\n"
	     "A bare -- ends the options. `pinfold COMMAND --help` says more.\n"
	     "Colours appear on terminals only, and not with NO_COLOR set.");
	return CTL_OK;
}

static int help_one(const struct command *c)
{
	size_t n = strlen(c->help);

	printf("usage: pinfold %s%s%s\n\n%s%s\n", c->name,
	       c->args[0] ? " " : "", c->args, c->help,
	       n && c->help[n - 1] == '?' ? "" : ".");
	if (c->more)
		printf("%s\n", c->more);
	for (int o = OPT_VERSION + 1; o < OPT_COUNT; o++) {
		if (c->options & OPTION(o))
			print_option((enum option)o);
	}
	print_common();
	return CTL_OK;
}

static int usage(const struct command *c, const char *what)
{
	return ctl_fail(CTL_USAGE, "%s\nusage: pinfold %s%s%s", what, c->name,
			c->args[0] ? " " : "", c->args);
}

/* Does the name's word(s) match? How many words it has, or 0. */
static int matches(const char *name, char **word, int n)
{
	int used = 0;

	while (*name) {
		size_t len = strcspn(name, " ");

		if (used == n || strlen(word[used]) != len ||
		    memcmp(word[used], name, len) != 0)
			return 0;
		used++;
		name += len;
		name += *name == ' ';
	}
	return used;
}

static const struct command *find(struct ctl *ctl)
{
	for (int g = 0; g < GROUPS; g++) {
		for (const struct command *c = groups[g]; c->name; c++) {
			int used = matches(c->name, ctl->word, ctl->nwords);

			if (used == 0)
				continue;
			ctl->word += used;
			ctl->nwords -= used;
			return c;
		}
	}
	return NULL;
}

/* Is `name` nearer to what was meant than `best`? Then it is that. */
static void nearer(struct slice meant, const char *name, unsigned *least,
		   const char **best)
{
	unsigned d = slice_distance(meant, slice_str(name));

	if (d <= *least) {
		*least = d - (d > 0);
		*best = name;
	}
}

/* The command that may have been meant, or NULL. */
static const char *near_command(const struct ctl *ctl)
{
	const char *best = NULL;
	unsigned least = 2;
	char two[SLICE_NEAR + 2] = "";

	if (ctl->nwords > 1)
		snprintf(two, sizeof(two), "%s %s", ctl->word[0], ctl->word[1]);
	for (int g = 0; g < GROUPS; g++) {
		for (const struct command *c = groups[g]; c->name; c++) {
			const char *typed =
				strchr(c->name, ' ') ? two : ctl->word[0];

			nearer(slice_str(typed), c->name, &least, &best);
		}
	}
	return best;
}

static int no_command(const struct ctl *ctl)
{
	const char *near, *second = ctl->nwords > 1 ? ctl->word[1] : "";
	char prefix[40];
	int i = 0;

	if (ctl->nwords == 0)
		return ctl_fail(CTL_USAGE, "no command; `pinfold --help` "
					   "lists them");
	snprintf(prefix, sizeof(prefix), "%s ", ctl->word[0]);
	for (int g = 0; g < GROUPS && i == 0; g++) {
		for (const struct command *c = groups[g]; c->name; c++)
			i += strncmp(c->name, prefix, strlen(prefix)) == 0;
	}
	if (i > 0 && ctl->option[OPT_HELP]) {
		print_commands(prefix);
		print_common();
		return CTL_OK;
	}
	near = near_command(ctl);
	if (i == 0 && !(near && strchr(near, ' ')))
		second = "";
	if (near)
		return ctl_fail(CTL_USAGE,
				"%s%s%s: no such command, did you mean `%s`?",
				ctl->word[0], *second ? " " : "", second, near);
	return ctl_fail(CTL_USAGE,
			"%s%s%s: no such command; `pinfold %s--help` lists "
			"them",
			ctl->word[0], *second ? " " : "", second,
			i > 0 ? prefix : "");
}

/* Which option is this word? OPT_COUNT: none. *value: behind a '='. */
static enum option option_of(char *word, char **value)
{
	*value = NULL;
	for (int o = 0; o < OPT_COUNT; o++) {
		const struct option_info *i = &options[o];
		size_t n = strlen(i->name);

		if (i->letter && word[1] == i->letter && !word[2])
			return (enum option)o;
		if (word[1] != '-' || strncmp(word + 2, i->name, n) != 0)
			continue;
		if (word[2 + n] == '=' && i->value)
			*value = word + 3 + n;
		if (!word[2 + n] || *value)
			return (enum option)o;
	}
	return OPT_COUNT;
}

static int no_option(const char *word)
{
	const char *best = NULL;
	unsigned least = 2;

	for (int o = 0; o < OPT_COUNT && word[1] == '-'; o++)
		nearer(slice_of(word + 2, strcspn(word + 2, "=")),
		       options[o].name, &least, &best);
	if (best && strncmp(word + 2, best, strlen(best)) == 0 &&
	    word[2 + strlen(best)] == '=')
		return ctl_fail(CTL_USAGE, "%s: this option takes no value",
				word);
	if (best)
		return ctl_fail(CTL_USAGE,
				"%s: no such option, did you mean --%s?", word,
				best);
	return ctl_fail(CTL_USAGE,
			"%s: no such option; `pinfold --help` lists them "
			"(-- ends the options)",
			word);
}

/* Split argv into options and words (moved to the front). */
static int split(struct ctl *ctl, int argc, char **argv)
{
	bool open = true;

	ctl->word = argv;
	for (int i = 1; i < argc; i++) {
		char *word = argv[i], *value;
		enum option o;

		if (!open || word[0] != '-' || !word[1] ||
		    (word[1] >= '0' && word[1] <= '9')) {
			ctl->word[ctl->nwords++] = word;
			continue;
		}
		if (strcmp(word, "--") == 0) {
			open = false;
			continue;
		}
		o = option_of(word, &value);
		if (o == OPT_COUNT)
			return no_option(word);
		if (options[o].value && !value) {
			if (i + 1 == argc)
				return ctl_fail(CTL_USAGE, "%s: %s expected",
						word, options[o].value);
			value = argv[++i];
		}
		ctl->option[o] = value ? value : "";
	}
	return CTL_OK;
}

static int check(const struct ctl *ctl, const struct command *c)
{
	const char *t = ctl->option[OPT_TIMEOUT];
	int64_t seconds = 1;

	if (t && ctl_int("--timeout", t, &seconds) != CTL_OK)
		return CTL_USAGE;
	if (seconds < 1 || seconds > 86400)
		return usage(c, "--timeout: expected 1 to 86400 seconds");
	for (int o = OPT_VERSION + 1; o < OPT_COUNT; o++) {
		char what[64];

		if (!ctl->option[o] || c->options & OPTION(o))
			continue;
		snprintf(what, sizeof(what), "--%s does not go with %s",
			 options[o].name, c->name);
		return usage(c, what);
	}
	if (ctl->nwords < c->min)
		return usage(c, "too few arguments");
	if (c->max >= 0 && ctl->nwords > c->max)
		return usage(c, "too many arguments");
	return CTL_OK;
}

int main(int argc, char **argv)
{
	struct ctl ctl = {0};
	const struct command *c;
	int rc = split(&ctl, argc, argv);

	if (rc != CTL_OK)
		return rc;
	if (ctl.option[OPT_VERSION]) {
		puts("pinfold " PROTO_RELEASE);
		return CTL_OK;
	}
	if (ctl.option[OPT_HELP] && ctl.nwords == 0)
		return help_all();
	c = find(&ctl);
	if (!c)
		return no_command(&ctl);
	if (ctl.option[OPT_HELP])
		return help_one(c);
	rc = check(&ctl, c);
	if (rc == CTL_OK)
		rc = c->run(&ctl);
	pf_conn_close(ctl.conn);
	return rc;
}
