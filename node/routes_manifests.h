#ifndef NODE_ROUTES_MANIFESTS_H
#define NODE_ROUTES_MANIFESTS_H

#include "base/digest.h"
#include "node/http.h"

/* The metadata routes of the OCI distribution specification: /v2/, manifests, tags, referrers and
 * the catalog. Ends with a row of zeros. */
extern const struct route routes_manifests[];

/* {reference} of a manifest route: a tag or a digest. */
struct reference_name {
    bool is_tag;
    struct digest digest; /* When it is no tag. */
    struct bytes tag;
};

/* False after an answer (400 DIGEST_INVALID, or for a tag out of the grammar 404 MANIFEST_UNKNOWN,
 * 400 NAME_INVALID when writing). */
bool reference_read(struct exchange *exchange, struct reference_name *out);

/* Handlers in files of their own. */
void manifest_put_handler(struct exchange *exchange);    /* node/manifest_put.c */
void manifest_delete_handler(struct exchange *exchange); /* node/manifest_delete.c */
void tags_list_handler(struct exchange *exchange);       /* node/routes_lists.c */
void catalog_list_handler(struct exchange *exchange);
void referrers_handler(struct exchange *exchange); /* node/routes_referrers.c */

/* Answer a write that the log refused: as exchange_fail(), and 403 with the pipeline and the
 * command to use for ERROR_PROMOTION_ONLY, one error per missing digest for
 * ERROR_MANIFEST_BLOB_UNKNOWN. */
struct command_result;
void answer_refused_write(struct exchange *exchange, const struct command_result *result);

#endif
