#ifndef NODE_OCI_ERROR_H
#define NODE_OCI_ERROR_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>

/* The one place where an enum error becomes an HTTP status and a code. Under /v2 a 4xx code is one
 * of the OCI distribution specification's ("Error Codes"); /api/v1 says it more closely. */

struct oci_error {
    unsigned status;
    const char *code;
};

/* is_oci: the request's path is under /v2. error is not OK. */
struct oci_error oci_error_of(enum error error, bool is_oci);

/* What to do about a code of the OCI distribution specification; NULL for other codes. */
const char *oci_error_hint(const char *code);

/* {"errors":[{"code","message"[,"detail"]}]}; detail is taken, NULL: {"hint"}, where the code has
 * one. The caller owns the result. */
json_t *oci_error_body(const char *code, const char *message, json_t *detail_taken);

/* "Not Found", "" for a status that this server never sends. */
const char *http_status_text(unsigned status);

#endif
