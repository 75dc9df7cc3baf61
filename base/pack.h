#ifndef BASE_PACK_H
#define BASE_PACK_H

#include "base/bytes.h"
#include "base/digest.h"
#include "base/error.h"

/* msgpack, the one binary encoding of the tree: commands, catalog records, peer frames.
 * Writing goes through msgpack-c into a buffer; the buffer's limit is checked once, at the end.
 * Reading is a cursor that allocates nothing and checks every count against the bytes that are left
 * (a 5-byte array header can ask for 2^32 values). Its first error sticks: later reads give zero
 * values, and unpack_end() reports it. */

void pack_array(struct buffer *out, size_t n);
void pack_map(struct buffer *out, size_t n);
void pack_uint(struct buffer *out, uint64_t value);
void pack_bool(struct buffer *out, bool value);
void pack_nil(struct buffer *out);
void pack_string(struct buffer *out, struct bytes text);
void pack_text(struct buffer *out, const char *text);
void pack_bin(struct buffer *out, struct bytes bytes);
/* As bin, in the packed form of base/digest.h; nil for a digest with algorithm 0. */
void pack_digest(struct buffer *out, const struct digest *digest);

#define UNPACK_DEPTH_MAX 16

struct unpacker {
    /* Private. */
    struct bytes rest;
    enum error error;
};

void unpack_start(struct unpacker *in, struct bytes bytes);
/* Number of values that follow; never more than bytes are left. */
size_t unpack_array(struct unpacker *in);
/* As unpack_array, and an error unless there are exactly n. */
void unpack_array_of(struct unpacker *in, size_t n);
size_t unpack_map(struct unpacker *in);
uint64_t unpack_uint(struct unpacker *in);
bool unpack_bool(struct unpacker *in);
/* Consumes a nil and says so, else leaves the value. */
bool unpack_nil(struct unpacker *in);
/* Borrowed from the input. unpack_string refuses bin and the reverse; over max is an error. */
struct bytes unpack_string(struct unpacker *in, size_t max);
struct bytes unpack_bin(struct unpacker *in, size_t max);
void unpack_digest(struct unpacker *in, struct digest *out);
/* Pass over one value of any kind, nested at most UNPACK_DEPTH_MAX deep. */
void unpack_skip(struct unpacker *in);
/* The bytes of the next value, passed over: for values that another room decodes. */
struct bytes unpack_raw(struct unpacker *in);
enum error unpack_status(const struct unpacker *in) MUST_USE;
/* OK if no read failed and nothing is left. ERROR_INVALID otherwise. */
enum error unpack_end(const struct unpacker *in) MUST_USE;

#endif
