#include "node/cluster_start.h"

#include "base/log.h"
#include "base/memory.h"
#include "node/cluster_init.h"
#include "node/join.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOIN_TIMEOUT_MS (600u * 1000)

/* The port of a cluster of one's internal listeners: beside the clients' one. */
static void derive_address(const char *given, const char *listen, unsigned distance, char out[80])
{
    unsigned long port = strtoul(strrchr(listen, ':') + 1, NULL, 10);

    if (given[0] != '\0') {
        snprintf(out, 80, "%s", given);
    } else {
        port = port + distance > 65535 ? port - distance : port + distance;
        snprintf(out, 80, "127.0.0.1:%lu", port);
    }
}

static void fill_identity(const struct config *config, struct cluster_files *files)
{
    struct node_identity *identity = &files->identity;

    cluster_files_init(files);
    memcpy(files->directory, config->data_dir, sizeof files->directory);
    snprintf(identity->name, sizeof identity->name, "%s",
             config->name[0] != '\0' ? config->name : "node-1");
    derive_address(config->raft_listen, config->listen, 100, identity->raft_address);
    derive_address(config->data_listen, config->listen, 200, identity->data_address);
    memcpy(identity->client_address, config->advertise, sizeof identity->client_address);
}

static enum error start_by_joining(const struct config *config, struct cluster_files *files,
                                   struct reason *why)
{
    const struct join_options options = {
        .token = config->join_token,
        .peers = config->join_peers,
        .n_peers = config->n_join_peers,
        .timeout_ms = JOIN_TIMEOUT_MS,
    };
    enum error error;

    if (config->name[0] == '\0' || config->raft_listen[0] == '\0' ||
        config->data_listen[0] == '\0') {
        return fail(why, ERROR_INVALID,
                    "to join, a node needs name, raft_listen and data_listen in its configuration");
    }
    LOG_INFO("%s is empty: joining a cluster as %s", config->data_dir, config->name);
    error = join_cluster(files, &options, why);
    if (error == OK) {
        LOG_INFO("joined cluster %s as member %016llx", files->identity.cluster,
                 (unsigned long long)files->identity.member);
    }
    return error;
}

static enum error start_by_init(struct cluster_files *files, struct reason *why)
{
    struct cluster_init init = {.files = *files};
    enum error error = cluster_init(&init, why);

    *files = init.files;
    if (error == OK) {
        LOG_INFO("%s was empty: made a registry of one node, cluster %s", files->directory,
                 files->identity.cluster);
        /* For the person who started it, once; it is not in the log. */
        printf("Admin password (shown once): %s\n", init.password);
        fflush(stdout);
    }
    memory_wipe(init.password, sizeof init.password);
    return error;
}

static enum error start_member(const struct config *config, struct cluster_files *files,
                               struct reason *why)
{
    enum error error = cluster_files_open(config->data_dir, files, why);

    if (error == OK && config->name[0] != '\0' && strcmp(config->name, files->identity.name) != 0) {
        error = fail(why, ERROR_FOREIGN,
                     "%s belongs to node '%s', the configuration is for '%s': this is another "
                     "node's directory",
                     config->data_dir, files->identity.name, config->name);
    }
    return error;
}

enum error cluster_start(const struct config *config, struct cluster_files *files,
                         struct reason *why)
{
    enum cluster_files_state state;
    enum error error;

    fill_identity(config, files);
    error = cluster_files_look(config->data_dir, &state, why);
    if (error != OK) {
        return error;
    }
    if (state == CLUSTER_FILES_MEMBER) {
        return start_member(config, files, why);
    }
    if (config->n_join_peers > 0) {
        return start_by_joining(config, files, why);
    }
    if (config->may_init) {
        return start_by_init(files, why);
    }
    return fail(why, ERROR_NOT_FOUND,
                "no node lives in %s (is the disk mounted?); `caisson cluster init` or `cluster "
                "join` makes one, `caisson serve --init` a registry of one node",
                config->data_dir);
}
