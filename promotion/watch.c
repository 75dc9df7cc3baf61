#include "promotion/watch.h"

#include "base/assert.h"
#include "base/memory.h"
#include "store/changes.h"

#include <stdio.h>
#include <stdlib.h>

/* What wakes a promotion up, by the table that changed:
 *   - promotions: the list of the open ones is read again (keys alone); its own record by its key;
 *   - tables of repositories, by the names of its sources and targets;
 *   - statuses, by its images' digests;
 *   - blobs, only when it waited for copies: a blob that is lost makes nothing ready;
 *   - idle[]: nothing of it is asked by any gate;
 *   - any other table: everybody, which is right for what changes seldom (policies, users, holds,
 *     drills, members) and safe for what is not known here. */

static const enum table of_repositories[] = {TABLE_REPOSITORIES,  TABLE_LINKS,
                                             TABLE_TAGS,          TABLE_REPOSITORY_MANIFESTS,
                                             TABLE_TAG_INTERVALS, TABLE_REFERRERS};
static const enum table of_copies[] = {TABLE_BLOBS, TABLE_HOLDER_SETS, TABLE_BLOBS_BY_HOLDERS};
static const enum table idle[] = {TABLE_AUDIT,          TABLE_USAGE,     TABLE_REFERENCE_COUNTS,
                                  TABLE_TAGS_BY_DIGEST, TABLE_MANIFESTS, TABLE_PROMOTION_KEYS,
                                  TABLE_JOIN_TOKENS,    TABLE_QUOTAS,    TABLE_MEMBER_LEVELS};

#define TOPICS_MAX   ((size_t)PROMOTION_ITEMS_MAX * 3)
#define SLOTS_N      ((size_t)CHANGES_KEPT * 2) /* A power of two; half full at most. */
#define NEVER        UINT64_MAX
#define IN(list, id) is_in(list, sizeof(list) / sizeof(list)[0], id)

struct watched {
    char id[PROMOTION_ID_SIZE + 1];
    uint64_t own;     /* Topic of its own record. */
    uint64_t *topics; /* Of what it depends on. */
    size_t n_topics;
    bool waits_for_copies;
    uint64_t look_ms; /* When to look; 0: now. */
};

struct promotion_watch {
    struct catalog *catalog;
    uint64_t cursor, looks;
    struct watched *list; /* By id. */
    size_t n;
    /* Of the turn: topics that changed (0: empty slot), and what else did. */
    uint64_t *slots;
    bool is_listed, are_copies, is_all;
};

static bool is_in(const enum table *list, size_t n, enum table table)
{
    size_t i;

    for (i = 0; i < n && list[i] != table; i++) {
    }
    return i < n;
}

/* Repositories have one topic for all of their tables; never 0. */
static uint64_t topic_of(enum table table, uint64_t hash)
{
    uint64_t topic = (hash ^ (uint64_t)table) * 0x9e3779b97f4a7c15u;

    return topic != 0 ? topic : 1;
}

static uint64_t *slot_of(const struct promotion_watch *watch, uint64_t topic)
{
    size_t at = (size_t)(topic >> 32) & (SLOTS_N - 1);

    while (watch->slots[at] != 0 && watch->slots[at] != topic) {
        at = (at + 1) & (SLOTS_N - 1);
    }
    return &watch->slots[at];
}

struct promotion_watch *promotion_watch_open(struct catalog *catalog)
{
    struct promotion_watch *watch = memory_zero(sizeof *watch);

    watch->catalog = catalog;
    watch->slots = memory_zero(SLOTS_N * sizeof *watch->slots);
    return watch;
}

void promotion_watch_close(struct promotion_watch *watch)
{
    size_t i;

    for (i = 0; i < watch->n; i++) {
        free(watch->list[i].topics);
    }
    free(watch->list);
    free(watch->slots);
    free(watch);
}

uint64_t promotion_watch_looks(const struct promotion_watch *watch)
{
    return watch->looks;
}

/* --- what changed ----------------------------------------------------------------------------- */

static void visit_change(void *data, const struct change *change)
{
    struct promotion_watch *watch = data;
    uint64_t topic;

    if (change->table == TABLE_PROMOTIONS) {
        watch->is_listed = false;
        topic = topic_of(TABLE_PROMOTIONS, change->key);
    } else if (IN(of_repositories, change->table)) {
        topic = topic_of(TABLE_REPOSITORIES, change->head);
    } else if (change->table == TABLE_STATUSES) {
        topic = topic_of(TABLE_STATUSES, change->head);
    } else {
        watch->are_copies = watch->are_copies || IN(of_copies, change->table);
        watch->is_all = watch->is_all || !(IN(of_copies, change->table) || IN(idle, change->table));
        return;
    }
    *slot_of(watch, topic) = topic;
}

static bool is_woken(const struct promotion_watch *watch, const struct watched *watched)
{
    size_t i;

    if (watch->is_all || (watch->are_copies && watched->waits_for_copies)) {
        return true;
    }
    for (i = 0; i < watched->n_topics; i++) {
        if (*slot_of(watch, watched->topics[i]) != 0) {
            return true;
        }
    }
    return false;
}

static void wake(struct promotion_watch *watch, uint64_t now_ms)
{
    size_t i;

    for (i = 0; i < watch->n; i++) {
        struct watched *watched = &watch->list[i];

        if (*slot_of(watch, watched->own) != 0) {
            watched->look_ms = now_ms + WATCH_HEAD_START_MS;
        } else if (is_woken(watch, watched)) {
            watched->look_ms = 0;
        }
    }
}

/* --- the list --------------------------------------------------------------------------------- */

struct relisting {
    struct promotion_watch *watch;
    struct watched *list;
    size_t n, capacity;
    size_t old; /* Of the old list, how many were passed. */
    uint64_t now_ms;
};

static int compare_ids(const struct watched *watched, struct bytes id)
{
    return bytes_compare(bytes_of_string(watched->id), id);
}

static void watched_init(struct watched *watched, struct bytes id, uint64_t look_ms)
{
    struct table_key key;

    *watched = (struct watched){.look_ms = look_ms};
    snprintf(watched->id, sizeof watched->id, "%.*s", BYTES_ARG(id));
    table_key_init(&key);
    table_key_add(&key, BYTES_LITERAL("p"));
    table_key_add(&key, id);
    watched->own = topic_of(TABLE_PROMOTIONS, change_key(table_key_view(&key)));
}

/* Both are sorted: carry over what is still open, drop the rest, add what is new. */
static bool visit_open(void *data, struct bytes id)
{
    struct relisting *relisting = data;
    struct promotion_watch *watch = relisting->watch;

    if (relisting->n == relisting->capacity) {
        relisting->capacity = relisting->capacity * 2 + 64;
        relisting->list =
            memory_resize(relisting->list, relisting->capacity * sizeof *relisting->list);
    }
    while (relisting->old < watch->n && compare_ids(&watch->list[relisting->old], id) < 0) {
        free(watch->list[relisting->old++].topics);
    }
    if (relisting->old < watch->n && compare_ids(&watch->list[relisting->old], id) == 0) {
        relisting->list[relisting->n++] = watch->list[relisting->old++];
    } else {
        watched_init(&relisting->list[relisting->n++], id, relisting->now_ms + WATCH_HEAD_START_MS);
    }
    return true;
}

static void relist(struct promotion_watch *watch, struct catalog_txn *txn, uint64_t now_ms)
{
    struct relisting relisting = {.watch = watch, .now_ms = now_ms};

    promotion_list_open(txn, visit_open, &relisting);
    for (; relisting.old < watch->n; relisting.old++) {
        free(watch->list[relisting.old].topics);
    }
    free(watch->list);
    watch->list = relisting.list;
    watch->n = relisting.n;
    watch->is_listed = true;
}

/* --- looking ---------------------------------------------------------------------------------- */

static void note_topics(struct watched *watched, const struct promotion *promotion)
{
    uint64_t topics[TOPICS_MAX];
    struct table_key key;
    size_t n = 0, i;

    for (i = 0; i < promotion->n_items; i++) {
        const struct promotion_item *item = &promotion->items[i];

        table_key_init(&key);
        table_key_add_digest(&key, &item->root);
        topics[n++] = topic_of(TABLE_REPOSITORIES, change_head(item->source));
        topics[n++] = topic_of(TABLE_REPOSITORIES, change_head(item->target));
        topics[n++] = topic_of(TABLE_STATUSES, change_head(table_key_view(&key)));
    }
    free(watched->topics);
    watched->topics = memory_copy(topics, n * sizeof *topics);
    watched->n_topics = n;
}

/* Until when nothing will happen by itself, as far as the gates know. */
static void note_evaluation(struct watched *watched, const struct evaluation *evaluation,
                            uint64_t now_ms)
{
    size_t i;

    watched->waits_for_copies = false;
    watched->look_ms = now_ms + WATCH_LOOK_AGAIN_MS;
    for (i = 0; i < evaluation->n_gates; i++) {
        const struct gate_outcome *gate = &evaluation->gates[i];

        if (gate_result_passes(gate->result)) {
            continue;
        }
        watched->waits_for_copies = watched->waits_for_copies ||
                                    strcmp(gate->type, "replicated") == 0 ||
                                    strcmp(gate->type, "any") == 0;
        if (gate->ready_ms > now_ms && gate->ready_ms < watched->look_ms) {
            watched->look_ms = gate->ready_ms;
        }
    }
}

/* True: a commit would decide something. */
static bool look(struct catalog_txn *txn, struct watched *watched, uint64_t now_ms)
{
    struct evaluation evaluation;
    struct promotion promotion;
    bool is_due;

    if (promotion_load(txn, bytes_of_string(watched->id), &promotion) != OK) {
        watched->look_ms = NEVER; /* The next list is without it. */
        return false;
    }
    evaluate_stored(txn, &promotion, now_ms, &evaluation);
    note_topics(watched, &promotion);
    note_evaluation(watched, &evaluation, now_ms);
    promotion_release(&promotion);
    is_due = evaluation.verdict == VERDICT_READY || evaluation.verdict == VERDICT_CHANGED ||
             evaluation.verdict == VERDICT_MOVED;
    if (is_due) {
        watched->look_ms = now_ms + WATCH_TRY_AGAIN_MS;
    }
    return is_due;
}

static void look_around(struct promotion_watch *watch, struct catalog_txn *txn,
                        struct watch_turn *turn)
{
    size_t left = turn->looks, i;

    for (i = 0; i < watch->n; i++) {
        struct watched *watched = &watch->list[i];

        if (watched->look_ms <= turn->now_ms) {
            if (left == 0 || turn->n_due == turn->due_max) {
                turn->next_ms = turn->now_ms;
                return;
            }
            left--;
            watch->looks++;
            if (look(txn, watched, turn->now_ms)) {
                snprintf(turn->due[turn->n_due++], PROMOTION_ID_SIZE + 1, "%s", watched->id);
            }
        }
        turn->next_ms = watched->look_ms < turn->next_ms ? watched->look_ms : turn->next_ms;
    }
}

void promotion_watch_turn(struct promotion_watch *watch, struct watch_turn *turn)
{
    struct catalog_txn txn;

    memset(watch->slots, 0, SLOTS_N * sizeof *watch->slots);
    watch->are_copies = watch->is_all = false;
    if (!catalog_changes(watch->catalog, &watch->cursor, visit_change, watch)) {
        watch->is_all = true;
        watch->is_listed = false;
    }
    /* After the changes were read: the view has all of them. */
    catalog_read(watch->catalog, &txn);
    if (!watch->is_listed) {
        relist(watch, &txn, turn->now_ms);
    }
    wake(watch, turn->now_ms);
    turn->n_due = 0;
    turn->next_ms = turn->now_ms + WATCH_LOOK_AGAIN_MS;
    look_around(watch, &txn, turn);
    catalog_done(&txn);
}
