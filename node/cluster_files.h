#ifndef NODE_CLUSTER_FILES_H
#define NODE_CLUSTER_FILES_H

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/tls.h"

/* A node's identity on its disk: which member of which cluster this data directory is, with its key
 * and certificates. Blocking; for start-up and the command line.
 *
 *   node.json          who this is; written last, so that a directory with it is complete
 *   tls/               node.key (0600, the owner's alone), node.crt, ca.crt
 *   bootstrap.msgpack  commands that the first node of a cluster proposes at its first start; it
 *                      holds the CA's key, so it is removed once they were applied
 *   lock               held by the process that runs on the directory
 *   log/ snapshots/ meta/ blobs/ uploads/ quarantine/   the registry itself */

struct node_identity {
    char cluster[33];        /* 32 hex digits. */
    uint64_t member;         /* Random, never 0, never used twice. */
    char name[64];           /* "node-1". */
    char raft_address[80];   /* host:port, as the other members reach it; so are the next two. */
    char data_address[80];   /* Internal HTTPS. */
    char client_address[80]; /* Clients. */
    char created[CLOCK_TEXT_MAX];
};

struct cluster_files {
    char directory[256];
    struct node_identity identity;
    struct buffer key, certificate, ca; /* PEM. */
    int lock;                           /* Descriptor; -1: none. */
};

enum cluster_files_state {
    CLUSTER_FILES_EMPTY,  /* Missing, empty, or an init or join that was cut short: start anew. */
    CLUSTER_FILES_MEMBER, /* Complete. */
};

/* Nothing yet: empty buffers, no lock. Before create; open does it itself. */
void cluster_files_init(struct cluster_files *files);
/* What a directory is. ERROR_FOREIGN: it holds something else, and is left alone. */
enum error cluster_files_look(const char *directory, enum cluster_files_state *state,
                              struct reason *why) MUST_USE;
/* Take the lock and read everything. cluster_files_release() either way. ERROR_NOT_FOUND: no member
 * lives here; ERROR_BUSY: another process runs on it; ERROR_FOREIGN: partial, or certificates of
 * another node or cluster; ERROR_DENIED: others may read the key. */
enum error cluster_files_open(const char *directory, struct cluster_files *out,
                              struct reason *why) MUST_USE;
/* Write a new member into an empty or missing directory. files: directory, identity and PEM texts;
 * it comes back holding the lock. bootstrap: empty, or the file of that name. */
enum error cluster_files_create(struct cluster_files *files, struct bytes bootstrap,
                                struct reason *why) MUST_USE;
void cluster_files_release(struct cluster_files *files);

/* Commands of bootstrap.msgpack, in order; each is borrowed from text (which it initialises:
 * buffer_release either way). *n is 0 when there is no such file. */
#define BOOTSTRAP_COMMANDS_MAX 8
enum error cluster_files_bootstrap(const struct cluster_files *files, struct buffer *text,
                                   struct bytes commands[BOOTSTRAP_COMMANDS_MAX], size_t *n,
                                   struct reason *why) MUST_USE;
/* After all of them were applied. */
enum error cluster_files_bootstrap_done(const struct cluster_files *files,
                                        struct reason *why) MUST_USE;

#endif
