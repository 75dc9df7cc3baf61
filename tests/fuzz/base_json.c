/* Fuzz target: JSON from outside. What is taken reads the same after it was written. */
#include "base/assert.h"
#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Escapes and long numbers make the written form longer, never this much. */
#define WRITTEN_MAX ((size_t)1024 * 1024)

static void write_and_read(const json_t *value)
{
    struct buffer first, second;
    json_t *again;

    buffer_init(&first, WRITTEN_MAX);
    buffer_init(&second, WRITTEN_MAX);
    json_write(&first, value);
    CHECK(buffer_status(&first) == OK);
    if (json_parse(buffer_view(&first), WRITTEN_MAX, &again, NULL) != OK) {
        IMPOSSIBLE("what was written does not parse");
    }
    json_write(&second, again);
    CHECK(bytes_equal(buffer_view(&first), buffer_view(&second)));
    json_decref(again);
    buffer_release(&first);
    buffer_release(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = bytes_of(data, size);
    struct buffer escaped;
    struct reason why;
    json_t *value;

    if (json_parse(text, WRITTEN_MAX, &value, &why) == OK) {
        write_and_read(value);
        json_decref(value);
    }
    buffer_init(&escaped, WRITTEN_MAX);
    buffer_append_byte(&escaped, '[');
    json_escape(&escaped, text);
    buffer_append_byte(&escaped, ']');
    CHECK(buffer_status(&escaped) == OK);
    /* A NUL is escaped too, but our reader refuses it in any form. */
    if (json_parse(buffer_view(&escaped), WRITTEN_MAX, &value, &why) == OK) {
        json_decref(value);
    } else {
        CHECK(bytes_find(text, '\0') >= 0);
    }
    buffer_release(&escaped);
    return 0;
}
