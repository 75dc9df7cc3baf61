#ifndef PROMOTION_STATUSES_H
#define PROMOTION_STATUSES_H

#include "store/catalog.h"

/* What checks said about a digest: "e2e: success", reported by a CI job. The newest report of each
 * (digest, context, reporter) is kept. A report is a claim of whoever made it: a gate of type
 * status names the reporters that it believes. */

enum status_state { STATUS_PENDING = 1, STATUS_SUCCESS, STATUS_FAILURE, STATUS_ERROR };

#define STATUS_CONTEXT_MAX 128
#define STATUS_URL_MAX     1024
#define STATUS_TEXT_MAX    512
/* Of one digest: more are refused, so that nobody can fill the state with claims. */
#define STATUSES_PER_DIGEST_MAX 256

struct status_record {
    struct bytes context;
    struct bytes reporter;
    enum status_state state;
    struct bytes url, description;
    uint64_t time_ms;  /* Of the report. */
    uint64_t until_ms; /* It says nothing any more from then on; 0: for good. */
};

const char *status_state_name(enum status_state state);
/* False: no such state. */
bool status_state_parse(struct bytes text, enum status_state *out);
/* Letters, digits and "._-/ ", from 1 to STATUS_CONTEXT_MAX bytes. */
bool status_context_is_valid(struct bytes context);

typedef bool (*status_visit)(void *data, const struct status_record *status);
/* All about a digest, by context and reporter, while visit returns true; borrowed. */
void status_list(struct catalog_txn *txn, const struct digest *digest, status_visit visit,
                 void *data);

/* The actor is the reporter. ERROR_MANIFEST_UNKNOWN: nobody pushed this digest as a manifest or a
 * blob. ERROR_TOO_LARGE: too many reports about it. */
void command_status_put(struct buffer *out, const struct command_id *id, struct bytes actor,
                        const struct digest *digest, struct bytes context, enum status_state state,
                        struct bytes url, struct bytes description, uint64_t ttl_ms);

#endif
