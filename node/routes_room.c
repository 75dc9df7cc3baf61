#include "node/routes_room.h"

#include "base/json.h"
#include "node/api_propose.h"
#include "node/routes_promotion.h"
#include "node/worker.h"
#include "promotion/document.h"
#include "promotion/view.h"
#include "store/quota.h"
#include "store/settings.h"

#include <stdio.h>

#define NUMBER_MAX ((uint64_t)INT64_MAX)

/* A pattern: the grammar of names with stars. Empty when it is not there. */
static enum error read_glob(struct bytes text, struct bytes *out, struct reason *why)
{
    bool is_sound = text.size <= NAME_MAX_SIZE;

    for (size_t i = 0; i < text.size && is_sound; i++) {
        char c = (char)text.data[i];

        is_sound = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr("*/._-", c) != NULL;
        is_sound = is_sound && c != '\0';
    }
    if (!is_sound) {
        return fail(why, ERROR_INVALID,
                    "repositories must be a pattern of repository names such as dev/**, at most %d "
                    "bytes",
                    NAME_MAX_SIZE);
    }
    *out = text;
    return OK;
}

static enum error member_glob(const json_t *body, const char *place, struct bytes *out,
                              struct reason *why)
{
    const char *text = "";
    enum error error = document_string(body, place, "repositories", &text, why);

    return error != OK ? error : read_glob(bytes_of_string(text), out, why);
}

/* --- settings --------------------------------------------------------------------------------- */

static bool settings_visit(void *data, struct bytes glob, const struct replication_setting *setting)
{
    json_array_append_new(data, json_pack("{s:o, s:i, s:i}", "repositories", view_text(glob),
                                          "copies", (int)setting->copies, "write_quorum",
                                          (int)setting->write_quorum));
    return true;
}

static bool count_member(void *data, const struct member_record *member)
{
    (void)member;
    ++*(size_t *)data;
    return true;
}

/* What a cluster that is too small makes of the numbers; null when it does what they say. */
static json_t *notice(const struct replication_setting *setting, size_t n_members)
{
    const struct replication_setting now = setting_for_members(*setting, n_members);

    if (now.copies == setting->copies && now.write_quorum == setting->write_quorum) {
        return json_null();
    }
    return json_sprintf("the cluster has %zu member%s, so content is on %u and a push is answered "
                        "with %u durable copies; it follows by itself when nodes join",
                        n_members, n_members == 1 ? "" : "s", now.copies, now.write_quorum);
}

static void answer_settings(struct exchange *exchange)
{
    json_t *list = json_array();
    struct replication_setting setting;
    struct catalog_txn txn;
    size_t n_members = 0;

    catalog_read(exchange_worker(exchange)->catalog, &txn);
    catalog_setting(&txn, BYTES_NONE, &setting, NULL);
    catalog_settings(&txn, settings_visit, list);
    catalog_members(&txn, count_member, &n_members);
    catalog_done(&txn);
    exchange_answer_json(exchange, 200,
                         json_pack("{s:i, s:i, s:I, s:o, s:o}", "copies", (int)setting.copies,
                                   "write_quorum", (int)setting.write_quorum, "members",
                                   (json_int_t)n_members, "notice", notice(&setting, n_members),
                                   "repositories", list));
}

static void get_settings(struct exchange *exchange)
{
    promotion_read_then(exchange, answer_settings);
}

static void propose_settings(struct exchange *exchange, struct bytes glob,
                             const struct replication_setting *setting, unsigned status,
                             json_t *answer)
{
    struct buffer command = api_command();
    struct command_id id;

    command_id_make(&id);
    command_settings_put(&command, &id, exchange_actor(exchange), glob, setting);
    api_propose(exchange, &command, status, answer);
}

static enum error read_settings(struct exchange *exchange, const json_t *body, struct bytes *glob,
                                struct replication_setting *setting, size_t *n_members,
                                struct reason *why)
{
    static const char *const allowed[] = {"copies", "write_quorum", "repositories", NULL};
    static const char place[] = "the settings";
    uint64_t copies, quorum;
    struct catalog_txn txn;
    enum error error = document_check_members(body, place, allowed, NULL, why);

    if (error == OK) {
        error = member_glob(body, place, glob, why);
    }
    if (error != OK) {
        return error;
    }
    catalog_read(exchange_worker(exchange)->catalog, &txn);
    catalog_setting(&txn, *glob, setting, NULL);
    catalog_members(&txn, count_member, n_members);
    catalog_done(&txn);
    copies = setting->copies;
    quorum = setting->write_quorum;
    error = document_number(body, place, "copies", 1, COPIES_MAX, &copies, why);
    if (error == OK) {
        error = document_number(body, place, "write_quorum", 1, COPIES_MAX, &quorum, why);
    }
    *setting = (struct replication_setting){(unsigned)copies, (unsigned)quorum};
    return error;
}

static void settings_body_cb(struct exchange *exchange, struct bytes bytes)
{
    struct replication_setting setting;
    struct bytes glob = BYTES_NONE;
    struct reason why = {""};
    json_t *body = NULL;
    size_t n_members = 0;
    enum error error = json_parse(bytes, API_BODY_MAX, &body, &why);

    if (error == OK) {
        error = read_settings(exchange, body, &glob, &setting, &n_members, &why);
    }
    if (error == OK) {
        propose_settings(exchange, glob, &setting, 200,
                         json_pack("{s:o, s:i, s:i, s:o}", "repositories",
                                   glob.size > 0 ? view_text(glob) : json_null(), "copies",
                                   (int)setting.copies, "write_quorum", (int)setting.write_quorum,
                                   "notice", notice(&setting, n_members)));
    } else {
        exchange_fail(exchange, error, &why);
    }
    json_decref(body);
}

static void put_settings(struct exchange *exchange)
{
    exchange_read_body(exchange, API_BODY_MAX, settings_body_cb);
}

/* The pattern of the query; false: answered. */
static bool query_glob(struct exchange *exchange, struct bytes *glob)
{
    struct bytes text = BYTES_NONE;
    struct reason why;

    if (!exchange_query(exchange, "repositories", 0, &text) || text.size == 0) {
        exchange_fail(exchange, ERROR_INVALID,
                      &(struct reason){"name the pattern: ?repositories=dev/**"});
        return false;
    }
    if (read_glob(text, glob, &why) != OK) {
        exchange_fail(exchange, ERROR_INVALID, &why);
        return false;
    }
    return true;
}

static void delete_settings(struct exchange *exchange)
{
    static const struct replication_setting none = {0, 0};
    struct bytes glob;

    if (query_glob(exchange, &glob)) {
        propose_settings(exchange, glob, &none, 204, NULL);
    }
}

/* --- quotas ----------------------------------------------------------------------------------- */

static json_t *maximum(uint64_t number)
{
    return number == QUOTA_NONE ? json_null() : json_integer((json_int_t)number);
}

static bool quotas_visit(void *data, struct bytes glob, const struct quota *quota)
{
    json_array_append_new(
        data, json_pack("{s:o, s:o, s:o, s:I, s:I}", "repositories", view_text(glob), "max_bytes",
                        maximum(quota->max_bytes), "max_tags", maximum(quota->max_tags), "bytes",
                        (json_int_t)quota->used.bytes, "tags", (json_int_t)quota->used.tags));
    return true;
}

static void answer_quotas(struct exchange *exchange)
{
    json_t *list = json_array();
    struct catalog_txn txn;

    catalog_read(exchange_worker(exchange)->catalog, &txn);
    catalog_quotas(&txn, quotas_visit, list);
    catalog_done(&txn);
    exchange_answer_json(exchange, 200, json_pack("{s:o}", "quotas", list));
}

static void get_quotas(struct exchange *exchange)
{
    promotion_read_then(exchange, answer_quotas);
}

static enum error read_quota(const json_t *body, struct bytes *glob, struct quota *quota,
                             struct reason *why)
{
    static const char *const allowed[] = {"repositories", "max_bytes", "max_tags", NULL};
    static const char place[] = "the quota";
    enum error error = document_check_members(body, place, allowed, NULL, why);

    *quota = (struct quota){.max_bytes = QUOTA_NONE, .max_tags = QUOTA_NONE};
    if (error == OK) {
        error = member_glob(body, place, glob, why);
    }
    if (error == OK) {
        error = document_number(body, place, "max_bytes", 0, NUMBER_MAX, &quota->max_bytes, why);
    }
    if (error == OK) {
        error = document_number(body, place, "max_tags", 0, NUMBER_MAX, &quota->max_tags, why);
    }
    if (error != OK) {
        return error;
    }
    if (glob->size == 0 || (quota->max_bytes == QUOTA_NONE && quota->max_tags == QUOTA_NONE)) {
        return fail(why, ERROR_INVALID,
                    "a quota needs repositories (a pattern such as dev/**) and max_bytes, max_tags "
                    "or both");
    }
    return OK;
}

static void quota_body_cb(struct exchange *exchange, struct bytes bytes)
{
    struct bytes glob = BYTES_NONE;
    struct reason why = {""};
    struct quota quota;
    json_t *body = NULL;
    enum error error = json_parse(bytes, API_BODY_MAX, &body, &why);

    if (error == OK) {
        error = read_quota(body, &glob, &quota, &why);
    }
    if (error == OK) {
        struct buffer command = api_command();
        struct command_id id;

        command_id_make(&id);
        command_quota_put(&command, &id, exchange_actor(exchange), glob, &quota);
        api_propose(exchange, &command, 200,
                    json_pack("{s:o, s:o, s:o}", "repositories", view_text(glob), "max_bytes",
                              maximum(quota.max_bytes), "max_tags", maximum(quota.max_tags)));
    } else {
        exchange_fail(exchange, error, &why);
    }
    json_decref(body);
}

static void put_quota(struct exchange *exchange)
{
    exchange_read_body(exchange, API_BODY_MAX, quota_body_cb);
}

static void delete_quota(struct exchange *exchange)
{
    struct buffer command;
    struct command_id id;
    struct bytes glob;

    if (!query_glob(exchange, &glob)) {
        return;
    }
    command = api_command();
    command_id_make(&id);
    command_quota_delete(&command, &id, exchange_actor(exchange), glob);
    api_propose(exchange, &command, 204, NULL);
}

const struct route routes_room[] = {
    ROUTE(HTTP_GET_ | HTTP_HEAD_, "/api/v1/settings", ACCESS_LOGIN, get_settings),
    ROUTE(HTTP_PUT_, "/api/v1/settings", ACCESS_ADMIN, put_settings),
    ROUTE(HTTP_DELETE_, "/api/v1/settings", ACCESS_ADMIN, delete_settings),
    ROUTE(HTTP_GET_ | HTTP_HEAD_, "/api/v1/quotas", ACCESS_ADMIN, get_quotas),
    ROUTE(HTTP_PUT_, "/api/v1/quotas", ACCESS_ADMIN, put_quota),
    ROUTE(HTTP_DELETE_, "/api/v1/quotas", ACCESS_ADMIN, delete_quota),
    {0},
};
