#ifndef TESTS_SIM_WORLD_CLIENT_H
#define TESTS_SIM_WORLD_CLIENT_H

#include "base/bytes.h"
#include "base/digest.h"
#include "store/command.h"

#include <stdbool.h>
#include <stdint.h>

/* Clients, each of which does one operation after the other at hosts of its choice, asks again
 * under the same command id when it gets no answer, and remembers all of it. */

#define CLIENTS_MAX    6u
#define OPERATIONS_MAX 2048u
#define TAGS           3u
#define PROMOTIONS_MAX 12u

struct host;

enum operation_kind {
    OPERATION_PUT,
    OPERATION_PUT_ABSENT, /* If-None-Match: * */
    OPERATION_PUT_MATCH,  /* If-Match: what was seen last. */
    OPERATION_DELETE,
    OPERATION_GET,
    OPERATION_FORBIDDEN, /* A push into a repository that takes promotions only. */
    OPERATION_PROMOTE,   /* Create, approve, commit: three commands. */
    OPERATION_APPROVE,
    OPERATION_COMMIT,
    OPERATION_HOLDERS, /* A fact about a blob. */
    OPERATION_ADMIN    /* Setting up, members: asked again until it is answered. */
};

enum outcome_kind { OUTCOME_OPEN, OUTCOME_DONE, OUTCOME_UNKNOWN };

struct operation {
    enum operation_kind kind;
    unsigned client, tag, promotion;
    uint64_t value, expected, seen; /* Numbers of manifests; 0: none. */
    uint64_t call_us, return_us;
    enum outcome_kind outcome;
    enum error error; /* Once done. */
    struct command_id id;
    struct buffer command; /* Empty until it is first proposed. */
    struct digest digest;  /* Of value. */
    bool is_in_history;    /* Its value is in the tag's history at the end. */
    unsigned attempts;
    uint64_t ticket; /* Of the time-out that counts. */
    unsigned host;   /* Where the last attempt went. */
    bool is_stuck_to_host;
    void (*build)(struct operation *operation);
    uint64_t argument;
};

struct promotion_case {
    unsigned tag, key;
    bool is_created, is_approved, is_committed; /* Acknowledged. */
};

struct clients {
    struct operation *operations;
    size_t n;
    size_t open[CLIENTS_MAX + 1]; /* Operation of each client, plus 1; 0: none. The last: admin. */
    unsigned n_clients;
    uint64_t next_value, last_seen[TAGS];
    struct promotion_case promotions[PROMOTIONS_MAX];
    unsigned n_promotions;
    bool is_over; /* No new operations. */
    uint64_t n_done;
    /* Admin's steps. */
    unsigned setup_step;
    bool is_set_up;
};

void clients_reset(struct clients *clients, unsigned n);
/* Make the cluster, its members, users and pipeline; is_set_up when done. */
void clients_set_up(void);
/* The clients begin. */
void clients_start(void);
/* Ask for a host to be made a member under its present node id (another of its name goes). */
void admin_join(struct host *host);
bool admin_is_busy(void);
/* One write that must be acknowledged: progress. True once it was. */
void probe_start(void);
bool probe_is_done(void);

void manifest_digest(uint64_t value, struct digest *out);
extern const char *const tag_names[TAGS];
#define DEV_REPOSITORY  "dev/shop/web"
#define PROD_REPOSITORY "prod/shop/web"
#define PROMOTER        "ci"
/* 26 characters. */
void promotion_id(unsigned number, char out[32]);

/* tags.c: are the operations on each tag linearizable? */
bool tags_are_linearizable(char *text, size_t size);

#endif
