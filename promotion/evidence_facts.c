#include "promotion/evidence.h"

#include "base/assert.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdlib.h>

#define FACT_VERSION 1
#define FACT_FIELDS  17

void evidence_facts_init(struct evidence_facts *facts)
{
    memset(facts, 0, sizeof *facts);
}

void evidence_facts_release(struct evidence_facts *facts)
{
    for (size_t i = 0; i < facts->n_facts; i++) {
        free(facts->packed[i]);
    }
    free(facts->packed);
    free(facts->facts);
    free(facts->refused);
    evidence_facts_init(facts);
}

void evidence_fact_pack(struct buffer *out, const struct evidence_fact *fact)
{
    pack_array(out, FACT_FIELDS);
    pack_uint(out, FACT_VERSION);
    pack_digest(out, &fact->subject);
    pack_digest(out, &fact->evidence);
    pack_digest(out, &fact->blob);
    pack_uint(out, fact->format);
    pack_uint(out, fact->signer_kind);
    pack_string(out, fact->signer);
    pack_digest(out, &fact->key);
    pack_string(out, fact->issuer);
    pack_string(out, fact->identity);
    pack_string(out, fact->predicate_type);
    pack_uint(out, fact->verified_at_ms);
    pack_uint(out, fact->valid_until_ms);
    pack_uint(out, fact->trust_revision);
    pack_uint(out, fact->verifier_revision);
    pack_bool(out, fact->has_unverified_extras);
    pack_string(out, fact->details);
}

/* A number from min to max, or an error that sticks. */
static unsigned unpack_choice(struct unpacker *in, unsigned min, unsigned max)
{
    uint64_t value = unpack_uint(in);

    if (value < min || value > max) {
        in->error = ERROR_INVALID;
        return min;
    }
    return (unsigned)value;
}

/* Nobody's signature with somebody's name, or the reverse, was never packed. */
static bool is_coherent(const struct evidence_fact *fact)
{
    bool is_signed = fact->signer_kind != SIGNER_NONE;

    return fact->subject.algorithm != 0 && fact->evidence.algorithm != 0 &&
           is_signed == (fact->format != EVIDENCE_UNSIGNED) &&
           is_signed == (fact->signer.size > 0) &&
           is_signed == (fact->key.algorithm == DIGEST_SHA256);
}

void evidence_fact_unpack(struct unpacker *in, struct evidence_fact *out)
{
    memset(out, 0, sizeof *out);
    unpack_array_of(in, FACT_FIELDS);
    unpack_choice(in, FACT_VERSION, FACT_VERSION);
    unpack_digest(in, &out->subject);
    unpack_digest(in, &out->evidence);
    unpack_digest(in, &out->blob);
    out->format = unpack_choice(in, EVIDENCE_COSIGN, EVIDENCE_UNSIGNED);
    out->signer_kind = unpack_choice(in, SIGNER_NONE, SIGNER_CERTIFICATE);
    out->signer = unpack_string(in, TRUST_ID_MAX);
    unpack_digest(in, &out->key);
    out->issuer = unpack_string(in, TRUST_ISSUER_MAX);
    out->identity = unpack_string(in, TRUST_IDENTITY_MAX);
    out->predicate_type = unpack_string(in, EVIDENCE_PREDICATE_MAX);
    out->verified_at_ms = unpack_uint(in);
    out->valid_until_ms = unpack_uint(in);
    out->trust_revision = unpack_uint(in);
    out->verifier_revision = unpack_uint(in);
    out->has_unverified_extras = unpack_bool(in);
    out->details = unpack_string(in, EVIDENCE_DETAILS_MAX);
    if (unpack_status(in) == OK && !is_coherent(out)) {
        in->error = ERROR_INVALID;
    }
}

enum error evidence_fact_check(const struct evidence_fact *fact, const struct digest *subject,
                               uint64_t revision, uint64_t now_ms, struct reason *why)
{
    char digest[DIGEST_TEXT_MAX];

    digest_format(&fact->evidence, digest);
    if (!digest_equal(&fact->subject, subject)) {
        return fail(why, ERROR_GATE, "the evidence %s is about another digest", digest);
    }
    if (fact->verifier_revision != EVIDENCE_VERIFIER_REVISION) {
        return fail(why, ERROR_GATE,
                    "the evidence %s was verified by another version; evaluate the promotion again",
                    digest);
    }
    if (fact->trust_revision != revision) {
        return fail(why, ERROR_GATE,
                    "keys or roots changed after the evidence %s was verified (revision %" PRIu64
                    ", now %" PRIu64 "); evaluate the promotion again",
                    digest, fact->trust_revision, revision);
    }
    if (fact->valid_until_ms != 0 && now_ms >= fact->valid_until_ms) {
        return fail(why, ERROR_GATE,
                    "the evidence %s is not valid any more; sign again, or evaluate the promotion "
                    "again if its certificate or revocation list was renewed",
                    digest);
    }
    return OK;
}

static bool is_signature(const struct evidence_fact *fact)
{
    return fact->predicate_type.size == 0 ||
           bytes_equal_string(fact->predicate_type, "https://sigstore.dev/cosign/sign/v1");
}

bool evidence_fact_matches(const struct evidence_fact *fact, const struct evidence_filter *filter)
{
    const char *const *signer = filter->signers;

    if (filter->subject != NULL && !digest_equal(filter->subject, &fact->subject)) {
        return false;
    }
    if (filter->format != 0 && filter->format != fact->format) {
        return false;
    }
    if (filter->predicate_type != NULL &&
        !(filter->predicate_type[0] == '\0'
              ? is_signature(fact)
              : bytes_equal_string(fact->predicate_type, filter->predicate_type))) {
        return false;
    }
    while (signer != NULL && *signer != NULL && !bytes_equal_string(fact->signer, *signer)) {
        signer++;
    }
    return signer == NULL || (*signer != NULL && fact->signer_kind != SIGNER_NONE);
}

static bool is_same_signer(const struct evidence_fact *a, const struct evidence_fact *b)
{
    return digest_equal(&a->key, &b->key) ||
           (a->identity.size > 0 && bytes_equal(a->identity, b->identity) &&
            bytes_equal(a->issuer, b->issuer));
}

size_t evidence_count_signers(const struct evidence_fact *facts, size_t n,
                              const struct evidence_filter *filter)
{
    const struct evidence_fact *counted[EVIDENCE_SIGNATURES_MAX];
    size_t group[EVIDENCE_SIGNATURES_MAX], n_counted = 0, n_groups = 0, i, j, k;

    /* One key under two identities, or one identity with two keys, joins what was counted apart. */
    for (i = 0; i < n && n_counted < EVIDENCE_SIGNATURES_MAX; i++) {
        if (facts[i].signer_kind == SIGNER_NONE || !evidence_fact_matches(&facts[i], filter)) {
            continue;
        }
        counted[n_counted] = &facts[i];
        group[n_counted] = n_counted;
        for (j = 0; j < n_counted; j++) {
            size_t other = group[j];

            if (!is_same_signer(counted[j], &facts[i])) {
                continue;
            }
            for (k = 0; k < n_counted; k++) {
                group[k] = group[k] == other ? n_counted : group[k];
            }
        }
        n_counted++;
    }
    for (i = 0; i < n_counted; i++) {
        n_groups += group[i] == i;
    }
    return n_groups;
}
