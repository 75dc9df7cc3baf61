#include "base/pack.h"

#include "base/assert.h"

#include <msgpack.h>

static int pack_write(void *out, const char *data, size_t size)
{
    buffer_append(out, bytes_of(data, size));
    return 0;
}

static msgpack_packer packer_of(struct buffer *out)
{
    msgpack_packer packer;

    msgpack_packer_init(&packer, out, pack_write);
    return packer;
}

void pack_array(struct buffer *out, size_t n)
{
    msgpack_packer packer = packer_of(out);

    msgpack_pack_array(&packer, n);
}

void pack_map(struct buffer *out, size_t n)
{
    msgpack_packer packer = packer_of(out);

    msgpack_pack_map(&packer, n);
}

void pack_uint(struct buffer *out, uint64_t value)
{
    msgpack_packer packer = packer_of(out);

    msgpack_pack_uint64(&packer, value);
}

void pack_bool(struct buffer *out, bool value)
{
    msgpack_packer packer = packer_of(out);

    if (value) {
        msgpack_pack_true(&packer);
    } else {
        msgpack_pack_false(&packer);
    }
}

void pack_nil(struct buffer *out)
{
    msgpack_packer packer = packer_of(out);

    msgpack_pack_nil(&packer);
}

void pack_string(struct buffer *out, struct bytes text)
{
    msgpack_packer packer = packer_of(out);

    msgpack_pack_str(&packer, text.size);
    msgpack_pack_str_body(&packer, text.data, text.size);
}

void pack_text(struct buffer *out, const char *text)
{
    pack_string(out, bytes_of_string(text));
}

void pack_bin(struct buffer *out, struct bytes bytes)
{
    msgpack_packer packer = packer_of(out);

    msgpack_pack_bin(&packer, bytes.size);
    msgpack_pack_bin_body(&packer, bytes.data, bytes.size);
}

void pack_digest(struct buffer *out, const struct digest *digest)
{
    uint8_t packed[DIGEST_RAW_MAX + 1];

    if (digest->algorithm == 0) {
        pack_nil(out);
    } else {
        pack_bin(out, bytes_of(packed, digest_pack(digest, packed)));
    }
}

/* --- reading --------------------------------------------------------------------------------- */

enum value_kind {
    VALUE_NIL,
    VALUE_BOOL,
    VALUE_UINT,
    VALUE_STRING,
    VALUE_BIN,
    VALUE_ARRAY,
    VALUE_MAP
};

/* The head of a value: what it is, its number or length, and how many bytes the head takes. */
struct value_head {
    enum value_kind kind;
    uint64_t number;
    size_t size;
};

void unpack_start(struct unpacker *in, struct bytes bytes)
{
    *in = (struct unpacker){.rest = bytes, .error = OK};
}

static bool head_fixed(uint8_t c, struct value_head *head)
{
    head->size = 1;
    if (c <= 0x7f) {
        head->kind = VALUE_UINT;
        head->number = c;
    } else if (c <= 0x8f) {
        head->kind = VALUE_MAP;
        head->number = c & 0x0f;
    } else if (c <= 0x9f) {
        head->kind = VALUE_ARRAY;
        head->number = c & 0x0f;
    } else if (c <= 0xbf) {
        head->kind = VALUE_STRING;
        head->number = c & 0x1f;
    } else if (c == 0xc0) {
        head->kind = VALUE_NIL;
        head->number = 0;
    } else if (c == 0xc2 || c == 0xc3) {
        head->kind = VALUE_BOOL;
        head->number = c & 1;
    } else {
        return false;
    }
    return true;
}

/* Heads whose number follows in width big-endian bytes. Floats, negative numbers and extensions are
 * not part of our formats and are refused. */
static bool head_wide(uint8_t c, struct bytes rest, struct value_head *head)
{
    static const struct {
        uint8_t code;
        uint8_t width;
        enum value_kind kind;
    } wide[] = {{0xc4, 1, VALUE_BIN},    {0xc5, 2, VALUE_BIN},    {0xc6, 4, VALUE_BIN},
                {0xcc, 1, VALUE_UINT},   {0xcd, 2, VALUE_UINT},   {0xce, 4, VALUE_UINT},
                {0xcf, 8, VALUE_UINT},   {0xd9, 1, VALUE_STRING}, {0xda, 2, VALUE_STRING},
                {0xdb, 4, VALUE_STRING}, {0xdc, 2, VALUE_ARRAY},  {0xdd, 4, VALUE_ARRAY},
                {0xde, 2, VALUE_MAP},    {0xdf, 4, VALUE_MAP}};
    size_t i, k;

    for (i = 0; i < sizeof wide / sizeof wide[0]; i++) {
        if (wide[i].code != c || rest.size < 1u + wide[i].width) {
            continue;
        }
        head->kind = wide[i].kind;
        head->size = 1u + wide[i].width;
        head->number = 0;
        for (k = 1; k < head->size; k++) {
            head->number = head->number << 8 | rest.data[k];
        }
        return true;
    }
    return false;
}

static bool head_fits(const struct value_head *head, size_t left)
{
    switch (head->kind) {
    case VALUE_STRING:
    case VALUE_BIN:
    case VALUE_ARRAY:
        return head->number <= left;
    case VALUE_MAP:
        return head->number <= left / 2;
    default:
        return true;
    }
}

static bool peek_head(struct unpacker *in, struct value_head *head)
{
    uint8_t c;

    if (in->error != OK) {
        return false;
    }
    if (in->rest.size == 0) {
        in->error = ERROR_INVALID;
        return false;
    }
    c = in->rest.data[0];
    if ((!head_fixed(c, head) && !head_wide(c, in->rest, head)) ||
        !head_fits(head, in->rest.size - head->size)) {
        in->error = ERROR_INVALID;
        return false;
    }
    return true;
}

static void advance(struct unpacker *in, size_t n)
{
    PRE(n <= in->rest.size);
    in->rest.data += n;
    in->rest.size -= n;
}

static bool take_head(struct unpacker *in, enum value_kind kind, struct value_head *head)
{
    if (!peek_head(in, head)) {
        return false;
    }
    if (head->kind != kind) {
        in->error = ERROR_INVALID;
        return false;
    }
    advance(in, head->size);
    return true;
}

size_t unpack_array(struct unpacker *in)
{
    struct value_head head;

    return take_head(in, VALUE_ARRAY, &head) ? (size_t)head.number : 0;
}

void unpack_array_of(struct unpacker *in, size_t n)
{
    if (unpack_array(in) != n && in->error == OK) {
        in->error = ERROR_INVALID;
    }
}

size_t unpack_map(struct unpacker *in)
{
    struct value_head head;

    return take_head(in, VALUE_MAP, &head) ? (size_t)head.number : 0;
}

uint64_t unpack_uint(struct unpacker *in)
{
    struct value_head head;

    return take_head(in, VALUE_UINT, &head) ? head.number : 0;
}

bool unpack_bool(struct unpacker *in)
{
    struct value_head head;

    return take_head(in, VALUE_BOOL, &head) && head.number != 0;
}

bool unpack_nil(struct unpacker *in)
{
    struct value_head head;

    if (!peek_head(in, &head) || head.kind != VALUE_NIL) {
        return false;
    }
    advance(in, head.size);
    return true;
}

static struct bytes unpack_run(struct unpacker *in, enum value_kind kind, size_t max)
{
    struct value_head head;
    struct bytes run;

    if (!take_head(in, kind, &head)) {
        return BYTES_NONE;
    }
    if (head.number > max) {
        in->error = ERROR_INVALID;
        return BYTES_NONE;
    }
    run = bytes_slice(in->rest, 0, (size_t)head.number);
    advance(in, run.size);
    return run;
}

struct bytes unpack_string(struct unpacker *in, size_t max)
{
    return unpack_run(in, VALUE_STRING, max);
}

struct bytes unpack_bin(struct unpacker *in, size_t max)
{
    return unpack_run(in, VALUE_BIN, max);
}

void unpack_digest(struct unpacker *in, struct digest *out)
{
    struct bytes packed;

    *out = (struct digest){0};
    if (unpack_nil(in)) {
        return;
    }
    packed = unpack_bin(in, DIGEST_RAW_MAX + 1);
    if (in->error == OK) {
        in->error = digest_unpack(packed, out);
    }
}

static void skip_value(struct unpacker *in, unsigned depth)
{
    struct value_head head;
    uint64_t n;

    if (depth > UNPACK_DEPTH_MAX) {
        in->error = ERROR_INVALID;
    }
    if (!peek_head(in, &head)) {
        return;
    }
    advance(in, head.size);
    switch (head.kind) {
    case VALUE_STRING:
    case VALUE_BIN:
        advance(in, (size_t)head.number);
        break;
    case VALUE_ARRAY:
    case VALUE_MAP:
        for (n = head.kind == VALUE_MAP ? head.number * 2 : head.number; n > 0 && in->error == OK;
             n--) {
            skip_value(in, depth + 1);
        }
        break;
    default:
        break;
    }
}

void unpack_skip(struct unpacker *in)
{
    skip_value(in, 0);
}

struct bytes unpack_raw(struct unpacker *in)
{
    struct bytes before = in->rest;

    unpack_skip(in);
    return in->error == OK ? bytes_slice(before, 0, before.size - in->rest.size) : BYTES_NONE;
}

enum error unpack_status(const struct unpacker *in)
{
    return in->error;
}

enum error unpack_end(const struct unpacker *in)
{
    if (in->error != OK) {
        return in->error;
    }
    return in->rest.size == 0 ? OK : ERROR_INVALID;
}
