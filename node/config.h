#ifndef NODE_CONFIG_H
#define NODE_CONFIG_H

#include "base/error.h"
#include "base/log.h"

#include <stdbool.h>
#include <stdint.h>

/* What `caisson serve` runs with: a YAML file, then the command line over it, then the defaults.
 * The file is read strictly: an unknown or repeated key, a value of the wrong type or a missing
 * directory is an error that names file, line and key. */

#define CONFIG_TEXT_MAX  256
#define CONFIG_PEERS_MAX 16

struct config {
    char data_dir[CONFIG_TEXT_MAX]; /* Default ./caisson-data. */
    char name[64];                  /* "node-1"; "" until the data directory gives it. */
    char listen[80];                /* Clients; default 127.0.0.1:5000. */
    char advertise[80];   /* Where clients and peers' redirects reach it; default listen. */
    char raft_listen[80]; /* Peers, the log; "" : as in the data directory. */
    char data_listen[80]; /* Peers, internal HTTPS. */
    unsigned workers;     /* Default: cores - 1, at least 1. */
    bool open;            /* Anonymous may do everything. */
    bool allow_sparse;    /* Manifests may refer to what is not there. */
    char tls_certificate[CONFIG_TEXT_MAX]; /* PEM files for clients; "": plain HTTP. */
    char tls_key[CONFIG_TEXT_MAX];
    char join_token[CONFIG_TEXT_MAX]; /* The token itself; "": this node does not join by itself. */
    char join_peers[CONFIG_PEERS_MAX][80]; /* Data addresses of members. */
    unsigned n_join_peers;
    unsigned election_timeout_ms; /* 0: the default of raft/consensus.h; as the two below. */
    unsigned heartbeat_ms;
    unsigned snapshot_threshold;
    unsigned snapshot_trailing; /* Entries kept behind a snapshot; 0: as many as by default. */
    uint64_t log_segment_size;  /* 0: as by default. */
    enum log_level log_level;
    uint64_t free_space_mark;      /* Bytes; below it uploads are refused. Default 1 GiB. */
    unsigned upload_idle_minutes;  /* An upload nobody adds to for so long goes; default 60. */
    uint64_t repair_rate;          /* Bytes per second; 0 (the default): as fast as it goes. */
    uint64_t scrub_rate;           /* Bytes per second; default 20 MiB. 0: only when asked for. */
    unsigned scrub_interval_hours; /* From the start of a pass to that of the next; default 168. */
    unsigned drain_seconds;        /* What requests under way get when the node stops; default 8. */
    bool may_init; /* An empty data directory becomes a cluster of one (never from a file: a disk
                      that was not mounted must not turn into a new registry). */
};

/* All defaults. */
void config_init(struct config *config);
/* Over what is there. ERROR_INVALID with "file:line: key: what is wrong", ERROR_NOT_FOUND. */
enum error config_load(struct config *config, const char *path, struct reason *why) MUST_USE;
/* Set one scalar by its name in the file ("tls.certificate"): the command line's way in. */
enum error config_set(struct config *config, const char *key, const char *value,
                      struct reason *why) MUST_USE;
/* After all sources: values that must fit together. */
enum error config_check(struct config *config, struct reason *why) MUST_USE;

#endif
