#ifndef PROMOTION_PIPELINE_H
#define PROMOTION_PIPELINE_H

#include "base/digest.h"
#include "promotion/repository_map.h"

#include <jansson.h>

/* A pipeline: the stages that images move through, what guards the way into each, and which
 * repositories they have. Given as the JSON document of the policy file:
 *
 *   {"pipeline": "shop",
 *    "groups": {"release-managers": ["alice", "bob"]},
 *    "stages": [
 *      {"name": "dev", "repos": "dev/shop-*", "write": "open"},
 *      {"name": "prod", "repos": "prod/shop-*", "write": "promotion-only", "from": "dev",
 *       "gates": [
 *         {"id": "4eyes", "type": "approvals", "rules": [{"group": "release-managers", "min": 2}],
 *          "requesterMayApprove": false, "expire": "72h"},
 *         {"id": "soak", "type": "soak", "min": "24h", "basis": "current-continuous"}]}]}
 *
 * What is not known is refused, by its place and with what is allowed there: a gate that is not
 * understood must not look as if it guarded something. The canonical form (compact, keys sorted)
 * has a digest, the revision, that plans, approvals and audit records cite. */

#define PIPELINE_SIZE_MAX (128u * 1024)
#define PIPELINE_NAME_MAX 64
#define STAGES_MAX        16
#define GATES_MAX         16
#define RULES_MAX         8
#define RULE_USERS_MAX    64

enum gate_type { GATE_APPROVALS = 1, GATE_SOAK };

/* At least min of these people; of all who may approve in the target when users is NULL. */
struct approval_rule {
    const char *group;   /* NULL: none given. */
    const json_t *users; /* Array of names, of the rule or of its group. */
    unsigned min;
};

struct gate {
    enum gate_type type;
    const char *id;
    /* Approvals. */
    struct approval_rule rules[RULES_MAX];
    size_t n_rules;
    bool requester_may_approve;
    uint64_t expire_ms; /* 0: never. */
    /* Soak. */
    uint64_t min_ms;
};

struct stage {
    const char *name;
    struct repository_pattern repos;
    bool is_promotion_only;
    const struct stage *from; /* NULL: where images come in. */
    struct gate gates[GATES_MAX];
    size_t n_gates;
};

struct pipeline {
    const char *name;
    struct digest revision; /* Of the canonical document. */
    struct stage stages[STAGES_MAX];
    size_t n_stages;
    /* Private. */
    json_t *document; /* Owns all strings. */
};

/* Parse and check a document. expected_name (may be BYTES_NONE): what its "pipeline" must be; one
 * that leaves it out takes it. ERROR_INVALID with a sentence that names the place; ERROR_TOO_LARGE.
 * Release it with pipeline_release(). */
enum error pipeline_parse(struct bytes json, struct bytes expected_name, struct pipeline **out,
                          struct reason *why) MUST_USE;
void pipeline_release(struct pipeline *pipeline); /* NULL is fine. */
/* Append the canonical document. */
void pipeline_write(const struct pipeline *pipeline, struct buffer *out);

bool pipeline_name_is_valid(struct bytes name);
const struct stage *pipeline_stage(const struct pipeline *pipeline, struct bytes name);
const char *gate_type_name(enum gate_type type);
/* "a, b, c": the stages' names, for sentences. */
void pipeline_stage_names(const struct pipeline *pipeline, char *text, size_t size);

#endif
