/* The next version of this program, as a test sees one: what node/command_tables.c is, and one
 * command kind of the next feature level (next.note keeps a text), with a route to use it. Linked
 * into build/caisson-next, which is not installed. */

#include "node/command_tables.h"

#include "base/memory.h"
#include "node/control.h"
#include "node/worker.h"
#include "promotion/commands.h"
#include "store/catalog.h"
#include "store/content.h"
#include "store/level.h"

#include <jansson.h>

#define NOTE_MAX   1000
#define NOTE_KIND  ((enum command_kind)99)
#define NOTE_KEY   BYTES_LITERAL("next-note")
#define NEXT_LEVEL 1000u

const char program_version[] = CAISSON_VERSION "-next";

/* --- next.note: text -------------------------------------------------------------------------- */

static void apply_note(const struct command_context *context, struct unpacker *body,
                       struct outcome *outcome)
{
    struct bytes text = unpack_string(body, NOTE_MAX);
    struct buffer value;

    if (unpack_end(body) != OK) {
        (void)outcome_fail(outcome, ERROR_INVALID, "a note is a text");
        return;
    }
    buffer_init(&value, NOTE_MAX + 8);
    pack_string(&value, text);
    table_put(context->txn, TABLE_META, NOTE_KEY, buffer_view(&value));
    buffer_release(&value);
}

static const struct command_row note_row = {NOTE_KIND, "next.note", apply_note, NEXT_LEVEL};

size_t command_tables(const struct command_row **rows, size_t rows_max)
{
    size_t n = 0, i;

    for (i = 0; i < catalog_commands_n && n < rows_max; i++) {
        rows[n++] = &catalog_commands[i];
    }
    for (i = 0; i < promotion_commands_n && n < rows_max; i++) {
        rows[n++] = &promotion_commands[i];
    }
    if (n < rows_max) {
        rows[n++] = &note_row;
    }
    return n;
}

/* --- the route -------------------------------------------------------------------------------- */

struct note {
    struct control_propose propose;
    struct exchange *exchange;
};

static void proposed_cb(struct control_propose *request, enum error status,
                        const struct command_result *result)
{
    struct note *note = request->data;
    struct exchange *exchange = note->exchange;

    if (status != OK) {
        exchange_fail(exchange, status, NULL);
    } else if (result->error != OK) {
        exchange_fail(exchange, result->error, &result->why);
    } else {
        exchange_answer_json(exchange, 200, json_pack("{s:b}", "noted", 1));
    }
    exchange_release(exchange);
}

static void body_cb(struct exchange *exchange, struct bytes body)
{
    struct note *note = memory_zero(sizeof *note);
    struct command_id id;

    exchange_set_data(exchange, note, free);
    note->exchange = exchange;
    note->propose.data = note;
    command_id_make(&id);
    buffer_init(&note->propose.bytes, COMMAND_SIZE_MAX);
    command_begin(&note->propose.bytes, NOTE_KIND, &id, BYTES_LITERAL("test"));
    pack_string(&note->propose.bytes, body);
    exchange_hold(exchange);
    control_propose(exchange_worker(exchange), &note->propose, proposed_cb);
}

static void post_note(struct exchange *exchange)
{
    exchange_read_body(exchange, NOTE_MAX, body_cb);
}

static void get_note(struct exchange *exchange)
{
    struct worker *worker = exchange_worker(exchange);
    struct catalog_txn txn;
    struct unpacker in;
    struct bytes value;

    catalog_read(worker->catalog, &txn);
    if (table_get(&txn, TABLE_META, NOTE_KEY, &value) == OK) {
        unpack_start(&in, value);
        exchange_answer(exchange, 200, "text/plain", unpack_string(&in, NOTE_MAX));
    } else {
        exchange_fail(exchange, ERROR_NOT_FOUND, NULL);
    }
    catalog_done(&txn);
}

const struct route routes_version[] = {
    {HTTP_GET_ | HTTP_HEAD_, "/api/v1/note", ACCESS_ADMIN, get_note},
    {HTTP_POST_, "/api/v1/note", ACCESS_ADMIN, post_note},
    {0},
};
