#include "node/cli.h"

#include "base/assert.h"

#include <string.h>

/* Options of a command: an unknown one, one without its value and one given twice are errors. */

static const struct cli_option *find_option(const struct cli_option *const *tables,
                                            const char *argument)
{
    size_t size = strncmp(argument, "--", 2) == 0 ? strcspn(argument, "=") : strlen(argument);

    for (size_t i = 0; tables[i] != NULL; i++) {
        for (const struct cli_option *option = tables[i]; option->name != NULL; option++) {
            if (strlen(option->name) == size && strncmp(option->name, argument, size) == 0) {
                return option;
            }
        }
    }
    return NULL;
}

static bool set_option(const struct cli_option *option, const char *value)
{
    const char **text = option->target;
    struct cli_list *list = option->target;

    if (option->kind == CLI_LIST) {
        if (list->n == CLI_LIST_MAX) {
            cli_fail(CLI_USAGE, "%s may be given %d times at most", option->name, CLI_LIST_MAX);
            return false;
        }
        list->items[list->n++] = value;
        return true;
    }
    if (*text != NULL) {
        cli_fail(CLI_USAGE, "%s is given twice", option->name);
        return false;
    }
    *text = value;
    return true;
}

/* One option at argv[*i]; advances *i over a value of its own. */
static bool take_option(int argc, char **argv, int *i, const struct cli_option *const *tables)
{
    const struct cli_option *option = find_option(tables, argv[*i]);
    const char *equals = strchr(argv[*i], '=');

    if (option == NULL) {
        cli_fail(CLI_USAGE, "'%s' takes no option %s; see `caisson %s --help`", argv[0], argv[*i],
                 argv[0]);
        return false;
    }
    if (option->kind == CLI_FLAG) {
        if (equals != NULL) {
            cli_fail(CLI_USAGE, "%s takes no value", option->name);
            return false;
        }
        *(bool *)option->target = true;
        return true;
    }
    if (equals != NULL && strncmp(argv[*i], "--", 2) == 0) {
        return set_option(option, equals + 1);
    }
    if (*i + 1 >= argc) {
        cli_fail(CLI_USAGE, "%s needs a value", option->name);
        return false;
    }
    *i += 1;
    return set_option(option, argv[*i]);
}

int cli_options(int argc, char **argv, const struct cli_option *const *tables)
{
    int n = 0;
    bool is_over = false;

    PRE(argc >= 1 && tables != NULL);
    for (int i = 1; i < argc; i++) {
        if (!is_over && strcmp(argv[i], "--") == 0) {
            is_over = true;
        } else if (!is_over && argv[i][0] == '-' && argv[i][1] != '\0') {
            if (!take_option(argc, argv, &i, tables)) {
                return -1;
            }
        } else {
            argv[++n] = argv[i];
        }
    }
    POST(n < argc);
    return n;
}
