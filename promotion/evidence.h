#ifndef PROMOTION_EVIDENCE_H
#define PROMOTION_EVIDENCE_H

#include "base/pack.h"
#include "promotion/trust.h"

/* Evidence: signatures, attestations and reports about a manifest, verified with the keys and roots
 * of a trust, and the facts that are left of them.
 *
 * Two phases. evidence_verify() does the cryptography, at the node that evaluates, outside of the
 * log: it may be called on any thread and blocks in fetch. Its facts are packed into a command; in
 * apply, at every node, evidence_fact_unpack() and evidence_fact_check() compare them with the
 * state and the entry's time, and nothing else.
 *
 * Whatever is not understood is refused: facts are made only of what a signer signed. Hints
 * (annotations, key ids, media types of attestations, the subject of a referrer) choose what to
 * look at and are never believed. All bytes are from strangers; each limit below is checked before
 * memory is taken. */

/* A change of what is believed is a new revision: old facts are then verified again. */
#define EVIDENCE_VERIFIER_REVISION 1

#define EVIDENCE_PAYLOAD_MAX     ((size_t)1024 * 1024)          /* What is signed; a report. */
#define EVIDENCE_BLOB_MAX        (EVIDENCE_PAYLOAD_MAX * 3 / 2) /* A payload in base64, and the rest. */
#define EVIDENCE_ANNOTATIONS_MAX ((size_t)64 * 1024)            /* Of one layer. */
#define EVIDENCE_SIGNATURES_MAX  100 /* Of one subject, counted over all calls. */
#define EVIDENCE_DETAILS_MAX     ((size_t)64 * 1024)
#define EVIDENCE_PREDICATE_MAX   512 /* Characters of a predicateType. */
#define EVIDENCE_FACT_MAX        (EVIDENCE_DETAILS_MAX + 8 * 1024) /* One, packed. */

enum evidence_format {
    EVIDENCE_COSIGN = 1,     /* Simple signing, in a layer. */
    EVIDENCE_DSSE,           /* An in-toto statement in a layer, as cosign attest stores it. */
    EVIDENCE_BUNDLE_MESSAGE, /* Sigstore bundle, the manifest itself is signed. */
    EVIDENCE_BUNDLE_DSSE,    /* Sigstore bundle around a statement. */
    EVIDENCE_UNSIGNED,       /* An SBOM or a report as a referrer: anyone's claim. */
};

/* One manifest that may hold evidence: from a tag (sha256-<hex>.sig, .att) or a referrer. */
struct evidence_source {
    void *data;
    /* Append the bytes of a blob (or of the subject manifest), at most max; they are checked
     * against the digest here. ERROR_BLOB_UNKNOWN: not there, which refuses this evidence only; any
     * other error ends the verification. */
    enum error (*fetch)(void *data, const struct digest *digest, size_t max, struct buffer *out,
                        struct reason *why);
    struct digest subject; /* The manifest that is to be promoted, or a child of it. */
    struct bytes subject_media_type;
    uint64_t subject_size;
    struct digest evidence; /* The manifest that holds the evidence. */
    struct bytes manifest;  /* Its bytes. */
    uint64_t now_ms;        /* Wall clock, or the log's time. */
};

/* What is left when a piece of evidence was believed. */
struct evidence_fact {
    struct digest subject;
    struct digest evidence; /* The manifest; links and referrers are listed by it. */
    struct digest blob;     /* The layer. */
    enum evidence_format format;
    enum signer_kind signer_kind;
    struct bytes signer;           /* Id of a key or a root in the trust; empty: unsigned. */
    struct digest key;             /* SHA-256 of the SubjectPublicKeyInfo; algorithm 0: unsigned. */
    struct bytes issuer, identity; /* Of a certificate; empty: a key alone. */
    struct bytes predicate_type;   /* As signed; for an unsigned document its media type; "" for a
                                    * signature. */
    uint64_t verified_at_ms;
    uint64_t valid_until_ms; /* 0: as long as trust and verifier do not change. */
    uint64_t trust_revision, verifier_revision;
    bool has_unverified_extras; /* A certificate, log entry or timestamp came with it; not looked
                                   at. */
    struct bytes details;       /* A JSON object, keys sorted: docs/promotion.md, "Evidence". */
};

struct evidence_refused {
    struct digest evidence;
    struct refusal refusal;
};

/* Facts and refusals of one subject, over any number of calls. */
struct evidence_facts {
    struct evidence_fact *facts; /* Their bytes live as long as this. */
    size_t n_facts;
    struct evidence_refused *refused;
    size_t n_refused;
    /* Private. */
    uint8_t **packed;
    size_t n_signatures;
};

void evidence_facts_init(struct evidence_facts *facts);
void evidence_facts_release(struct evidence_facts *facts);

/* Verify all that the manifest holds, add facts and refusals to out. Evidence that is not believed
 * is a refusal and not an error. ERROR_UNSUPPORTED: the manifest holds no evidence (an image);
 * otherwise what fetch answered. */
enum error evidence_verify(const struct evidence_source *source, const struct trust *trust,
                           struct evidence_facts *out, struct reason *why) MUST_USE;

/* Append a fact as one msgpack array with its version. Deterministic. */
void evidence_fact_pack(struct buffer *out, const struct evidence_fact *fact);
/* Read one; its bytes are borrowed from the input. A version that is not known is an error that
 * sticks to in. */
void evidence_fact_unpack(struct unpacker *in, struct evidence_fact *out);

/* For apply, pure: is it about this subject, made under this revision of the trust and by this
 * verifier, and not over at now_ms? ERROR_GATE with a sentence. */
enum error evidence_fact_check(const struct evidence_fact *fact, const struct digest *subject,
                               uint64_t trust_revision, uint64_t now_ms,
                               struct reason *why) MUST_USE;

/* Which facts a gate counts. NULL members: any. */
struct evidence_filter {
    const struct digest *subject;
    const char *predicate_type;  /* Exact; "": signatures only (simple signing, notation, a
                                  * signed manifest, https://sigstore.dev/cosign/sign/v1). */
    enum evidence_format format; /* 0: any. */
    const char *const *signers;  /* Ids in the trust; ends with NULL. Unsigned facts never match. */
};

bool evidence_fact_matches(const struct evidence_fact *fact, const struct evidence_filter *filter);
/* How many different signers the matching facts have: one key, or one certificate identity, counts
 * once, under however many ids and in however many signatures it stands. At most
 * EVIDENCE_SIGNATURES_MAX facts are looked at. Unsigned facts do not count. */
size_t evidence_count_signers(const struct evidence_fact *facts, size_t n,
                              const struct evidence_filter *filter);

#endif
