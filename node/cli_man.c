#include "node/cli.h"

#include <stdio.h>
#include <string.h>

/* `caisson help --man`: the manual page caisson(1), from the same tables as --help, so that neither
 * can say what the other does not. */

/* A line of text for roff: a backslash, a dash, and a dot or quote in front mean something there.
 */
static void print_line(const char *line, size_t size)
{
    size_t i;

    if (size > 0 && (line[0] == '.' || line[0] == '\'')) {
        fputs("\\&", stdout);
    }
    for (i = 0; i < size; i++) {
        if (line[i] == '\\') {
            fputs("\\e", stdout);
        } else if (line[i] == '-') {
            fputs("\\-", stdout);
        } else {
            putchar(line[i]);
        }
    }
    putchar('\n');
}

static void print_text(const char *text)
{
    while (*text != '\0') {
        size_t size = strcspn(text, "\n");

        print_line(text, size);
        text += size + (text[size] == '\n');
    }
}

static bool print_command(const struct cli_command *command, void *data)
{
    const char **group = data;

    if (*group == NULL || strcmp(*group, command->group) != 0) {
        printf(".SS %s\n", command->group);
        *group = command->group;
    }
    printf(".TP\n.B caisson ");
    print_line(command->name, strlen(command->name));
    print_text(command->summary);
    printf(".sp\n.nf\n");
    print_text(command->usage);
    printf(".fi\n");
    return true;
}

void cli_man_print(void)
{
    const char *group = NULL;

    printf(".TH CAISSON 1 \"\" \"Caisson %s\" \"User Commands\"\n", CAISSON_VERSION);
    printf(".SH NAME\ncaisson \\- a highly available container registry with promotion gates\n");
    printf(".SH SYNOPSIS\n.B caisson\n.I COMMAND\n[\\fIOPTIONS\\fR]\n");
    printf(".SH DESCRIPTION\n");
    print_text("One program: the server (serve), and the commands that talk to one over its API.\n"
               "Three servers make a cluster that survives the loss of any of them; images move\n"
               "between stages by promotion, through gates that the replicated state decides.");
    printf(".SH COMMANDS\n");
    cli_each_command(print_command, &group);
    printf(".SH ENVIRONMENT\n");
    printf(".TP\n.B CAISSON_URL\nThe server: one node, or what stands in front of them.\n");
    printf(".TP\n.B CAISSON_USER\nWho asks.\n");
    printf(".TP\n.B CAISSON_PASSWORD\nThe password; or name a file with \\-\\-password\\-file.\n");
    printf(".TP\n.B CAISSON_CA_FILE\nWho signs the server's certificate.\n");
    printf(".SH EXIT STATUS\n");
    printf(".TP\n.B 0\nDone.\n.TP\n.B 1\nWhatever has no number of its own.\n");
    printf(".TP\n.B 2\nA gate, a rule or a missing right says no.\n");
    printf(".TP\n.B 3\nAccepted, and waits for something.\n");
    printf(".TP\n.B 4\nChanged meanwhile, or exists already.\n");
    printf(".TP\n.B 5\nThe cluster cannot decide, or no node answered.\n");
    printf(".TP\n.B 6\nA drill found a lost write or a stale read.\n");
    printf(".TP\n.B 64\nThe command line itself is wrong.\n");
}
