#include "promotion/trust.h"

#include "base/clock.h"
#include "promotion/document.h"

#include <stdio.h>

/* The shape of a trust document; what is in its PEM is for signature_trust.c. */

#define PEM_TEXT_MAX 16384

static enum error check_grants(const json_t *entry, const char *place, struct reason *why)
{
    static const char *const lists[] = {"builders", "verifiers", "scanners"};

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        const json_t *list = json_object_get(entry, lists[i]);
        enum error error = OK;

        if (list != NULL) {
            error = document_names(list, lists[i], "names", why);
        }
        if (error != OK) {
            reason_prefix(why, "%s: ", place);
            return error;
        }
    }
    return OK;
}

static enum error check_not_after(const json_t *entry, const char *place, struct reason *why)
{
    const char *text = NULL;
    uint64_t ms;
    enum error error = document_string(entry, place, "notAfter", &text, why);

    if (error == OK && text != NULL && clock_parse(bytes_of_string(text), &ms) != OK) {
        return fail(why, ERROR_INVALID,
                    "%s: notAfter must be a time in UTC, such as 2027-01-01T00:00:00Z", place);
    }
    return error;
}

static enum error check_key(const json_t *entry, const char *place, struct reason *why)
{
    static const char *const members[] = {"pem",      "hash",      "notAfter", "revoked",
                                          "builders", "verifiers", "scanners", NULL};
    static const char *const hashes[] = {"sha256", "sha384", "sha512", NULL};
    const char *pem = NULL;
    size_t hash = 0;
    bool is_revoked = false;
    enum error error = document_check_members(entry, place, members, NULL, why);

    if (error == OK) {
        error = document_string(entry, place, "pem", &pem, why);
    }
    if (error == OK && (pem == NULL || strlen(pem) > PEM_TEXT_MAX)) {
        error = fail(why, ERROR_INVALID, "%s: pem must be a public key in PEM", place);
    }
    if (error == OK) {
        error = document_choice(entry, place, "hash", hashes, &hash, why);
    }
    if (error == OK) {
        error = check_not_after(entry, place, why);
    }
    if (error == OK) {
        error = document_bool(entry, place, "revoked", &is_revoked, why);
    }
    return error == OK ? check_grants(entry, place, why) : error;
}

enum error trust_check(const json_t *document, const char *place, struct reason *why)
{
    static const char *const members[] = {"keys", NULL};
    json_t *keys = json_object_get(document, "keys"), *entry;
    enum error error = document_check_members(document, place, members, NULL, why);
    char where[256];
    const char *id;

    if (error != OK) {
        return error;
    }
    if (!json_is_object(keys) || json_object_size(keys) == 0 ||
        json_object_size(keys) > TRUST_KEYS_MAX) {
        return fail(why, ERROR_INVALID, "%s: keys must be an object of 1 to %d keys", place,
                    TRUST_KEYS_MAX);
    }
    json_object_foreach(keys, id, entry)
    {
        if (id[0] == '\0' || strlen(id) > TRUST_ID_MAX) {
            return fail(why, ERROR_INVALID, "%s: the id of a key has 1 to %d characters", place,
                        TRUST_ID_MAX);
        }
        snprintf(where, sizeof where, "%.120s, key %s", place, id);
        error = check_key(entry, where, why);
        if (error != OK) {
            return error;
        }
    }
    return OK;
}

bool signer_is_granted(const struct signer *signer, const char *key, const char *text, bool missing)
{
    const json_t *list = json_object_get(signer->grant, key), *entry;
    size_t i;

    if (list == NULL) {
        return missing;
    }
    json_array_foreach(list, i, entry)
    {
        if (strcmp(json_string_value(entry), text) == 0) {
            return true;
        }
    }
    return false;
}
