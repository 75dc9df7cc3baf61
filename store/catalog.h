#ifndef STORE_CATALOG_H
#define STORE_CATALOG_H

#include "base/digest.h"
#include "store/command.h"
#include "store/table.h"

/* The catalog: what is in the registry and where, as tables that a pure apply changes.
 *
 * It is derived data. The log and its snapshots are durable, LMDB runs without its own syncs: after
 * catalog_close() (a clean stop, marked in the directory) it is opened as it was, after anything
 * else it is emptied and rebuilt. Readers: any thread, catalog_read() .. catalog_done(). Writer:
 * apply and restore, on the control thread. */

struct catalog;

/* rows: all command kinds of the program (borrowed). ERROR_IO, ERROR_FULL; ERROR_UNSUPPORTED: the
 * cluster has moved to a level that this program does not know (store/level.h). */
enum error catalog_open(const char *directory, const struct command_row *const *rows, size_t n_rows,
                        struct catalog **out, struct reason *why) MUST_USE;
/* Clean stop: sync, mark, close. */
void catalog_close(struct catalog *catalog);

/* --- as the log's machine --------------------------------------------------------------------- */

struct catalog_entry {
    uint64_t index, term, time_ms;
    const struct bytes *commands;
    size_t n;
};

/* Results that are kept for repeated command ids, those of the last commands. */
#define CATALOG_RESULTS_KEPT 65536u

/* See struct machine in raft/consensus.h; node/ adapts one to the other. */
uint64_t catalog_applied_index(struct catalog *catalog);
void catalog_apply(struct catalog *catalog, const struct catalog_entry *entry,
                   struct buffer *results);
struct catalog_view; /* A frozen view for a snapshot. */
struct catalog_view *catalog_view_open(struct catalog *catalog, uint64_t *index);
enum error catalog_view_write(struct catalog_view *view,
                              enum error (*sink)(void *sink_data, struct bytes piece),
                              void *sink_data, struct reason *why) MUST_USE;
void catalog_view_close(struct catalog_view *view);
enum error catalog_restore(struct catalog *catalog, uint64_t index,
                           enum error (*source)(void *source_data, void *out, size_t size,
                                                size_t *n),
                           void *source_data, struct reason *why) MUST_USE;

/* --- reading ---------------------------------------------------------------------------------- */

/* A consistent view of now; end it soon (pages it sees cannot be reused meanwhile). At most 1,024
 * at a time. */
void catalog_read(struct catalog *catalog, struct catalog_txn *txn);
void catalog_done(struct catalog_txn *txn);

/* Applied index and state hash (64 hex digits and NUL) of the view. */
uint64_t catalog_txn_index(struct catalog_txn *txn);
void catalog_txn_hash(struct catalog_txn *txn, char text[65]);
/* Count the hash anew over all tables; equal to catalog_txn_hash() or the catalog is damaged. */
void catalog_txn_count_hash(struct catalog_txn *txn, char text[65]);

/* Records. Strings in them are borrowed from the transaction. */

#define NAME_MAX_SIZE  200 /* Repository names; clients cap host/name at 255. */
#define TAG_MAX_SIZE   128
#define HOLDERS_MAX    16
#define REFERENCES_MAX 10000
/* Platforms are kept of indexes with at most so many entries: commands have a limit. */
#define PLATFORM_ENTRIES_MAX 1000
#define PLATFORM_TEXT_MAX    31

struct blob_record {
    uint64_t size;
    uint64_t generation;           /* Counts re-creations after a collection. */
    uint64_t holders[HOLDERS_MAX]; /* Node ids that have it durably. */
    size_t n_holders;
    uint64_t created_ms;
};

struct manifest_record {
    uint64_t size;
    struct bytes media_type;
    struct bytes artifact_type; /* Empty: none. */
    struct digest subject;      /* algorithm 0: none. */
    struct bytes annotations;   /* JSON object text, "" when none. */
    struct bytes references;    /* Packed; see manifest_references(). */
    /* Since when the repository that was asked holds it without a break: the entry's time. A second
     * push of what is there does not change it, deleting and pushing again does. */
    uint64_t since_ms;
};

enum reference_kind { REFERENCE_CONFIG, REFERENCE_LAYER, REFERENCE_MANIFEST };

/* A descriptor inside a manifest: an index's children are REFERENCE_MANIFEST when their media type
 * is a manifest's, else REFERENCE_LAYER. external: foreign layers, that nobody has to push. */
struct reference {
    enum reference_kind kind;
    struct digest digest;
    uint64_t size;
    bool external;
    /* Of an index's child: "linux/arm64/v8", as the index names it; "" when it names none, or one
     * that is longer. */
    char platform[PLATFORM_TEXT_MAX + 1];
};

struct tag_record {
    struct digest digest;
    uint64_t
        index; /* Of the entry that set it to this digest (setting it again changes nothing). */
    uint64_t time_ms;
    struct bytes actor;
};

/* How a repository may be written. Of the rules whose pattern matches, ordered by pipeline and then
 * as catalog_set_rules() got them, the first that is promotion-only, else the first: where two
 * pipelines overlap, the strict one holds. */
enum write_mode { WRITE_OPEN, WRITE_PROMOTION_ONLY };

struct write_rule {
    enum write_mode mode;
    struct bytes pipeline, stage; /* Who set it; empty for the default (open). */
};

/* These answer ERROR_REPOSITORY_UNKNOWN when there is no such repository (names out of the grammar
 * included), else ERROR_MANIFEST_UNKNOWN or ERROR_BLOB_UNKNOWN. A repository exists once content
 * was committed, mounted or put into it. */
enum error catalog_repository_exists(struct catalog_txn *txn, struct bytes repository) MUST_USE;
enum error catalog_tag(struct catalog_txn *txn, struct bytes repository, struct bytes tag,
                       struct tag_record *out) MUST_USE;
/* Of a manifest that the repository holds. */
enum error catalog_manifest(struct catalog_txn *txn, struct bytes repository,
                            const struct digest *digest, struct manifest_record *out) MUST_USE;
bool manifest_references(const struct manifest_record *manifest,
                         bool (*visit)(void *data, const struct reference *ref), void *data);
/* Does a manifest of the repository name the digest (as a child, a config or a layer)? */
bool catalog_is_referred(struct catalog_txn *txn, struct bytes repository,
                         const struct digest *digest);
/* Content of any kind by digest, whichever repository. */
enum error catalog_blob(struct catalog_txn *txn, const struct digest *digest,
                        struct blob_record *out) MUST_USE;
/* OK when repository links the blob. Manifests are not linked: see catalog_manifest(). */
enum error catalog_link(struct catalog_txn *txn, struct bytes repository,
                        const struct digest *digest) MUST_USE;
void catalog_write_rule(struct catalog_txn *txn, struct bytes repository, struct write_rule *out);

/* The history of a tag, kept for ever: one interval for each digest that it pointed at, oldest
 * first. */
struct tag_interval {
    struct digest digest;
    uint64_t from_index, from_ms;
    struct bytes from_actor, from_promotion; /* from_promotion: empty when it was a push. */
    uint64_t to_index, to_ms;                /* 0: it still does. */
    struct bytes to_actor, to_promotion;     /* Who moved or deleted it. */
};

typedef bool (*catalog_visit_interval)(void *data, struct bytes tag,
                                       const struct tag_interval *interval);
/* Of one tag, or of all tags of the repository in order of their names (tag empty). */
void catalog_tag_intervals(struct catalog_txn *txn, struct bytes repository, struct bytes tag,
                           catalog_visit_interval visit, void *data);

/* Names after last (exclusive, empty: from the start), bytewise order, while visit returns true. */
typedef bool (*catalog_visit_name)(void *data, struct bytes name);
void catalog_tags(struct catalog_txn *txn, struct bytes repository, struct bytes last,
                  catalog_visit_name visit, void *data);
void catalog_repositories(struct catalog_txn *txn, struct bytes last, catalog_visit_name visit,
                          void *data);
/* Tags of repository that point at the manifest. */
void catalog_tags_of(struct catalog_txn *txn, struct bytes repository, const struct digest *digest,
                     catalog_visit_name visit, void *data);
/* Manifests in repository whose subject is the digest. */
typedef bool (*catalog_visit_manifest)(void *data, const struct digest *digest,
                                       const struct manifest_record *manifest);
void catalog_referrers(struct catalog_txn *txn, struct bytes repository,
                       const struct digest *subject, catalog_visit_manifest visit, void *data);

/* --- replication ------------------------------------------------------------------------------ */

/* Content that the node does not hold, in an order of its own; resumes after *cursor (size 0: from
 * the start) and leaves it at the last one visited. Costs one seek for each distinct set of holders
 * and then what is visited, however many blobs there are. */
typedef bool (*catalog_visit_blob)(void *data, const struct digest *digest);
void catalog_blobs_missing(struct catalog_txn *txn, uint64_t node, struct table_key *cursor,
                           catalog_visit_blob visit, void *data);

struct replication_count {
    uint64_t blobs;            /* Content of all kinds. */
    uint64_t bytes;            /* Of one copy of each. */
    uint64_t under_replicated; /* On fewer than copies members (or than there are members). */
    uint64_t lost;             /* On no member. */
};

/* Cheap: one step for each distinct set of holders. */
void catalog_count_replication(struct catalog_txn *txn, unsigned copies,
                               struct replication_count *out);
/* Blobs that no other member than the node has. */
uint64_t catalog_count_sole(struct catalog_txn *txn, uint64_t node);
/* What the node should get: content that it does not hold, that somebody holds, and that is on
 * fewer than copies members. As cheap. */
struct lack_count {
    uint64_t blobs, bytes;
    uint64_t held_blobs, held_bytes; /* What the node has, by the log. */
};
void catalog_count_lacking(struct catalog_txn *txn, uint64_t node, unsigned copies,
                           struct lack_count *out);
/* Content of all kinds in the order of digests, after one (algorithm 0: from the start), while
 * visit returns true. */
typedef bool (*catalog_visit_record)(void *data, const struct digest *digest,
                                     const struct blob_record *blob);
void catalog_blobs(struct catalog_txn *txn, const struct digest *after, catalog_visit_record visit,
                   void *data);
/* True when the holder is a member of now: ids of those that left stay in records until these
 * change, and do not count. */
bool catalog_holder_is_live(struct catalog_txn *txn, uint64_t node);
/* The holders of a record that are members of now, in ascending order. */
size_t catalog_live_holders(struct catalog_txn *txn, const struct blob_record *blob,
                            uint64_t out[HOLDERS_MAX]);

/* Glob of repository names: '*' matches within one path component, '**' across them, the rest
 * itself. */
bool repository_glob_match(struct bytes glob, struct bytes name);
/* The grammar of the OCI distribution specification ("Pulling manifests"). */
bool repository_name_is_valid(struct bytes name);
bool tag_is_valid(struct bytes tag);

/* --- users ------------------------------------------------------------------------------------ */

enum action { ACTION_PULL = 1, ACTION_PUSH = 2, ACTION_APPROVE = 4, ACTION_ADMIN = 8 };

struct user_record {
    struct bytes name;
    struct bytes salt, hash; /* scrypt N=2^14 r=8 p=1, 16 and 32 bytes. */
    struct bytes bindings;   /* Packed: [[glob, actions], ...]. */
    uint64_t revision;       /* Grows with every change: caches compare it. */
};

enum error catalog_user(struct catalog_txn *txn, struct bytes name,
                        struct user_record *out) MUST_USE;
/* Union of the actions that the user's bindings grant on repository (admin grants all). With an
 * empty repository: what they grant on the cluster itself, which takes a glob that matches the
 * empty name, as "**" does. */
unsigned user_actions(const struct user_record *user, struct bytes repository);

/* --- members ---------------------------------------------------------------------------------- */

struct member_record {
    uint64_t id;
    struct bytes name;                                       /* "node-1". */
    struct bytes raft_address, data_address, client_address; /* "host:port" each. */
    uint64_t joined_index;                                   /* Order of joining. */
};

#define MEMBERS_MAX 16

typedef bool (*catalog_visit_member)(void *data, const struct member_record *member);
/* In the order in which they joined. */
void catalog_members(struct catalog_txn *txn, catalog_visit_member visit, void *data);
enum error catalog_member(struct catalog_txn *txn, uint64_t id, struct member_record *out) MUST_USE;

/* It was a member and left; its id never comes back. */
bool catalog_member_is_retired(struct catalog_txn *txn, uint64_t id);

struct cluster_record {
    struct bytes id; /* 32 hex digits. */
    struct bytes ca_certificate, ca_key;
};

/* Would a member.put with this token (SHA-256 of its secret, 32 bytes) be taken now? A look ahead
 * for who answers joins; apply decides. Takes the same time for any wrong one. */
bool catalog_join_token_is_good(struct catalog_txn *txn, const uint8_t sha256[32], uint64_t now_ms);
/* ERROR_NOT_FOUND before cluster.create was applied. */
enum error catalog_cluster(struct catalog_txn *txn, struct cluster_record *out) MUST_USE;

/* --- commands (encoders; bodies are documented beside each apply) ----------------------------- */

struct manifest_put {
    struct bytes repository;
    struct digest digest;
    uint64_t size;
    struct bytes media_type, artifact_type, annotations;
    struct digest subject;
    const struct reference *references;
    size_t n_references;
    const struct bytes *tags; /* All set by this one entry. */
    size_t n_tags;
    const uint64_t *holders;
    size_t n_holders;
    bool allow_missing; /* Sparse: references need not be there. */
    /* Condition on the one tag: 0 none, 1 If-None-Match: *, 2 If-Match: expected. */
    int condition;
    struct digest expected;
};

void command_manifest_put(struct buffer *out, const struct command_id *id, struct bytes actor,
                          const struct manifest_put *put);
void command_manifest_delete(struct buffer *out, const struct command_id *id, struct bytes actor,
                             struct bytes repository, const struct digest *digest);
void command_tag_delete(struct buffer *out, const struct command_id *id, struct bytes actor,
                        struct bytes repository, struct bytes tag);
void command_blob_commit(struct buffer *out, const struct command_id *id, struct bytes actor,
                         struct bytes repository, const struct digest *digest, uint64_t size,
                         const uint64_t *holders, size_t n_holders);
/* from empty: any repository that the actor's node says it may read was checked before proposing.
 */
void command_blob_mount(struct buffer *out, const struct command_id *id, struct bytes actor,
                        struct bytes repository, struct bytes from, const struct digest *digest);
void command_blob_unlink(struct buffer *out, const struct command_id *id, struct bytes actor,
                         struct bytes repository, const struct digest *digest);
void command_blob_holders(struct buffer *out, const struct command_id *id, uint64_t node,
                          const struct digest *digests, size_t n, bool present);
void command_user_put(struct buffer *out, const struct command_id *id, struct bytes actor,
                      struct bytes name, struct bytes salt, struct bytes hash,
                      struct bytes bindings);
void command_user_delete(struct buffer *out, const struct command_id *id, struct bytes actor,
                         struct bytes name);
void command_member_put(struct buffer *out, const struct command_id *id, struct bytes actor,
                        const struct member_record *member, struct bytes join_token_sha256);
void command_member_remove(struct buffer *out, const struct command_id *id, struct bytes actor,
                           uint64_t member);
void command_join_token_put(struct buffer *out, const struct command_id *id, struct bytes actor,
                            struct bytes token_sha256, uint64_t expires_ms, uint64_t uses);
void command_cluster_create(struct buffer *out, const struct command_id *id,
                            const struct cluster_record *cluster, const struct member_record *first,
                            const struct user_record *admin);

/* store/'s rows of the command table. */
extern const struct command_row catalog_commands[];
extern const size_t catalog_commands_n;

/* --- for promotion/, inside its own apply ----------------------------------------------------- */

/* Link content into a repository, whatever its write rule says. Idempotent. Content that the
 * registry does not have (foreign layers, what a sparse manifest lacks) is passed over: that a
 * closure is complete is promotion/'s to check. catalog_force_manifest() does not link what the
 * manifest refers to; catalog_force_tag() needs the manifest to be in the repository. */
void catalog_force_link(struct catalog_txn *txn, struct bytes repository,
                        const struct digest *digest, uint64_t time_ms);
void catalog_force_manifest(struct catalog_txn *txn, struct bytes repository,
                            const struct digest *digest, const struct command_context *context,
                            struct bytes source_repository);
void catalog_force_tag(struct catalog_txn *txn, struct bytes repository, struct bytes tag,
                       const struct digest *digest, const struct command_context *context);
/* Replace all rules of a pipeline by patterns[i] -> (modes[i], stages[i]). */
void catalog_set_rules(struct catalog_txn *txn, struct bytes pipeline, const struct bytes *patterns,
                       const struct bytes *stages, const enum write_mode *modes, size_t n);

#endif
