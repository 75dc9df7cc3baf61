/* Fuzz target: a request on the wire, its head and its body. However the body is cut into pieces,
 * it must be the same body and end at the same byte: else two readers would disagree about where
 * the next request begins. */
#include "base/assert.h"
#include "node/http_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reading {
    enum error error;
    size_t used;
    bool is_complete;
    struct buffer body;
};

/* Pieces of at most step bytes. */
static void read_request(struct bytes head, struct bytes rest, size_t step, struct reading *out)
{
    struct http_message message;
    struct reason why;
    unsigned status;

    *out = (struct reading){0};
    buffer_init(&out->body, rest.size + 1);
    out->error = http_message_open(&message, head, &status, &why);
    if (out->error != OK) {
        CHECK(status >= 400 && status < 600);
        return;
    }
    while (out->error == OK && !message.is_complete && out->used < rest.size) {
        size_t n = rest.size - out->used < step ? rest.size - out->used : step, consumed = 0;
        struct bytes piece = BYTES_NONE;

        out->error =
            http_message_body(&message, bytes_slice(rest, out->used, n), &consumed, &piece, &why);
        if (out->error == OK) {
            CHECK(consumed <= n && (consumed > 0 || piece.size > 0 || message.is_complete));
            out->used += consumed;
            buffer_append(&out->body, piece);
        }
    }
    out->is_complete = message.is_complete;
    http_message_release(&message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes input = bytes_of(data, size), head, rest;
    struct reading whole, cut;
    struct reason why;
    unsigned status = 0;
    size_t head_size = 0;

    if (http_message_find_head(input, &head_size, &status, &why) != OK || head_size == 0) {
        return 0;
    }
    CHECK(head_size <= size);
    head = bytes_slice(input, 0, head_size);
    rest = bytes_slice(input, head_size, size);
    read_request(head, rest, size, &whole);
    read_request(head, rest, 1, &cut);
    CHECK(whole.error == cut.error);
    if (whole.error == OK) {
        CHECK(whole.is_complete == cut.is_complete && whole.used == cut.used);
        CHECK(bytes_equal(buffer_view(&whole.body), buffer_view(&cut.body)));
    }
    buffer_release(&whole.body);
    buffer_release(&cut.body);
    return 0;
}
