#include "node/oci_error.h"

#include "base/assert.h"

#include <string.h>

struct row {
    unsigned status;
    const char *oci, *api;
};

/* In the order of ERROR_LIST; a row for each (tests/unit/node_oci_error.c walks them). */
static const struct row rows[ERROR_N] = {
    [ERROR_INVALID] = {400, "UNSUPPORTED", "INVALID"},
    [ERROR_UNSUPPORTED] = {400, "UNSUPPORTED", "UNSUPPORTED"},
    [ERROR_TOO_LARGE] = {413, "MANIFEST_INVALID", "TOO_LARGE"},
    [ERROR_RANGE] = {416, "BLOB_UPLOAD_INVALID", "RANGE"},
    [ERROR_NOT_FOUND] = {404, "NAME_UNKNOWN", "NOT_FOUND"},
    [ERROR_EXISTS] = {409, "DENIED", "EXISTS"},
    [ERROR_CONFLICT] = {412, "DENIED", "CONFLICT"},
    [ERROR_BUSY] = {409, "BLOB_UPLOAD_INVALID", "BUSY"},
    [ERROR_UNAUTHORIZED] = {401, "UNAUTHORIZED", "UNAUTHORIZED"},
    [ERROR_DENIED] = {403, "DENIED", "DENIED"},
    [ERROR_REPOSITORY_UNKNOWN] = {404, "NAME_UNKNOWN", "NAME_UNKNOWN"},
    [ERROR_MANIFEST_UNKNOWN] = {404, "MANIFEST_UNKNOWN", "MANIFEST_UNKNOWN"},
    [ERROR_BLOB_UNKNOWN] = {404, "BLOB_UNKNOWN", "BLOB_UNKNOWN"},
    [ERROR_UPLOAD_UNKNOWN] = {404, "BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_UNKNOWN"},
    [ERROR_MANIFEST_BLOB_UNKNOWN] = {400, "MANIFEST_BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN"},
    [ERROR_MANIFEST_INVALID] = {400, "MANIFEST_INVALID", "MANIFEST_INVALID"},
    [ERROR_DIGEST] = {400, "DIGEST_INVALID", "DIGEST_INVALID"},
    [ERROR_PROMOTION_ONLY] = {403, "DENIED", "DENIED"},
    [ERROR_GATE] = {412, "DENIED", "GATE_FAILED"},
    [ERROR_NOT_ELIGIBLE] = {403, "DENIED", "NOT_ELIGIBLE"},
    [ERROR_IDEMPOTENCY] = {422, "DENIED", "IDEMPOTENCY_MISMATCH"},
    [ERROR_UNAVAILABLE] = {503, "UNAVAILABLE", "UNAVAILABLE"},
    [ERROR_TIMEOUT] = {503, "UNAVAILABLE", "UNAVAILABLE"},
    [ERROR_CANCELED] = {503, "UNAVAILABLE", "UNAVAILABLE"},
    [ERROR_PEER] = {503, "UNAVAILABLE", "UNAVAILABLE"},
    [ERROR_FULL] = {503, "UNAVAILABLE", "NO_SPACE"},
    [ERROR_IO] = {500, "UNKNOWN", "UNKNOWN"},
    [ERROR_CORRUPT] = {500, "UNKNOWN", "UNKNOWN"},
    [ERROR_FOREIGN] = {500, "UNKNOWN", "FOREIGN"},
};

struct oci_error oci_error_of(enum error error, bool is_oci)
{
    PRE(error != OK && error < ERROR_N);
    CHECK(rows[error].status != 0);
    return (struct oci_error){rows[error].status, is_oci ? rows[error].oci : rows[error].api};
}

/* What a person does about each of the specification's codes. The message says what was wrong with
 * this request; 5xx codes and those of /api/v1 leave it at that. */
const char *oci_error_hint(const char *code)
{
    static const struct {
        const char *code, *hint;
    } hints[] = {
        {"BLOB_UNKNOWN", "check the digest and the repository, or push the blob; blobs of other "
                         "repositories have to be mounted first"},
        {"BLOB_UPLOAD_INVALID", "ask where the upload stands (GET its Location), and go on there "
                                "with one request at a time"},
        {"BLOB_UPLOAD_UNKNOWN", "start the upload again: POST /v2/<name>/blobs/uploads/"},
        {"DENIED", "ask an administrator for the right, or take the way that the message names"},
        {"DIGEST_INVALID", "send sha256: or sha512: with lower-case hex digits, computed over the "
                           "exact bytes that are sent; start again if the bytes were damaged"},
        {"MANIFEST_BLOB_UNKNOWN", "push what the manifest refers to into this repository first, "
                                  "then the manifest again"},
        {"MANIFEST_INVALID", "correct the manifest (OCI image specification) or its Content-Type "
                             "and push it again"},
        {"MANIFEST_UNKNOWN", "check the tag or digest: GET /v2/<name>/tags/list has the tags"},
        {"NAME_INVALID", "use a name in the grammar of the OCI distribution specification"},
        {"NAME_UNKNOWN", "check the path and the repository's name; a repository begins with the "
                         "first push"},
        {"SIZE_INVALID", "send exactly the bytes that Content-Length and Content-Range announce"},
        {"TOOMANYREQUESTS", "wait for the seconds in Retry-After, then send the request again"},
        {"UNAUTHORIZED", "log in with a user of this registry"},
        {"UNSUPPORTED", "send the request in the form that the message names"},
    };
    size_t i;

    for (i = 0; i < sizeof hints / sizeof hints[0]; i++) {
        if (strcmp(hints[i].code, code) == 0) {
            return hints[i].hint;
        }
    }
    return NULL;
}

json_t *oci_error_body(const char *code, const char *message, json_t *detail_taken)
{
    const char *hint = oci_error_hint(code);
    json_t *text = json_string(message);
    json_t *error = json_object();

    if (detail_taken == NULL && hint != NULL) {
        detail_taken = json_pack("{s:s}", "hint", hint);
    }
    if (text == NULL) { /* The sentence quotes bytes that are not UTF-8. */
        text = json_string("invalid input (the detailed message is not valid UTF-8)");
    }
    json_object_set_new(error, "code", json_string(code));
    json_object_set_new(error, "message", text);
    if (detail_taken != NULL) {
        json_object_set_new(error, "detail", detail_taken);
    }
    return json_pack("{s:[o]}", "errors", error);
}

const char *http_status_text(unsigned status)
{
    static const struct {
        unsigned status;
        const char *text;
    } texts[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {423, "Locked"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };
    size_t i;

    for (i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i].status == status) {
            return texts[i].text;
        }
    }
    return "";
}
