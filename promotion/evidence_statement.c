#include "promotion/evidence_private.h"

#include <stdio.h>

/* in-toto Statement v0.1 and v1: about which digests, and what is said of them. Read only after its
 * signature was verified; still, its writer may be wrong about the format. */

#define SUBJECTS_MAX 1000

/* Does one of the subjects have this digest, by algorithm and by its bytes? */
static bool has_subject(const json_t *subjects, const struct digest *subject)
{
    const json_t *entry;
    size_t i;

    json_array_foreach(subjects, i, entry)
    {
        const json_t *hex =
            json_object_get(json_object_get(entry, "digest"),
                            digest_algorithm_name((enum digest_algorithm)subject->algorithm));
        char text[DIGEST_TEXT_MAX];
        struct digest digest;

        if (!json_is_string(hex) || json_string_length(hex) >= DIGEST_HEX_MAX) {
            continue;
        }
        snprintf(text, sizeof text, "%s:%s",
                 digest_algorithm_name((enum digest_algorithm)subject->algorithm),
                 json_string_value(hex));
        if (digest_parse(bytes_of_string(text), &digest) == OK && digest_equal(&digest, subject)) {
            return true;
        }
    }
    return false;
}

static bool is_statement(const json_t *document)
{
    const char *type = json_string_value(json_object_get(document, "_type"));

    return type != NULL && (strcmp(type, "https://in-toto.io/Statement/v1") == 0 ||
                            strcmp(type, "https://in-toto.io/Statement/v0.1") == 0);
}

enum error statement_read(const json_t *document, const struct digest *subject,
                          struct statement *out, struct refusal *refusal)
{
    const json_t *subjects = json_object_get(document, "subject");
    const json_t *type = json_object_get(document, "predicateType");
    char text[DIGEST_TEXT_MAX];

    if (!is_statement(document)) {
        return refuse(refusal, "STATEMENT_INVALID",
                      "what is signed is no in-toto statement of version 0.1 or 1");
    }
    if (!json_is_array(subjects) || json_array_size(subjects) == 0 ||
        json_array_size(subjects) > SUBJECTS_MAX) {
        return refuse(refusal, "STATEMENT_INVALID", "the statement must have 1 to %d subjects",
                      SUBJECTS_MAX);
    }
    if (!has_subject(subjects, subject)) {
        digest_format(subject, text);
        return refuse(refusal, "SUBJECT_MISMATCH", "the signed statement is not about %s", text);
    }
    if (!json_is_string(type) || json_string_length(type) == 0 ||
        json_string_length(type) > EVIDENCE_PREDICATE_MAX) {
        return refuse(refusal, "STATEMENT_INVALID",
                      "predicateType must be text of 1 to %d characters", EVIDENCE_PREDICATE_MAX);
    }
    out->predicate_type = json_string_value(type);
    out->predicate = json_object_get(document, "predicate");
    return OK;
}
