#include "node/cli.h"

#include "base/assert.h"
#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Finds the command in the tables, and answers --help and --version itself. */

static const struct cli_command *const tables[] = {
    cli_serve_commands,        cli_cluster_init_commands,
    cli_cluster_join_commands, cli_cluster_commands,
    cli_leader_commands,       cli_member_commands,
    cli_drill_commands,        cli_drill_show_commands,
    cli_scrub_commands,        cli_user_commands,
    cli_promotion_commands,    cli_environment_commands,
    cli_history_commands,      cli_controls_commands,
    cli_room_commands,         NULL};

static const char *const examples =
    "Start:\n"
    "  caisson serve                                  a one-node registry on 127.0.0.1:5000\n"
    "  caisson cluster init --data-dir D --name n1    the first of several nodes\n"
    "\n"
    "`caisson COMMAND --help` shows the options and examples of a command, `caisson help --man` "
    "is\n"
    "the manual page: caisson help --man | man -l -\n";

void cli_each_command(bool (*visit)(const struct cli_command *command, void *data), void *data)
{
    for (size_t i = 0; tables[i] != NULL; i++) {
        for (const struct cli_command *command = tables[i]; command->name != NULL; command++) {
            if (!visit(command, data)) {
                return;
            }
        }
    }
}

static bool print_summary(const struct cli_command *command, void *data)
{
    const char **group = data;

    if (*group == NULL || strcmp(*group, command->group) != 0) {
        printf("\n%s:\n", command->group);
        *group = command->group;
    }
    printf("  %-24s %s\n", command->name, command->summary);
    return true;
}

static void print_help(void)
{
    const char *group = NULL;

    printf("Caisson, a highly available container registry.\n\n"
           "Usage: caisson COMMAND [OPTIONS]\n");
    cli_each_command(print_summary, &group);
    printf("\n%s", examples);
}

struct search {
    const char *first, *second; /* Words of the command line; second may be NULL. */
    const struct cli_command *found;
    size_t words;
};

static bool match_command(const struct cli_command *command, void *data)
{
    struct search *search = data;
    const char *space = strchr(command->name, ' ');
    size_t head = space == NULL ? strlen(command->name) : (size_t)(space - command->name);

    if (strlen(search->first) != head || strncmp(command->name, search->first, head) != 0) {
        return true;
    }
    if (space == NULL && search->words == 0) {
        search->found = command;
        search->words = 1;
    } else if (space != NULL && search->second != NULL && strcmp(space + 1, search->second) == 0) {
        search->found = command;
        search->words = 2;
    }
    return true;
}

/* Steps of insertion, deletion or change from a to b, for suggestions; long words count as far. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[33];
    size_t size = strlen(b);

    if (strlen(a) > 32 || size > 32) {
        return 99;
    }
    for (size_t j = 0; j <= size; j++) {
        row[j] = j;
    }
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= size; j++) {
            size_t above = row[j];
            size_t best = corner + (a[i - 1] == b[j - 1] ? 0 : 1);
            best = above + 1 < best ? above + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            corner = above;
        }
    }
    return row[size];
}

struct suggestion {
    char words[64];
    const char *first;
    size_t n;
};

/* Does its name have two words, and this is the first of them? */
static bool is_in_group(const struct cli_command *command, const char *first)
{
    size_t head = strcspn(command->name, " ");

    return command->name[head] == ' ' && strlen(first) == head &&
           strncmp(command->name, first, head) == 0;
}

static bool suggest_command(const struct cli_command *command, void *data)
{
    struct suggestion *suggestion = data;

    if (is_in_group(command, suggestion->first) ||
        edit_distance(suggestion->words, command->name) <= 2) {
        fprintf(stderr, "%s  caisson %s\n", suggestion->n == 0 ? "Did you mean:\n" : "",
                command->name);
        suggestion->n++;
    }
    return true;
}

struct group {
    const char *first;
    FILE *to;
    size_t n;
};

static bool print_member(const struct cli_command *command, void *data)
{
    struct group *group = data;

    if (is_in_group(command, group->first)) {
        if (group->n++ == 0) {
            fprintf(group->to, "caisson %s: say which:\n", group->first);
        }
        fprintf(group->to, "  %-24s %s\n", command->name, command->summary);
    }
    return true;
}

/* The first word of commands that have two, alone or with --help. False: it is none. */
static bool print_group(const char *first, FILE *to)
{
    struct group group = {.first = first, .to = to};

    cli_each_command(print_member, &group);
    return group.n > 0;
}

static int unknown_command(const char *first, const char *second)
{
    struct suggestion suggestion = {.first = first};

    snprintf(suggestion.words, sizeof suggestion.words, "%s%s%s", first,
             second != NULL && second[0] != '-' ? " " : "",
             second != NULL && second[0] != '-' ? second : "");
    fprintf(stderr, "caisson: there is no command '%s'.\n", suggestion.words);
    cli_each_command(suggest_command, &suggestion);
    if (suggestion.n == 0) {
        snprintf(suggestion.words, sizeof suggestion.words, "%s", first);
        cli_each_command(suggest_command, &suggestion);
    }
    fprintf(stderr, "`caisson --help` lists all commands.\n");
    return CLI_USAGE;
}

static int print_command_help(int argc, char **argv)
{
    struct search search = {.first = argv[0], .second = argc > 1 ? argv[1] : NULL};

    cli_each_command(match_command, &search);
    if (search.found == NULL) {
        return (search.second == NULL || search.second[0] == '-') &&
                       print_group(search.first, stdout)
                   ? CLI_OK
                   : unknown_command(search.first, search.second);
    }
    printf("caisson %s: %s.\n\n%s", search.found->name, search.found->summary, search.found->usage);
    return CLI_OK;
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return true;
        }
    }
    return false;
}

int cli_main(int argc, char **argv)
{
    struct search search = {0};

    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help();
        return argc < 2 ? CLI_USAGE : CLI_OK;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
        printf("caisson %s\n", CAISSON_VERSION);
        return CLI_OK;
    }
    if (strcmp(argv[1], "help") == 0) {
        if (argc == 3 && strcmp(argv[2], "--man") == 0) {
            cli_man_print();
            return CLI_OK;
        }
        if (argc > 2) {
            return print_command_help(argc - 2, argv + 2);
        }
        print_help();
        return CLI_OK;
    }
    search.first = argv[1];
    search.second = argc > 2 ? argv[2] : NULL;
    cli_each_command(match_command, &search);
    if (search.found == NULL && wants_help(argc - 1, argv + 1)) {
        return print_command_help(argc - 1, argv + 1);
    }
    if (search.found == NULL) {
        return search.second == NULL && print_group(search.first, stderr)
                   ? CLI_USAGE
                   : unknown_command(search.first, search.second);
    }
    if (wants_help(argc - (int)search.words, argv + search.words)) {
        return print_command_help(argc - 1, argv + 1);
    }
    return search.found->run(argc - (int)search.words, argv + search.words);
}

int cli_fail(enum cli_exit code, const char *format, ...)
{
    va_list args;

    PRE(code != CLI_OK);
    fprintf(stderr, "caisson: ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n");
    return (int)code;
}

int cli_fail_with(enum error error, const struct reason *why)
{
    enum cli_exit code = CLI_FAILED;

    switch (error) {
    case ERROR_UNAVAILABLE:
    case ERROR_TIMEOUT:
        code = CLI_NO_QUORUM;
        break;
    case ERROR_CONFLICT:
    case ERROR_EXISTS:
        code = CLI_CONFLICT;
        break;
    case ERROR_DENIED:
    case ERROR_GATE:
        code = CLI_BLOCKED;
        break;
    default:
        break;
    }
    return cli_fail(code, "%s", why->text[0] != '\0' ? why->text : error_text(error));
}

char *cli_read_secret(const char *path)
{
    char line[1026];
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    bool is_read;

    if (file == NULL) {
        cli_fail(CLI_FAILED, "cannot open %s: %m", path);
        return NULL;
    }
    is_read = fgets(line, sizeof line, file) != NULL;
    if (file != stdin) {
        fclose(file);
    }
    if (is_read) {
        line[strcspn(line, "\r\n")] = '\0';
    }
    if (!is_read || line[0] == '\0' || strlen(line) > 1024) {
        memory_wipe(line, sizeof line);
        cli_fail(CLI_FAILED, "%s must hold a secret of 1 to 1,024 bytes in its first line", path);
        return NULL;
    }
    char *secret = memory_string(line);
    memory_wipe(line, sizeof line);
    return secret;
}
