/* Fuzz target: commands from the log, applied to a small registry with a pipeline. Input: commands,
 * each [which row, which actor, size of the body (2 bytes, little-endian), body]. Whatever a body
 * holds, apply answers with a result; and a command that comes twice gets the same answer. */
#include "base/assert.h"
#include "tests/lib/promotion_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define COMMANDS_MAX 16

static const char *const actors[] = {"ci", "alice", "bob", "eve", "admin"};

static void apply_one(struct catalog_fixture *fixture, uint8_t row, uint8_t actor,
                      struct bytes body)
{
    struct buffer command = fixture_command(), copy = fixture_command(), result;
    struct command_id id = fixture_id(fixture);
    enum error first;

    command_begin(&command, fixture->rows[row % fixture->n_rows]->kind, &id,
                  text_of(actors[actor % (sizeof actors / sizeof actors[0])]));
    buffer_append(&command, body);
    buffer_append(&copy, buffer_view(&command));
    first = fixture_apply(fixture, &command);
    buffer_init(&result, (size_t)256 * 1024);
    buffer_append(&result, buffer_view(&fixture->result_bytes));
    CHECK(fixture_apply(fixture, &copy) == first);
    /* A command that does not decode has no id to remember it by. */
    CHECK(first == ERROR_INVALID ||
          bytes_equal(buffer_view(&result), buffer_view(&fixture->result_bytes)));
    buffer_release(&result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes rest = bytes_of(data, size);
    struct catalog_fixture fixture;
    size_t n;

    shop_open(&fixture);
    for (n = 0; n < COMMANDS_MAX && rest.size > 4; n++) {
        size_t body = rest.data[2] | (size_t)rest.data[3] << 8;

        apply_one(&fixture, rest.data[0], rest.data[1], bytes_slice(rest, 4, body));
        rest = bytes_slice(rest, 4 + body, rest.size);
    }
    fixture_release(&fixture);
    return 0;
}
