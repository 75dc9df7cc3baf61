#ifndef PROMOTION_POLICY_CHANGE_H
#define PROMOTION_POLICY_CHANGE_H

#include "promotion/policy.h"

/* A change of a pipeline that waits for people: a pipeline whose document has "changes" is replaced
 * only once enough of these people agreed to the very document that comes. The people are those of
 * the document in force, so that a change of them waits for them too. One change waits at a time; a
 * document that differs takes its place, and a document that came into force otherwise voids it. */

#define CHANGE_PEOPLE_MAX 64

struct policy_change {
    struct digest revision, base; /* Of the document that comes, and of the one it was put on. */
    struct bytes document;        /* Canonical. */
    struct bytes author;
    uint64_t time_ms, until_ms;
    struct bytes people[CHANGE_PEOPLE_MAX]; /* Who agreed, the author among them. */
    size_t n_people;
};

/* The one that waits; ERROR_NOT_FOUND: none, or it is void or over at now_ms. Borrowed. */
enum error policy_change_find(struct catalog_txn *txn, struct bytes name, uint64_t now_ms,
                              struct policy_change *out) MUST_USE;
/* How many of the rule's people agreed. */
unsigned policy_change_count(const struct policy_change *change, const struct people_rule *rule);
/* In apply. */
void policy_change_save(struct catalog_txn *txn, struct bytes name,
                        const struct policy_change *change);
void policy_change_drop(struct catalog_txn *txn, struct bytes name);

/* {"group" or "users", "min", "expire": default "168h"} of a document; NULL is fine.
 * ERROR_INVALID with a sentence. */
enum error policy_changes_parse(const json_t *object, const json_t *groups, struct pipeline *out,
                                struct reason *why) MUST_USE;

/* What became of pipeline.put and pipeline.decide. */
struct policy_result {
    uint64_t number;        /* Of the document in force. */
    struct digest revision; /* Of what was put. */
    uint64_t given, wanted; /* Under wanted: it waits. 0 of 0: it is in force. */
};
enum error policy_result_read(struct bytes body, struct policy_result *out) MUST_USE;

/* revision: of the change that waits. is_approval false: it is given up. ERROR_NOT_FOUND: none
 * waits; ERROR_CONFLICT: another does; ERROR_NOT_ELIGIBLE. */
void command_pipeline_decide(struct buffer *out, const struct command_id *id, struct bytes actor,
                             struct bytes name, const struct digest *revision, bool is_approval);

#endif
