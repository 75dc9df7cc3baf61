#include "base/json.h"
#include "node/consistency.h"
#include "node/routes_manifests.h"
#include "node/worker.h"
#include "store/catalog.h"

#include <ctype.h>

/* Manifests whose subject is a digest, as an image index; always 200, an unknown repository or
 * digest has none. Pages end at about a megabyte (annotations can be large); "last" in the Link is
 * the digest where the next page starts after. */

#define PAGE_BYTES (1024u * 1024)
#define BODY_MAX   (PAGE_BYTES + 1024u * 1024)
#define INDEX_TYPE "application/vnd.oci.image.index.v1+json"

struct referrers {
    struct exchange *exchange;
    struct buffer body;
    bool has_last, has_more;
    struct digest last; /* Where the page before ended, then where this one does. */
    size_t n;
};

/* In the order of the catalog: packed bytes. */
static int digest_order(const struct digest *a, const struct digest *b)
{
    uint8_t packed_a[DIGEST_RAW_MAX + 1], packed_b[DIGEST_RAW_MAX + 1];
    size_t size_a = digest_pack(a, packed_a), size_b = digest_pack(b, packed_b);

    return bytes_compare(bytes_of(packed_a, size_a), bytes_of(packed_b, size_b));
}

/* Of one or several artifactType parameters any; an unescaped '+' came as a space. */
static bool is_wanted(const struct exchange *exchange, struct bytes artifact_type)
{
    struct bytes wanted;
    size_t i, j;

    for (i = 0; exchange_query(exchange, "artifactType", i, &wanted); i++) {
        if (wanted.size != artifact_type.size) {
            continue;
        }
        for (j = 0; j < wanted.size; j++) {
            if (artifact_type.data[j] != (wanted.data[j] == ' ' ? '+' : wanted.data[j])) {
                break;
            }
        }
        if (j == wanted.size) {
            return true;
        }
    }
    return i == 0;
}

static bool visit(void *data, const struct digest *digest, const struct manifest_record *manifest)
{
    struct referrers *list = data;
    struct buffer *body = &list->body;
    char text[DIGEST_TEXT_MAX];

    if ((list->has_last && digest_order(digest, &list->last) <= 0) ||
        !is_wanted(list->exchange, manifest->artifact_type)) {
        return true;
    }
    if (body->size > PAGE_BYTES) {
        list->has_more = true;
        return false;
    }
    digest_format(digest, text);
    buffer_append_string(body, list->n++ > 0 ? ",{\"mediaType\":" : "{\"mediaType\":");
    json_escape(body, manifest->media_type);
    buffer_print(body, ",\"digest\":\"%s\",\"size\":%llu", text,
                 (unsigned long long)manifest->size);
    if (manifest->artifact_type.size > 0) {
        buffer_append_string(body, ",\"artifactType\":");
        json_escape(body, manifest->artifact_type);
    }
    if (manifest->annotations.size > 0) {
        buffer_append_string(body, ",\"annotations\":");
        buffer_append(body, manifest->annotations);
    }
    buffer_append_byte(body, '}');
    list->last = *digest;
    list->has_last = true;
    return true;
}

/* As a query's value; an unescaped '+' came as a space. */
static void append_escaped(struct buffer *out, struct bytes text)
{
    size_t i;

    for (i = 0; i < text.size; i++) {
        int c = text.data[i] == ' ' ? '+' : text.data[i];

        if (isalnum(c) || c == '.' || c == '/' || c == '-' || c == '_') {
            buffer_append_byte(out, (uint8_t)c);
        } else {
            buffer_print(out, "%%%02X", (unsigned)c);
        }
    }
}

static void set_link(struct referrers *list)
{
    struct exchange *exchange = list->exchange;
    char text[DIGEST_TEXT_MAX];
    struct buffer types;
    struct bytes wanted;
    size_t i;

    digest_format(&list->last, text);
    buffer_init(&types, 64 * 1024);
    for (i = 0; exchange_query(exchange, "artifactType", i, &wanted); i++) {
        buffer_append_string(&types, "&artifactType=");
        append_escaped(&types, wanted);
    }
    exchange_set_header(exchange, "Link", "<" BYTES_FMT "?last=%s%s>; rel=\"next\"",
                        BYTES_ARG(exchange_path(exchange)), text, buffer_string(&types));
    buffer_release(&types);
}

static void referrers_list(struct exchange *exchange)
{
    struct referrers list = {.exchange = exchange};
    struct digest subject;
    struct catalog_txn txn;
    struct bytes value;

    if (digest_parse(exchange_parameter(exchange, "digest"), &subject) != OK ||
        (exchange_query(exchange, "last", 0, &value) && digest_parse(value, &list.last) != OK)) {
        exchange_fail_as(exchange, 400, "DIGEST_INVALID", NULL,
                         "not a sha256 or sha512 digest in lower-case hex");
        return;
    }
    list.has_last = list.last.algorithm != 0;
    buffer_init(&list.body, BODY_MAX);
    buffer_append_string(&list.body,
                         "{\"schemaVersion\":2,\"mediaType\":\"" INDEX_TYPE "\",\"manifests\":[");
    catalog_read(exchange_worker(exchange)->catalog, &txn);
    catalog_referrers(&txn, exchange_parameter(exchange, "name"), &subject, visit, &list);
    catalog_set_index(exchange, &txn);
    catalog_done(&txn);
    buffer_append_string(&list.body, "]}");
    if (exchange_query(exchange, "artifactType", 0, &value)) {
        exchange_set_header(exchange, "OCI-Filters-Applied", "artifactType");
    }
    if (list.has_more) {
        set_link(&list);
    }
    exchange_answer(exchange, 200, INDEX_TYPE, buffer_view(&list.body));
    buffer_release(&list.body);
}

void referrers_handler(struct exchange *exchange)
{
    catalog_freshen(exchange, FRESH_LATEST, referrers_list);
}
