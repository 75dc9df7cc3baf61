#ifndef PROMOTION_PIPELINE_H
#define PROMOTION_PIPELINE_H

#include "base/digest.h"
#include "promotion/people.h"
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
 *         {"id": "soak", "type": "soak", "min": "24h", "basis": "current-continuous"}],
 *       "rollback": {"gates": ["4eyes"]}}]}
 *
 * What is not known is refused, by its place and with what is allowed there: a gate that is not
 * understood must not look as if it guarded something. The canonical form (compact, keys sorted)
 * has a digest, the revision, that plans, approvals and audit records cite. */

#define PIPELINE_SIZE_MAX (128u * 1024)
#define PIPELINE_NAME_MAX 64
#define STAGES_MAX        16
#define GATES_MAX         32

/* enforce: it must pass. The others are decided and shown, but stop nothing: warn tells people, a
 * dry run is for a gate that is being tried out. */
enum gate_mode { GATE_ENFORCE, GATE_WARN_ONLY, GATE_DRY_RUN };

struct gate_kind;

struct gate {
    const struct gate_kind *kind;
    const char *id;
    enum gate_mode mode;
    bool is_mandatory;  /* No override passes it. */
    void *settings;     /* Of the kind. */
    struct gate *parts; /* Of an any-gate. */
    size_t n_parts;
};

/* promotion/stage_tags.h */
enum supersede { SUPERSEDE_NOTHING, SUPERSEDE_PENDING, SUPERSEDE_FAIL };

struct stage {
    const char *name;
    struct repository_pattern repos;
    bool is_promotion_only;
    const struct stage *from; /* NULL: where images come in. */
    struct gate gates[GATES_MAX];
    size_t n_gates;
    const json_t *rollback_gates; /* Ids; NULL: not said. */
    struct people_rule override;  /* Who may pass gates by, together; min 0: nobody. */
    uint64_t override_ms;         /* For how long at most. */
    /* Which tags promotions may set; both NULL: any. */
    const char *version;
    const json_t *channels;
    enum supersede supersede;
};

struct pipeline {
    const char *name;
    struct digest revision; /* Of the canonical document. */
    struct stage stages[STAGES_MAX];
    size_t n_stages;
    struct people_rule changes; /* Who agrees to another document; min 0: nobody has to. */
    uint64_t changes_ms;        /* How long a change waits for them. */
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
const char *gate_type_name(const struct gate *gate);
/* "a, b, c": the stages' names, for sentences. */
void pipeline_stage_names(const struct pipeline *pipeline, char *text, size_t size);

#endif
