#ifndef NODE_CLI_PLACE_H
#define NODE_CLI_PLACE_H

#include "node/cli.h"
#include "node/cluster_files.h"

/* What `cluster init` and `cluster join` both take: where a node lives and is reached. */

struct cli_place {
    const char *data_dir, *name, *listen, *advertise, *raft_listen, *data_listen;
    /* Private. */
    struct cli_option options[8];
};

/* For the tables of cli_options(). */
const struct cli_option *cli_place_options(struct cli_place *place);
/* Check the values by the rules of the configuration file, and copy them into files, which is
 * initialised either way. ERROR_INVALID. */
enum error cli_place_files(const struct cli_place *place, struct cluster_files *files,
                           struct reason *why) MUST_USE;
/* How to start the node that now lives there, on stdout. */
void cli_place_print_start(const struct cluster_files *files);

/* "90s", "30m", "24h", "7d", or "0". ERROR_INVALID. */
enum error cli_parse_duration(const char *text, uint64_t *ms, struct reason *why) MUST_USE;

#endif
