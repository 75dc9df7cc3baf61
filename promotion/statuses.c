#include "promotion/statuses.h"

#include "base/assert.h"
#include "promotion/apply.h"
#include "promotion/audit.h"

#include <stdio.h>

/* TABLE_STATUSES: digest, context, reporter -> [state, url, description, time, until]. Contexts
 * hold no NUL, so that the key can be taken apart.
 * status.put: [digest, context, state, url, description, time to live]. */

static const char *const state_names[] = {
    [STATUS_PENDING] = "pending",
    [STATUS_SUCCESS] = "success",
    [STATUS_FAILURE] = "failure",
    [STATUS_ERROR] = "error",
};

const char *status_state_name(enum status_state state)
{
    PRE(state >= STATUS_PENDING && state <= STATUS_ERROR);
    return state_names[state];
}

bool status_state_parse(struct bytes text, enum status_state *out)
{
    unsigned state;

    for (state = STATUS_PENDING; state <= STATUS_ERROR; state++) {
        if (bytes_equal_string(text, state_names[state])) {
            *out = (enum status_state)state;
            return true;
        }
    }
    return false;
}

bool status_context_is_valid(struct bytes context)
{
    static const char allowed[] = "._-/ ";
    size_t i;

    if (context.size == 0 || context.size > STATUS_CONTEXT_MAX) {
        return false;
    }
    for (i = 0; i < context.size; i++) {
        uint8_t c = context.data[i];
        bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

        if (!is_word && memchr(allowed, c, sizeof allowed - 1) == NULL) {
            return false;
        }
    }
    return true;
}

struct listing {
    struct bytes prefix;
    status_visit visit;
    void *data;
};

static bool visit_status(void *data, struct bytes key, struct bytes value)
{
    struct listing *listing = data;
    struct status_record status;
    struct bytes rest = bytes_slice(key, listing->prefix.size, key.size);
    struct unpacker in;
    ptrdiff_t end;

    if (!bytes_starts_with(key, listing->prefix)) {
        return false;
    }
    /* The separator, the context, the separator, the reporter. */
    rest = bytes_slice(rest, 1, rest.size);
    end = bytes_find(rest, 0);
    CHECK(end > 0);
    status.context = bytes_slice(rest, 0, (size_t)end);
    status.reporter = bytes_slice(rest, (size_t)end + 1, rest.size);
    unpack_start(&in, value);
    unpack_array_of(&in, 5);
    status.state = (enum status_state)unpack_uint(&in);
    status.url = unpack_string(&in, STATUS_URL_MAX);
    status.description = unpack_string(&in, STATUS_TEXT_MAX);
    status.time_ms = unpack_uint(&in);
    status.until_ms = unpack_uint(&in);
    CHECK(unpack_end(&in) == OK);
    return listing->visit(listing->data, &status);
}

void status_list(struct catalog_txn *txn, const struct digest *digest, status_visit visit,
                 void *data)
{
    struct listing listing = {.visit = visit, .data = data};
    struct table_key key;

    table_key_init(&key);
    table_key_add_digest(&key, digest);
    listing.prefix = table_key_view(&key);
    table_scan(txn, TABLE_STATUSES, listing.prefix, visit_status, &listing);
}

void command_status_put(struct buffer *out, const struct command_id *id, struct bytes actor,
                        const struct digest *digest, struct bytes context, enum status_state state,
                        struct bytes url, struct bytes description, uint64_t ttl_ms)
{
    command_begin(out, COMMAND_STATUS_PUT, id, actor);
    pack_array(out, 6);
    pack_digest(out, digest);
    pack_string(out, context);
    pack_uint(out, state);
    pack_string(out, url);
    pack_string(out, description);
    pack_uint(out, ttl_ms);
}

static bool count_status(void *data, const struct status_record *status)
{
    (void)status;
    return ++*(size_t *)data < STATUSES_PER_DIGEST_MAX;
}

static void keep(const struct command_context *context, const struct digest *digest,
                 const struct status_record *status, struct outcome *outcome)
{
    struct table_key key;
    struct bytes before;
    struct buffer value;
    size_t n = 0;

    table_key_init(&key);
    table_key_add_digest(&key, digest);
    table_key_add(&key, status->context);
    table_key_add(&key, context->actor);
    if (table_get(context->txn, TABLE_STATUSES, table_key_view(&key), &before) != OK) {
        status_list(context->txn, digest, count_status, &n);
        if (n >= STATUSES_PER_DIGEST_MAX) {
            (void)outcome_fail(outcome, ERROR_TOO_LARGE,
                               "there are %d reports about this digest already: use the contexts "
                               "that are there",
                               STATUSES_PER_DIGEST_MAX);
            return;
        }
    }
    buffer_init(&value, STATUS_URL_MAX + STATUS_TEXT_MAX + 64);
    pack_array(&value, 5);
    pack_uint(&value, status->state);
    pack_string(&value, status->url);
    pack_string(&value, status->description);
    pack_uint(&value, context->time_ms);
    pack_uint(&value, status->until_ms);
    CHECK(buffer_status(&value) == OK);
    table_put(context->txn, TABLE_STATUSES, table_key_view(&key), buffer_view(&value));
    buffer_release(&value);
}

void apply_status_put(const struct command_context *context, struct unpacker *body,
                      struct outcome *outcome)
{
    struct status_record status = {0};
    struct blob_record blob;
    struct digest digest;
    char text[DIGEST_TEXT_MAX], name[STATUS_CONTEXT_MAX + 1] = "";
    uint64_t ttl_ms, state;

    unpack_array_of(body, 6);
    unpack_digest(body, &digest);
    status.context = unpack_string(body, STATUS_CONTEXT_MAX);
    state = unpack_uint(body);
    status.url = unpack_string(body, STATUS_URL_MAX);
    status.description = unpack_string(body, STATUS_TEXT_MAX);
    ttl_ms = unpack_uint(body);
    if (unpack_end(body) != OK || digest.algorithm == 0 || state < STATUS_PENDING ||
        state > STATUS_ERROR || !status_context_is_valid(status.context) ||
        ttl_ms > UINT64_MAX / 2) {
        (void)outcome_fail(outcome, ERROR_INVALID, "status.put does not decode");
        return;
    }
    if (catalog_blob(context->txn, &digest, &blob) != OK) {
        (void)outcome_fail(outcome, ERROR_MANIFEST_UNKNOWN,
                           "nothing with this digest was pushed: report about what is there");
        return;
    }
    status.state = (enum status_state)state;
    status.until_ms = ttl_ms > 0 ? context->time_ms + ttl_ms : 0;
    keep(context, &digest, &status, outcome);
    if (outcome->error == OK) {
        digest_format(&digest, text);
        memcpy(name, status.context.data, status.context.size);
        audit_append(context, "status.reported", BYTES_NONE, BYTES_NONE,
                     json_pack("{s:s, s:s, s:s}", "digest", text, "context", name, "state",
                               state_names[status.state]));
    }
}
