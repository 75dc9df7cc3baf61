#include "tests/sim/world/checks.h"

#include "base/assert.h"
#include "base/memory.h"
#include "promotion/promotion.h"
#include "raft/core.h"
#include "tests/sim/world/engine.h"
#include "tests/sim/world/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct checks *checks_of(void)
{
    return &world_current()->checks;
}

void checks_reset(struct checks *checks)
{
    struct applied *applied = checks->applied;

    if (applied == NULL) {
        applied = memory_zero(CHECK_INDEXES_MAX * sizeof *applied);
    }
    for (uint64_t i = 0; i <= checks->highest; i++) {
        applied[i].hash[0] = '\0';
    }
    memset(checks, 0, sizeof *checks);
    checks->applied = applied;
}

void violation(const char *format, ...)
{
    struct checks *checks = checks_of();
    va_list args;

    if (checks->is_violated) {
        return;
    }
    checks->is_violated = true;
    va_start(args, format);
    vsnprintf(checks->text, sizeof checks->text, format, args);
    va_end(args);
    trace_line("VIOLATION: %s", checks->text);
}

/* --- while it runs --------------------------------------------------------------------------- */

void check_applied(struct host *host)
{
    struct checks *checks = checks_of();
    struct catalog_txn txn;
    struct applied *at;
    uint64_t index;
    char hash[65];

    catalog_read(host->catalog, &txn);
    index = catalog_txn_index(&txn);
    catalog_txn_hash(&txn, hash);
    catalog_done(&txn);
    CHECK(index < CHECK_INDEXES_MAX);
    if (index <= host->last_applied) {
        violation("h%u applied index %llu after %llu", host->number, (unsigned long long)index,
                  (unsigned long long)host->last_applied);
    }
    host->last_applied = index;
    at = &checks->applied[index];
    engine_trace_add(index ^ (uint64_t)(uint8_t)hash[0] << 40);
    if (at->hash[0] == '\0') {
        memcpy(at->hash, hash, sizeof hash);
        checks->highest = index > checks->highest ? index : checks->highest;
    } else if (memcmp(at->hash, hash, sizeof hash) != 0 &&
               host->world->bug != BUG_STATE_DIFFERS /* The product itself must see that one. */) {
        violation("I-10: h%u has another state at index %llu than the first that applied it",
                  host->number, (unsigned long long)index);
    }
}

void check_turn(struct host *host)
{
    struct checks *checks = checks_of();
    uint64_t term;

    if (host->consensus == NULL || host->consensus->raft.state != RAFT_LEADER) {
        return;
    }
    term = host->consensus->raft.current_term;
    CHECK(term < CHECK_TERMS_MAX);
    if (checks->leaders[term] == 0) {
        checks->leaders[term] = host->node_id;
    } else if (checks->leaders[term] != host->node_id) {
        violation("I-10: nodes %llu and %llu both lead in term %llu",
                  (unsigned long long)checks->leaders[term], (unsigned long long)host->node_id,
                  (unsigned long long)term);
    }
}

void check_stop(struct host *host, const char *why)
{
    if (!host->may_stop) {
        violation("h%u stopped itself without a reason: %s", host->number, why);
    }
}

/* --- at the end ------------------------------------------------------------------------------ */

bool check_agree(void)
{
    struct world *world = world_current();
    uint64_t index = 0;

    for (unsigned i = 0; i < world->n_hosts; i++) {
        struct host *host = &world->hosts[i];
        uint64_t applied = 0;

        if (host->is_up && host->consensus != NULL) {
            applied = raft_last_applied(&host->consensus->raft);
        }
        index = i == 0 ? applied : index;
        if (applied != index || applied < world->checks.highest) {
            return false;
        }
    }
    return true;
}

struct tag_count {
    const struct digest *digest;
    unsigned n;
};

static bool count_interval(void *data, struct bytes tag, const struct tag_interval *interval)
{
    struct tag_count *count = data;

    (void)tag;
    count->n += digest_equal(&interval->digest, count->digest);
    return true;
}

/* Every acknowledged push is in the tag's history, once; what was refused is not. */
static void check_pushes(struct catalog_txn *txn)
{
    const struct clients *clients = &world_current()->clients;

    for (size_t i = 0; i < clients->n; i++) {
        struct operation *operation = &clients->operations[i];
        struct tag_count count = {.digest = &operation->digest};
        bool is_done = operation->outcome == OUTCOME_DONE;

        if (operation->kind > OPERATION_PUT_MATCH) {
            continue;
        }
        catalog_tag_intervals(txn, bytes_of_string(DEV_REPOSITORY),
                              bytes_of_string(tag_names[operation->tag]), count_interval, &count);
        operation->is_in_history = count.n > 0;
        if (is_done && operation->error == OK && count.n == 0) {
            violation("lost: value %llu of %s was acknowledged",
                      (unsigned long long)operation->value, tag_names[operation->tag]);
        } else if (count.n > 1) {
            violation("twice: value %llu of %s was set %u times",
                      (unsigned long long)operation->value, tag_names[operation->tag], count.n);
        } else if (is_done && operation->error != OK && count.n > 0) {
            violation("refused with %s and yet done: value %llu of %s",
                      error_name(operation->error), (unsigned long long)operation->value,
                      tag_names[operation->tag]);
        }
    }
}

struct promoted {
    struct catalog_txn *txn;
    char ids[PROMOTIONS_MAX * 16][32];
    size_t n;
};

static bool check_promoted(void *data, struct bytes tag, const struct tag_interval *interval)
{
    struct promoted *seen = data;
    struct promotion promotion;
    char id[32];

    (void)tag;
    snprintf(id, sizeof id, "%.*s", BYTES_ARG(interval->from_promotion));
    if (promotion_load(seen->txn, interval->from_promotion, &promotion) != OK) {
        violation("I-12: a tag of %s was set by no promotion (\"%s\")", PROD_REPOSITORY, id);
        return false;
    }
    if (promotion.state != PROMOTION_COMMITTED || promotion.n_approvals == 0) {
        violation("I-12: promotion %s set a tag, is %s and has %zu approvals", id,
                  promotion_state_name(promotion.state), promotion.n_approvals);
    }
    promotion_release(&promotion);
    for (size_t i = 0; i < seen->n; i++) {
        if (strcmp(seen->ids[i], id) == 0) {
            violation("I-13: promotion %s set a tag twice", id);
        }
    }
    if (seen->n < sizeof seen->ids / sizeof *seen->ids) {
        snprintf(seen->ids[seen->n++], sizeof id, "%s", id);
    }
    return true;
}

static void check_cases(struct catalog_txn *txn)
{
    const struct clients *clients = &world_current()->clients;
    bool has[PROMOTIONS_MAX] = {false};

    for (unsigned i = 0; i < clients->n_promotions; i++) {
        const struct promotion_case *wanted = &clients->promotions[i];
        struct promotion promotion;
        char id[32];

        promotion_id(i, id);
        if (promotion_load(txn, bytes_of_string(id), &promotion) != OK) {
            /* Never asked for, or another one has its key. */
            if (wanted->is_committed) {
                violation("I-13: promotion %s was committed and is not there", id);
            }
            continue;
        }
        if (wanted->is_committed && promotion.state != PROMOTION_COMMITTED) {
            violation("I-13: promotion %s was committed and is %s", id,
                      promotion_state_name(promotion.state));
        }
        if (has[wanted->key]) {
            violation("I-13: there are two promotions of key %u", wanted->key);
        }
        has[wanted->key] = true;
        promotion_release(&promotion);
    }
}

void check_end(void)
{
    struct world *world = world_current();
    struct catalog_txn txn;
    char text[400], kept[65], counted[65];

    catalog_read(world->hosts[0].catalog, &txn);
    check_pushes(&txn);
    for (unsigned i = 0; i < TAGS; i++) {
        struct promoted promoted = {.txn = &txn, .n = 0};

        catalog_tag_intervals(&txn, bytes_of_string(PROD_REPOSITORY), bytes_of_string(tag_names[i]),
                              check_promoted, &promoted);
    }
    check_cases(&txn);
    catalog_txn_hash(&txn, kept);
    catalog_txn_count_hash(&txn, counted);
    if (strcmp(kept, counted) != 0) {
        violation("the state hash that is kept is not that of the tables");
    }
    catalog_done(&txn);
    if (!tags_are_linearizable(text, sizeof text)) {
        violation("%s", text);
    }
}
