#ifndef NODE_CLI_H
#define NODE_CLI_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* The command line: one table of commands, and what they share. A command prints what it found on
 * stdout and what went wrong on stderr, as one sentence, and returns an exit code of this list. */

enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,    /* Whatever has no code of its own. */
    CLI_BLOCKED = 2,   /* A gate, a rule or a missing right says no. */
    CLI_WAITING = 3,   /* Accepted, and waits for something. */
    CLI_CONFLICT = 4,  /* Changed meanwhile, or exists already. */
    CLI_NO_QUORUM = 5, /* The cluster cannot decide, or no node answered. */
    CLI_UNSAFE = 6,    /* A drill saw a lost write or a stale read. */
    CLI_USAGE = 64,    /* The command line itself is wrong. */
};

/* A row of the table. Tables end with a row of zeros. */
struct cli_command {
    const char *name;    /* One or two words: "serve", "cluster init". */
    const char *group;   /* The heading that it stands under in `caisson --help`. */
    const char *summary; /* One line without a full stop. */
    const char *usage;   /* For `caisson X --help`: synopsis, options, examples. Ends with \n. */
    /* argv[0] is the name; the rest is what came after it. */
    int (*run)(int argc, char **argv);
};

extern const struct cli_command cli_serve_commands[];
extern const struct cli_command cli_cluster_commands[];
extern const struct cli_command cli_cluster_init_commands[];
extern const struct cli_command cli_cluster_join_commands[];
extern const struct cli_command cli_leader_commands[];
extern const struct cli_command cli_drill_commands[];
extern const struct cli_command cli_drill_show_commands[];
extern const struct cli_command cli_member_commands[];
extern const struct cli_command cli_scrub_commands[];
extern const struct cli_command cli_user_commands[];
extern const struct cli_command cli_promotion_commands[];
extern const struct cli_command cli_environment_commands[];
extern const struct cli_command cli_history_commands[];
extern const struct cli_command cli_controls_commands[];
extern const struct cli_command cli_room_commands[];

/* Calls visit for each command until it returns false. */
void cli_each_command(bool (*visit)(const struct cli_command *command, void *data), void *data);
/* caisson(1) on stdout, for man. */
void cli_man_print(void);
/* The whole program: finds the command, runs it, gives its exit code. */
int cli_main(int argc, char **argv);

/* --- options -----------------------------------------------------------------------------------
 */

#define CLI_LIST_MAX 64

/* Values of an option that may be given more than once. */
struct cli_list {
    const char *items[CLI_LIST_MAX];
    size_t n;
};

enum cli_option_kind { CLI_FLAG = 1, CLI_TEXT, CLI_LIST };

/* One option of a command; tables end with a row of zeros. target by kind: bool *, const char **,
 * struct cli_list *. A text may be given once. */
struct cli_option {
    const char *name; /* "--grant"; a short form such as "-o" is a row of its own. */
    enum cli_option_kind kind;
    void *target;
};

/* Take the options out of argv (both "--name value" and "--name=value"; "--" ends them) and leave
 * the positional arguments in argv[1..]; returns how many there are, or -1 after a sentence on
 * stderr: then return CLI_USAGE. tables: option tables, NULL at the end. */
int cli_options(int argc, char **argv, const struct cli_option *const *tables) MUST_USE;

/* Print "caisson: ..." on stderr, and return code. */
int cli_fail(enum cli_exit code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The exit code for an error, after printing its reason. */
int cli_fail_with(enum error error, const struct reason *why);

/* A password from a file, or from standard input for "-": the first line, without its end. At most
 * 1,024 bytes. The caller wipes and free()s it; NULL after a sentence on stderr. */
char *cli_read_secret(const char *path);

#endif
