#ifndef PROMOTION_GATE_KIND_H
#define PROMOTION_GATE_KIND_H

#include "promotion/document.h"
#include "promotion/gates.h"

/* What a type of gate brings: one file each (gate_soak.c, gate_approvals.c, ..), a row in the table
 * of gate_kinds.c. Private to promotion/.
 *
 * decide() is pure: the replicated state, the promotion as it is planned now, a time. It runs in
 * apply at every node, so what it answers must not depend on anything else, and a change of what a
 * kind answers for the same state is a new command version. */

/* Where a gate stands in its document. */
struct gate_document {
    const json_t *object; /* The gate itself. */
    const json_t *groups; /* Of the pipeline; NULL: none. */
    const char *place;    /* "stage prod, gate soak", for sentences. */
};

struct gate_question {
    struct catalog_txn *txn;
    const struct stage *stage; /* Where the promotion leads. */
    const struct gate *gate;
    const struct promotion *promotion;
    uint64_t now_ms;
};

struct gate_kind {
    const char *name;           /* Its "type". */
    const char *const *members; /* Its own, besides those of every gate; ends with NULL. */
    bool is_for_people;         /* Pending means: somebody has to decide. */
    bool is_about_newness;      /* Not asked when a stage goes back to what it had, by default. */
    /* Fill gate->settings (one allocation, freed with free()), or leave it NULL. Members were
     * checked. ERROR_INVALID with a sentence that begins with the place. */
    enum error (*parse)(const struct gate_document *document, struct gate *gate,
                        struct reason *why);
    /* Set result, code, text and next; out is a pass without a text before. */
    void (*decide)(const struct gate_question *question, struct gate_outcome *out);
};

extern const struct gate_kind gate_kind_age;
extern const struct gate_kind gate_kind_annotations;
extern const struct gate_kind gate_kind_any;
extern const struct gate_kind gate_kind_approvals;
extern const struct gate_kind gate_kind_drill;
extern const struct gate_kind gate_kind_replicated;
extern const struct gate_kind gate_kind_shape;
extern const struct gate_kind gate_kind_size;
extern const struct gate_kind gate_kind_soak;
extern const struct gate_kind gate_kind_status;
extern const struct gate_kind gate_kind_version;
extern const struct gate_kind gate_kind_window;

/* Set the outcome to a refusal or a wait; text and next are for the caller to write. */
void gate_refuse(struct gate_outcome *out, enum gate_result result, const char *code);
/* As gate_decide(), of a question. */
void gate_answer(const struct gate_question *question, struct gate_outcome *out);

#endif
