#include "node/cli.h"

#include "node/config.h"
#include "node/node.h"

#include <stdio.h>
#include <string.h>

/* `caisson serve`: file, then options, then defaults; then the node runs until a signal. */

static const char *const usage =
    "Usage: caisson serve [--config FILE] [OPTIONS]\n"
    "\n"
    "  --config FILE         YAML configuration; options win over it\n"
    "  --data-dir DIR        where everything is kept (default ./caisson-data)\n"
    "  --listen ADDRESS      clients, host:port (default 127.0.0.1:5000)\n"
    "  --open                anonymous callers may do everything\n"
    "  --workers N           threads that serve clients (default: cores - 1)\n"
    "  --log-level LEVEL     debug, info, warn or error\n"
    "  --init                an empty data directory becomes a one-node registry\n"
    "  --check               read the configuration, say what is wrong, do not start\n"
    "\n"
    "Without --config and --data-dir it makes a one-node registry in ./caisson-data, prints the\n"
    "admin's password once, and lets anonymous callers do everything, since only this machine can\n"
    "reach it; with a --listen that others can reach, they have to log in.\n"
    "\n"
    "Examples:\n"
    "  caisson serve\n"
    "  caisson serve --config /etc/caisson/caisson.yaml\n"
    "  caisson serve --data-dir /srv/caisson --listen 0.0.0.0:5000\n";

struct serve_options {
    const char *config, *data_dir, *listen, *workers, *log_level;
    bool open, init, check;
};

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strncmp(address, "[::1]:", 6) == 0;
}

static enum error apply_options(struct config *config, const struct serve_options *options,
                                struct reason *why)
{
    bool is_bare;
    const struct {
        const char *key, *value;
    } pairs[] = {{"listen", options->listen},
                 {"workers", options->workers},
                 {"log_level", options->log_level}};

    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        enum error error =
            pairs[i].value == NULL ? OK : config_set(config, pairs[i].key, pairs[i].value, why);
        if (error != OK) {
            return error;
        }
    }
    if (options->data_dir != NULL) {
        if (strlen(options->data_dir) >= sizeof config->data_dir) {
            return fail(why, ERROR_INVALID, "--data-dir is too long");
        }
        memcpy(config->data_dir, options->data_dir, strlen(options->data_dir) + 1);
    }
    is_bare = options->config == NULL && options->data_dir == NULL;
    config->open |= options->open || (is_bare && is_loopback(config->listen));
    config->may_init = is_bare || options->init;
    return config_check(config, why);
}

static int run_serve(int argc, char **argv)
{
    struct serve_options given = {0};
    const struct cli_option options[] = {{"--config", CLI_TEXT, &given.config},
                                         {"--data-dir", CLI_TEXT, &given.data_dir},
                                         {"--listen", CLI_TEXT, &given.listen},
                                         {"--workers", CLI_TEXT, &given.workers},
                                         {"--log-level", CLI_TEXT, &given.log_level},
                                         {"--open", CLI_FLAG, &given.open},
                                         {"--init", CLI_FLAG, &given.init},
                                         {"--check", CLI_FLAG, &given.check},
                                         {0}};
    const struct cli_option *const tables[] = {options, NULL};
    struct config config;
    struct reason why = {""};
    enum error error = OK;
    int n = cli_options(argc, argv, tables);

    if (n != 0) {
        return n < 0 ? CLI_USAGE : cli_fail(CLI_USAGE, "serve takes no argument '%s'", argv[1]);
    }
    config_init(&config);
    if (given.config != NULL) {
        error = config_load(&config, given.config, &why);
    }
    if (error == OK) {
        error = apply_options(&config, &given, &why);
    }
    if (error != OK) {
        return cli_fail_with(error, &why);
    }
    if (given.check) {
        printf("The configuration is good.\n");
        return CLI_OK;
    }
    log_setup(config.log_level, config.name);
    return node_run(&config);
}

const struct cli_command cli_serve_commands[] = {
    {"serve", "Server", "run a node", usage, run_serve},
    {0},
};
