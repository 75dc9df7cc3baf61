#ifndef STORE_COMMAND_H
#define STORE_COMMAND_H

#include "base/bytes.h"
#include "base/error.h"
#include "base/pack.h"
#include "store/table.h"

/* Commands: what goes through the log. On the wire each is a msgpack array
 *   [version, kind, id (16 bytes), actor, body]
 * and its result
 *   [error name, text, index, body].
 * A command kind is a row in a table; store/ brings its own (catalog_commands), promotion/ brings
 * its own, node/ hands both to catalog_open(). An unknown kind or version stops the node
 * (fail_stop): it must not skip what the others apply. */

#define COMMAND_VERSION 1
#define COMMAND_ID_SIZE 16
#define ACTOR_MAX       128

/* Numbers are in the log: append only. 1..99 store/, 100..199 promotion/. After a release, a new
 * kind takes a new feature level in its row: docs/decisions/0009-levels.md. */
#define COMMAND_LIST(X)                                                                            \
    X(COMMAND_CLUSTER_CREATE, 1, "cluster.create")                                                 \
    X(COMMAND_MEMBER_PUT, 2, "member.put")                                                         \
    X(COMMAND_MEMBER_REMOVE, 3, "member.remove")                                                   \
    X(COMMAND_JOIN_TOKEN_PUT, 4, "join-token.put")                                                 \
    X(COMMAND_MEMBER_ANNOUNCE, 5, "member.announce")                                               \
    X(COMMAND_USER_PUT, 10, "user.put")                                                            \
    X(COMMAND_USER_DELETE, 11, "user.delete")                                                      \
    X(COMMAND_BLOB_COMMIT, 20, "blob.commit")                                                      \
    X(COMMAND_BLOB_MOUNT, 21, "blob.mount")                                                        \
    X(COMMAND_BLOB_UNLINK, 22, "blob.unlink")                                                      \
    X(COMMAND_BLOB_HOLDERS, 23, "blob.holders")                                                    \
    X(COMMAND_MANIFEST_PUT, 30, "manifest.put")                                                    \
    X(COMMAND_MANIFEST_DELETE, 31, "manifest.delete")                                              \
    X(COMMAND_TAG_DELETE, 32, "tag.delete")                                                        \
    X(COMMAND_SETTINGS_PUT, 40, "settings.put")                                                    \
    X(COMMAND_QUOTA_PUT, 41, "quota.put")                                                          \
    X(COMMAND_QUOTA_DELETE, 42, "quota.delete")                                                    \
    X(COMMAND_PIPELINE_PUT, 100, "pipeline.put")                                                   \
    X(COMMAND_PROMOTION_CREATE, 110, "promotion.create")                                           \
    X(COMMAND_PROMOTION_APPROVE, 111, "promotion.approve")                                         \
    X(COMMAND_PROMOTION_COMMIT, 112, "promotion.commit")                                           \
    X(COMMAND_PROMOTION_CANCEL, 113, "promotion.cancel")                                           \
    X(COMMAND_STATUS_PUT, 120, "status.put")                                                       \
    X(COMMAND_HOLD_PUT, 121, "hold.put")                                                           \
    X(COMMAND_HOLD_LIFT, 122, "hold.lift")                                                         \
    X(COMMAND_PROMOTION_OVERRIDE, 130, "promotion.override")                                       \
    X(COMMAND_PIPELINE_DECIDE, 131, "pipeline.decide")                                             \
    X(COMMAND_SIGNING_KEY_PUT, 140, "signing-key.put")                                             \
    X(COMMAND_DRILL_RESULT, 141, "drill.result")

enum command_kind {
#define X(id, number, name) id = (number),
    COMMAND_LIST(X)
#undef X
};

/* What a command's apply may know besides its body. */
struct command_context {
    struct catalog_txn *txn;
    uint64_t index;
    uint64_t time_ms; /* Strictly increasing from command to command. */
    struct bytes actor;
    struct bytes promotion; /* Id of the promotion that acts, for the history of tags; else empty:
                               promotion/ sets it in a copy. */
};

/* What it answers: set error and text with outcome_fail(); append one msgpack value to body for
 * more. */
struct outcome {
    enum error error;
    struct reason why;
    struct buffer body;
};

/* Also takes back every change that the command has made so far (at its end, see catalog_apply()).
 */
enum error outcome_fail(struct outcome *outcome, enum error error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A row: decodes the body and changes tables through context->txn. Pure: no clock, no randomness,
 * no I/O. An outcome with an error changes nothing: whatever was written before is undone, so that
 * a rule that is broken late cannot leave half of a command behind. A body that does not decode is
 * ERROR_INVALID (the proposer was checked before; a peer of ours never sends one). */
struct command_row {
    enum command_kind kind;
    const char *name;
    void (*apply)(const struct command_context *context, struct unpacker *body,
                  struct outcome *outcome);
    unsigned level; /* store/level.h; 0: known from the first. */
};

struct command_id {
    uint8_t bytes[COMMAND_ID_SIZE];
};

void command_id_make(struct command_id *id); /* Random. */

/* Start a command in out; the caller packs exactly one value, the body, after it. */
void command_begin(struct buffer *out, enum command_kind kind, const struct command_id *id,
                   struct bytes actor);

/* The kind of an encoded command; ERROR_INVALID when it is none. */
enum error command_kind_of(struct bytes command, enum command_kind *out) MUST_USE;
/* Append a result with an error and a sentence, as apply writes one. */
void command_result_write(struct buffer *out, enum error error, const char *text, uint64_t index,
                          struct bytes body);

/* Read a result. body is borrowed from it. ERROR_INVALID when it is not one. */
struct command_result {
    enum error error;
    struct reason why;
    uint64_t index;
    struct bytes body;
};

enum error command_result_read(struct bytes result, struct command_result *out) MUST_USE;
const char *command_name(enum command_kind kind);

#endif
