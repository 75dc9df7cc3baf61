#ifndef NODE_BLOB_SERVE_H
#define NODE_BLOB_SERVE_H

#include "base/digest.h"
#include "node/http.h"
#include "store/catalog.h"

/* Answers GET and HEAD of one content by digest: headers, conditions and one byte range as in the
 * OCI distribution specification and RFC 9110 (sections 13, 14), then the bytes. Up to
 * BLOB_CHECKED_MAX bytes are checked against the digest before the first one leaves. */

#define BLOB_CHECKED_MAX (1024u * 1024)

struct blob_range {
    uint64_t first, length;
    bool is_partial;
};

/* OK: out is the part, or the whole when there is no (usable) range in header. ERROR_RANGE: 416. */
enum error blob_range_read(struct bytes header, uint64_t size, struct blob_range *out) MUST_USE;
/* Does an If-None-Match or If-Match list name the digest (quoted, bare, weak, or "*")? */
bool etag_list_names(struct bytes header, const char *digest);
/* Is this If-Range the digest as one strong tag? A list, "*", a weak tag, a bare one and a date are
 * not: the client then gets the whole content (RFC 9110, 13.1.5). */
bool etag_is_exactly(struct bytes header, const char *digest);

struct blob_serve;

/* record: size, and the holders to ask when there is no local copy. local_only: 404 then. */
void blob_serve(struct exchange *exchange, const struct digest *digest,
                const struct blob_record *record, bool local_only);

/* --- for node/blob_fetch.c -------------------------------------------------------------------- */

struct blob_serve {
    struct exchange *exchange;
    struct worker *worker;
    struct digest digest;
    struct blob_record record;
    struct blob_range range;
    bool local_only;
    void *work; /* What is under way. */
};

/* Headers of the answer are set; start it. */
void blob_serve_begin(struct blob_serve *serve);
/* The whole (checked) content is in memory: answer with the asked part, and let go. */
void blob_serve_content(struct blob_serve *serve, struct bytes content);
/* Nobody has it, or it broke: answer, or cut what was started; and let go. */
void blob_serve_fail(struct blob_serve *serve, enum error error, const struct reason *why);
void blob_serve_over(struct blob_serve *serve);
/* Stream it from a holder. */
void blob_fetch_start(struct blob_serve *serve);

#endif
