#include "node/scrub_state.h"

#include "base/durable.h"
#include "base/pack.h"

#define STATE_VERSION  1
#define STATE_SIZE_MAX 4096

static void pass_pack(struct buffer *out, const struct scrub_pass *pass)
{
    pack_array(out, 6);
    pack_uint(out, pass->started_ms);
    pack_uint(out, pass->finished_ms);
    pack_uint(out, pass->blobs);
    pack_uint(out, pass->bytes);
    pack_uint(out, pass->bad);
    pack_uint(out, pass->missing);
}

static void pass_unpack(struct unpacker *in, struct scrub_pass *out)
{
    unpack_array_of(in, 6);
    out->started_ms = unpack_uint(in);
    out->finished_ms = unpack_uint(in);
    out->blobs = unpack_uint(in);
    out->bytes = unpack_uint(in);
    out->bad = unpack_uint(in);
    out->missing = unpack_uint(in);
}

void scrub_state_load(const char *directory, struct scrub_state *out)
{
    struct buffer content;
    struct unpacker in;

    *out = (struct scrub_state){0};
    if (durable_read(directory, "scrub", STATE_SIZE_MAX, &content, NULL) == OK) {
        unpack_start(&in, buffer_view(&content));
        unpack_array_of(&in, 6);
        if (unpack_uint(&in) == STATE_VERSION) {
            out->is_running = unpack_bool(&in);
            out->rate = unpack_uint(&in);
            unpack_digest(&in, &out->cursor);
            pass_unpack(&in, &out->pass);
            pass_unpack(&in, &out->last);
        }
        if (unpack_end(&in) != OK) {
            *out = (struct scrub_state){0};
        }
    }
    buffer_release(&content);
}

enum error scrub_state_save(const char *directory, const struct scrub_state *state,
                            struct reason *why)
{
    struct buffer content;
    enum error rv;

    buffer_init(&content, STATE_SIZE_MAX);
    pack_array(&content, 6);
    pack_uint(&content, STATE_VERSION);
    pack_bool(&content, state->is_running);
    pack_uint(&content, state->rate);
    pack_digest(&content, &state->cursor);
    pass_pack(&content, &state->pass);
    pass_pack(&content, &state->last);
    rv = durable_write(directory, "scrub", 0600, buffer_view(&content), why);
    buffer_release(&content);
    return rv;
}
