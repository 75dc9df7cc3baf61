#include "node/cli_place.h"

#include "node/config.h"

#include <stdio.h>
#include <string.h>

const struct cli_option *cli_place_options(struct cli_place *place)
{
    const struct cli_option options[8] = {
        {"--data-dir", CLI_TEXT, &place->data_dir},
        {"--name", CLI_TEXT, &place->name},
        {"--listen", CLI_TEXT, &place->listen},
        {"--advertise", CLI_TEXT, &place->advertise},
        {"--raft-listen", CLI_TEXT, &place->raft_listen},
        {"--data-listen", CLI_TEXT, &place->data_listen},
        {0},
    };

    memcpy(place->options, options, sizeof options);
    return place->options;
}

/* Checks the values by the rules of the configuration file, and copies them. */
enum error cli_place_files(const struct cli_place *place, struct cluster_files *files,
                           struct reason *why)
{
    const struct {
        const char *key, *value;
    } pairs[] = {{"name", place->name},
                 {"listen", place->listen},
                 {"advertise", place->advertise},
                 {"raft_listen", place->raft_listen},
                 {"data_listen", place->data_listen}};
    struct node_identity *identity = &files->identity;
    struct config config;

    cluster_files_init(files);
    config_init(&config);
    if (place->data_dir == NULL || place->name == NULL) {
        return fail(why, ERROR_INVALID, "--data-dir and --name are needed");
    }
    snprintf(config.raft_listen, sizeof config.raft_listen, "127.0.0.1:5100");
    snprintf(config.data_listen, sizeof config.data_listen, "127.0.0.1:5200");
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        enum error error =
            pairs[i].value == NULL ? OK : config_set(&config, pairs[i].key, pairs[i].value, why);
        if (error != OK) {
            return error;
        }
    }
    if (snprintf(files->directory, sizeof files->directory, "%s", place->data_dir) >=
        (int)sizeof files->directory) {
        return fail(why, ERROR_INVALID, "--data-dir is too long");
    }
    memcpy(identity->name, config.name, sizeof identity->name);
    memcpy(identity->raft_address, config.raft_listen, sizeof identity->raft_address);
    memcpy(identity->data_address, config.data_listen, sizeof identity->data_address);
    memcpy(identity->client_address, config.advertise[0] != '\0' ? config.advertise : config.listen,
           sizeof identity->client_address);
    return OK;
}

enum error cli_parse_duration(const char *text, uint64_t *ms, struct reason *why)
{
    static const char units[] = "smhd";
    static const uint64_t unit_ms[] = {1000, 60000, 3600000, 86400000};
    size_t digits = strspn(text, "0123456789");
    const char *unit = text[digits] == '\0' ? NULL : strchr(units, text[digits]);

    if (bytes_to_uint(bytes_of(text, digits), ms) == OK && *ms <= 36500) {
        if (*ms == 0 && text[digits] == '\0') {
            return OK;
        }
        if (unit != NULL && text[digits + 1] == '\0') {
            *ms *= unit_ms[unit - units];
            return OK;
        }
    }
    return fail(why, ERROR_INVALID, "'%.32s' is not a time such as 30m, 24h or 7d", text);
}

void cli_place_print_start(const struct cluster_files *files)
{
    printf("Start it with:    caisson serve --data-dir %s --listen %s\n", files->directory,
           files->identity.client_address);
}
