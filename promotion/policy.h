#ifndef PROMOTION_POLICY_H
#define PROMOTION_POLICY_H

#include "promotion/pipeline.h"
#include "store/catalog.h"

/* Pipelines in the replicated state: the document in force and all earlier ones, by number. */

struct policy_record {
    uint64_t number; /* 1, 2, ..: how often it was changed. */
    struct digest revision;
    struct bytes document; /* Canonical JSON. */
    uint64_t time_ms, index;
    struct bytes actor;
};

/* The document in force; borrowed from the transaction. ERROR_NOT_FOUND. */
enum error policy_find(struct catalog_txn *txn, struct bytes name,
                       struct policy_record *out) MUST_USE;
/* An earlier one. */
enum error policy_find_number(struct catalog_txn *txn, struct bytes name, uint64_t number,
                              struct policy_record *out) MUST_USE;
/* The document in force, parsed; pipeline_release() it. ERROR_NOT_FOUND with a sentence. */
enum error policy_load(struct catalog_txn *txn, struct bytes name, struct pipeline **out,
                       struct reason *why) MUST_USE;
typedef bool (*policy_visit)(void *data, struct bytes name, const struct policy_record *record);
void policy_list(struct catalog_txn *txn, policy_visit visit, void *data);

/* Would it stand beside the other pipelines? ERROR_INVALID: its repositories overlap another's. */
enum error policy_check(struct catalog_txn *txn, const struct pipeline *pipeline,
                        struct reason *why) MUST_USE;
/* In apply: keep it, and set the repositories' write rules by it. Gives its record's number. */
uint64_t policy_save(const struct command_context *context, const struct pipeline *pipeline);

#endif
