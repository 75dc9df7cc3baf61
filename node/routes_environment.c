#include "base/clock.h"
#include "base/json.h"
#include "node/routes_history.h"
#include "node/routes_promotion.h"
#include "node/worker.h"
#include "promotion/policy.h"

/* What is in a stage, what was in it, and how two stages differ. */

struct inventory {
    struct exchange *exchange;
    struct bytes repository; /* The last one seen. */
    json_t *repositories, *tags;
    bool is_visible;
};

static json_t *start_repository(struct inventory *inventory, struct bytes repository)
{
    json_t *tags = json_array();

    json_array_append_new(inventory->repositories,
                          json_pack("{s:o, s:o}", "name", view_text(repository), "tags", tags));
    return tags;
}

static bool visit_tag(void *data, struct bytes repository, struct bytes tag,
                      const struct tag_interval *interval)
{
    struct inventory *inventory = data;

    if (!bytes_equal(repository, inventory->repository)) {
        inventory->repository = repository;
        inventory->is_visible = exchange_may(inventory->exchange, ACTION_PULL, repository);
        inventory->tags = inventory->is_visible ? start_repository(inventory, repository) : NULL;
    }
    if (inventory->is_visible) {
        json_array_append_new(inventory->tags,
                              json_pack("{s:o, s:o, s:o, s:o, s:o}", "name", view_text(tag),
                                        "digest", view_digest(&interval->digest), "since",
                                        view_time(interval->from_ms), "by",
                                        view_text(interval->from_actor), "promotion",
                                        view_text(interval->from_promotion)));
    }
    return true;
}

/* The moment that the query names: now, unless it has revision, index or at. */
enum error environment_read_moment(struct exchange *exchange, struct catalog_txn *txn,
                                   const struct pipeline *pipeline, const struct stage *stage,
                                   struct environment_moment *out, struct reason *why)
{
    struct bytes value;
    uint64_t number;

    *out = (struct environment_moment){.is_now = true};
    if (exchange_query(exchange, "revision", 0, &value)) {
        if (bytes_to_uint(value, &number) != OK) {
            return fail(why, ERROR_INVALID, "revision must be a number");
        }
        return environment_of_revision(txn, pipeline, stage, number, out, why);
    }
    if (exchange_query(exchange, "index", 0, &value)) {
        out->is_now = false;
        return bytes_to_uint(value, &out->index) == OK
                   ? OK
                   : fail(why, ERROR_INVALID, "index must be a number");
    }
    if (exchange_query(exchange, "at", 0, &value)) {
        out->is_now = false;
        if (clock_parse(value, &out->time_ms) != OK || out->time_ms == 0) {
            return fail(why, ERROR_INVALID,
                        "at must be a time in UTC such as 2026-11-23T18:00:00Z");
        }
    }
    return OK;
}

static void answer_stage(struct exchange *exchange, struct catalog_txn *txn,
                         const struct pipeline *pipeline, const struct stage *stage)
{
    struct inventory inventory = {.exchange = exchange};
    struct environment_moment moment;
    struct reason why = {""};
    uint64_t index = catalog_txn_index(txn);
    uint64_t revision = promotion_stage_revision(txn, bytes_of_string(pipeline->name),
                                                 bytes_of_string(stage->name));
    enum error error = environment_read_moment(exchange, txn, pipeline, stage, &moment, &why);

    if (error != OK) {
        exchange_fail(exchange, error, &why);
        return;
    }
    inventory.repositories = json_array();
    environment_walk(txn, stage, &moment, visit_tag, &inventory);
    exchange_set_header(exchange, "X-Raft-Index", "%llu", (unsigned long long)index);
    exchange_answer_json(exchange, 200,
                         json_pack("{s:s, s:s, s:I, s:I, s:o}", "pipeline", pipeline->name, "stage",
                                   stage->name, "revision", (json_int_t)revision, "raft_index",
                                   (json_int_t)index, "repositories", inventory.repositories));
}

/* --- the difference --------------------------------------------------------------------------- */

struct comparison {
    struct exchange *exchange;
    struct catalog_txn *txn;
    const struct stage *from, *to;
    bool is_back; /* Walking to, for what from lacks. */
    json_t *differences;
};

static json_t *image_json(const struct digest *digest, uint64_t since_ms)
{
    return digest->algorithm == 0 ? json_null()
                                  : json_pack("{s:o, s:o}", "digest", view_digest(digest), "since",
                                              view_time(since_ms));
}

static void add_difference(struct comparison *comparison, struct bytes from, struct bytes to,
                           struct bytes tag, const struct tag_interval *here,
                           const struct tag_record *there)
{
    struct tag_record side = {.digest = here->digest, .time_ms = here->from_ms};
    const struct tag_record *left = comparison->is_back ? there : &side;
    const struct tag_record *right = comparison->is_back ? &side : there;

    json_array_append_new(comparison->differences,
                          json_pack("{s:o, s:o, s:o, s:o, s:o}", "from", view_text(from), "to",
                                    view_text(to), "tag", view_text(tag), "left",
                                    image_json(&left->digest, left->time_ms), "right",
                                    image_json(&right->digest, right->time_ms)));
}

static bool visit_side(void *data, struct bytes repository, struct bytes tag,
                       const struct tag_interval *interval)
{
    struct comparison *comparison = data;
    const struct stage *here = comparison->is_back ? comparison->to : comparison->from;
    const struct stage *there = comparison->is_back ? comparison->from : comparison->to;
    struct tag_record record = {0};
    struct buffer name;
    struct bytes other;
    bool is_there;

    buffer_init(&name, NAME_MAX_SIZE);
    if (repository_pattern_map(&here->repos, &there->repos, repository, &name, NULL) != OK) {
        buffer_release(&name);
        return true;
    }
    other = buffer_view(&name);
    is_there = catalog_tag(comparison->txn, other, tag, &record) == OK;
    if (!is_there) {
        record = (struct tag_record){0};
    }
    /* What both have is met on the way there. */
    if ((!is_there || (!comparison->is_back && !digest_equal(&record.digest, &interval->digest))) &&
        exchange_may(comparison->exchange, ACTION_PULL, repository) &&
        exchange_may(comparison->exchange, ACTION_PULL, other)) {
        add_difference(comparison, comparison->is_back ? other : repository,
                       comparison->is_back ? repository : other, tag, interval, &record);
    }
    buffer_release(&name);
    return true;
}

static void compare(struct exchange *exchange, struct catalog_txn *txn,
                    const struct pipeline *pipeline, const struct stage *from,
                    const struct stage *to)
{
    static const struct environment_moment now = {.is_now = true};
    struct comparison comparison = {
        .exchange = exchange, .txn = txn, .from = from, .to = to, .differences = json_array()};

    environment_walk(txn, from, &now, visit_side, &comparison);
    comparison.is_back = true;
    environment_walk(txn, to, &now, visit_side, &comparison);
    exchange_set_header(exchange, "X-Raft-Index", "%llu",
                        (unsigned long long)catalog_txn_index(txn));
    exchange_answer_json(exchange, 200,
                         json_pack("{s:s, s:s, s:s, s:o}", "pipeline", pipeline->name, "from",
                                   from->name, "to", to->name, "differences",
                                   comparison.differences));
}

/* --- both ------------------------------------------------------------------------------------- */

/* The stage that name says; NULL after an answer. */
static const struct stage *find_stage(struct exchange *exchange, const struct pipeline *pipeline,
                                      struct bytes name)
{
    const struct stage *stage = pipeline_stage(pipeline, name);
    char names[400];

    if (stage == NULL) {
        pipeline_stage_names(pipeline, names, sizeof names);
        exchange_fail_as(exchange, 404, "NOT_FOUND", NULL, "stages of pipeline %s: %s",
                         pipeline->name, names);
    }
    return stage;
}

static void answer_of_pipeline(struct exchange *exchange, struct catalog_txn *txn,
                               const struct pipeline *pipeline)
{
    struct bytes stage = exchange_parameter(exchange, "stage"), from = BYTES_NONE, to = BYTES_NONE;
    const struct stage *first, *second;

    if (stage.size > 0) {
        first = find_stage(exchange, pipeline, stage);
        if (first != NULL) {
            answer_stage(exchange, txn, pipeline, first);
        }
        return;
    }
    (void)exchange_query(exchange, "from", 0, &from);
    (void)exchange_query(exchange, "to", 0, &to);
    first = find_stage(exchange, pipeline, from);
    second = first != NULL ? find_stage(exchange, pipeline, to) : NULL;
    if (second != NULL) {
        compare(exchange, txn, pipeline, first, second);
    }
}

static void answer(struct exchange *exchange)
{
    struct pipeline *pipeline = NULL;
    struct catalog_txn txn;
    struct bytes name;
    struct reason why = {""};
    enum error error;

    if (!exchange_query(exchange, "pipeline", 0, &name)) {
        exchange_fail_as(exchange, 400, "INVALID", NULL, "say which pipeline: ?pipeline=NAME");
        return;
    }
    catalog_read(exchange_worker(exchange)->catalog, &txn);
    error = policy_load(&txn, name, &pipeline, &why);
    if (error == OK) {
        answer_of_pipeline(exchange, &txn, pipeline);
        pipeline_release(pipeline);
    } else {
        exchange_fail(exchange, error, &why);
    }
    catalog_done(&txn);
}

void environment_get(struct exchange *exchange)
{
    promotion_read_then(exchange, answer);
}

bool stage_view_open(struct exchange *exchange, struct catalog_txn *txn, struct pipeline **pipeline,
                     const struct stage **stage)
{
    struct bytes name;
    struct reason why = {""};
    enum error error;

    if (!exchange_query(exchange, "pipeline", 0, &name)) {
        exchange_fail_as(exchange, 400, "INVALID", NULL, "say which pipeline: ?pipeline=NAME");
        return false;
    }
    catalog_read(exchange_worker(exchange)->catalog, txn);
    error = policy_load(txn, name, pipeline, &why);
    if (error != OK) {
        exchange_fail(exchange, error, &why);
        catalog_done(txn);
        return false;
    }
    *stage = find_stage(exchange, *pipeline, exchange_parameter(exchange, "stage"));
    if (*stage == NULL) {
        stage_view_close(txn, *pipeline);
    }
    return *stage != NULL;
}

void stage_view_close(struct catalog_txn *txn, struct pipeline *pipeline)
{
    pipeline_release(pipeline);
    catalog_done(txn);
}
