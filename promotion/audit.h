#ifndef PROMOTION_AUDIT_H
#define PROMOTION_AUDIT_H

#include "store/catalog.h"

#include <jansson.h>

/* What was decided, by whom, and why: one record for every request, approval, refusal, commit and
 * change of policy, written by the command that decides, in the same entry. Numbered from 1 without
 * a gap, never changed; each carries the SHA-256 of the one before it. */

struct audit_record {
    uint64_t number, time_ms, index;
    struct bytes actor;
    struct bytes kind;      /* "promotion.committed". */
    struct bytes pipeline;  /* Empty: none. */
    struct bytes subject;   /* Id of the promotion, empty: none. */
    struct bytes details;   /* JSON object text. */
    struct digest previous; /* Algorithm 0: the first. */
};

#define AUDIT_DETAILS_MAX (512u * 1024)

/* In apply. details is taken; NULL for none. Over the limit only "truncated" is kept of it. */
void audit_append(const struct command_context *context, const char *kind, struct bytes pipeline,
                  struct bytes subject, json_t *details);

typedef bool (*audit_visit)(void *data, const struct audit_record *record);
/* Records after number, in order, while visit returns true. */
void audit_list(struct catalog_txn *txn, uint64_t after, audit_visit visit, void *data);

#endif
