#include "store/command.h"

#include "base/random.h"

#include <stdarg.h>
#include <stdio.h>

enum error outcome_fail(struct outcome *outcome, enum error error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(outcome->why.text, sizeof outcome->why.text, format, args);
    va_end(args);
    outcome->error = error;
    return error;
}

void command_id_make(struct command_id *id)
{
    random_bytes(id->bytes, sizeof id->bytes);
}

void command_begin(struct buffer *out, enum command_kind kind, const struct command_id *id,
                   struct bytes actor)
{
    pack_array(out, 5);
    pack_uint(out, COMMAND_VERSION);
    pack_uint(out, (uint64_t)kind);
    pack_bin(out, bytes_of(id->bytes, sizeof id->bytes));
    pack_string(out, actor);
}

enum error command_kind_of(struct bytes command, enum command_kind *out)
{
    struct unpacker in;
    uint64_t kind;

    unpack_start(&in, command);
    unpack_array_of(&in, 5);
    (void)unpack_uint(&in);
    kind = unpack_uint(&in);
    if (unpack_status(&in) != OK || kind > INT32_MAX) {
        return ERROR_INVALID;
    }
    *out = (enum command_kind)kind;
    return OK;
}

void command_result_write(struct buffer *out, enum error error, const char *text, uint64_t index,
                          struct bytes body)
{
    pack_array(out, 4);
    pack_text(out, error_name(error));
    pack_text(out, text);
    pack_uint(out, index);
    if (body.size > 0) {
        buffer_append(out, body);
    } else {
        pack_nil(out);
    }
}

static enum error error_of_name(struct bytes name, enum error *out)
{
    unsigned i;

    for (i = 0; i < ERROR_N; i++) {
        if (bytes_equal_string(name, error_name((enum error)i))) {
            *out = (enum error)i;
            return OK;
        }
    }
    return ERROR_INVALID;
}

enum error command_result_read(struct bytes result, struct command_result *out)
{
    struct unpacker in;
    struct bytes name, text;

    *out = (struct command_result){.error = ERROR_INVALID};
    unpack_start(&in, result);
    unpack_array_of(&in, 4);
    name = unpack_string(&in, 64);
    text = unpack_string(&in, sizeof out->why.text - 1);
    out->index = unpack_uint(&in);
    out->body = unpack_raw(&in);
    if (unpack_end(&in) != OK) {
        return ERROR_INVALID;
    }
    if (text.size > 0) {
        memcpy(out->why.text, text.data, text.size);
    }
    out->why.text[text.size] = '\0';
    return error_of_name(name, &out->error);
}

const char *command_name(enum command_kind kind)
{
    switch (kind) {
#define X(id, number, name)                                                                        \
    case id:                                                                                       \
        return name;
        COMMAND_LIST(X)
#undef X
    }
    return "unknown";
}
