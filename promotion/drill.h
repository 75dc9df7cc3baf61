#ifndef PROMOTION_DRILL_H
#define PROMOTION_DRILL_H

#include "promotion/promotion.h"
#include "promotion/signature.h"
#include "store/command.h"

#include <jansson.h>

/* Results of failover drills as the cluster keeps them, and the key that it signs them with.
 *
 * The document is the report that `caisson drill` made (node/drill_report.h) with id, actor and
 * cluster put in by the node that took it, in its canonical form; the signature is over these very
 * bytes. What a gate asks for is read from the document once, by apply. The newest
 * DRILLS_KEPT are kept. */

#define DRILL_DOCUMENT_MAX (128u * 1024)
#define DRILL_KIND_MAX     32
#define DRILL_KINDS_MAX    16
#define DRILLS_KEPT        100u

/* What was measured for one kind of fault: the worst of its steps. */
struct drill_fact {
    struct bytes kind;
    uint64_t write_gap_ms, read_gap_ms;
};

struct drill_record {
    struct bytes id; /* A ULID. */
    struct bytes actor, document, signature;
    uint64_t time_ms, index; /* Of the log entry. */
    bool is_passed;          /* By its own limits, with nothing lost and nothing stale. */
    struct drill_fact facts[DRILL_KINDS_MAX];
    size_t n_facts;
};

/* ERROR_NOT_FOUND. Bytes are borrowed from the transaction. */
enum error drill_find(struct catalog_txn *txn, struct bytes id, struct drill_record *out) MUST_USE;
typedef bool (*drill_visit)(void *data, const struct drill_record *record);
/* Oldest first, while visit returns true. */
void drill_list(struct catalog_txn *txn, drill_visit visit, void *data);

/* The cluster's signing key. ERROR_NOT_FOUND: none was made yet. */
struct signing_key {
    struct bytes private_key, public_key;
};
enum error signing_key_find(struct catalog_txn *txn, struct signing_key *out) MUST_USE;

/* Keep this key unless there is one already: then nothing changes. */
void command_signing_key_put(struct buffer *out, const struct command_id *id, struct bytes actor,
                             struct bytes private_key, struct bytes public_key);
/* ERROR_INVALID: the document does not hold what a drill's does; ERROR_EXISTS: the id was used;
 * ERROR_DENIED: the signature is not that of the cluster's key. */
void command_drill_result(struct buffer *out, const struct command_id *id, struct bytes actor,
                          struct bytes drill, struct bytes document, struct bytes signature);

/* Read what is measured out of a document. ERROR_INVALID names what is missing. facts borrow from
 * document. */
enum error drill_facts_read(const json_t *document, struct drill_record *out,
                            struct reason *why) MUST_USE;

#endif
