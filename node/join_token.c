#include "node/join_token.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/digest.h"
#include "base/memory.h"

#include <stdio.h>

static const char token_prefix[] = "caisson-join-1";

void join_token_format(const struct join_token *token, char text[JOIN_TOKEN_MAX])
{
    int n = snprintf(text, JOIN_TOKEN_MAX, "%s.%s.", token_prefix, token->cluster);

    for (size_t i = 0; i < sizeof token->ca_sha256; i++) {
        n += snprintf(text + n, JOIN_TOKEN_MAX - (size_t)n, "%02x", token->ca_sha256[i]);
    }
    n += snprintf(text + n, JOIN_TOKEN_MAX - (size_t)n, ".%s", token->secret);
    POST(n < JOIN_TOKEN_MAX);
}

/* The part up to the next dot, exactly size lower-case hex digits; moves *text behind it. */
static bool take_hex(const char **text, size_t size, char *out)
{
    if (strspn(*text, "0123456789abcdef") != size) {
        return false;
    }
    memcpy(out, *text, size);
    out[size] = '\0';
    *text += size;
    return true;
}

static bool take_dot(const char **text)
{
    return *(*text)++ == '.';
}

static uint8_t hex_digit(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

enum error join_token_parse(const char *text, struct join_token *out, struct reason *why)
{
    char hex[65];
    size_t prefix = sizeof token_prefix - 1;
    bool is_good = strncmp(text, token_prefix, prefix) == 0;

    *out = (struct join_token){0};
    if (is_good) {
        text += prefix;
        is_good = take_dot(&text) && take_hex(&text, 32, out->cluster) && take_dot(&text) &&
                  take_hex(&text, 64, hex) && take_dot(&text) && take_hex(&text, 32, out->secret) &&
                  *text == '\0';
    }
    if (!is_good) {
        memory_wipe(out, sizeof *out);
        return fail(why, ERROR_INVALID,
                    "the join token is incomplete or mistyped: it is one line that starts with "
                    "caisson-join-1. and has 4 parts; `caisson cluster token create` makes one");
    }
    for (size_t i = 0; i < sizeof out->ca_sha256; i++) {
        out->ca_sha256[i] = (uint8_t)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
    }
    return OK;
}

void join_token_hash(const char *secret, uint8_t hash[32])
{
    struct digest digest;

    digest_of(DIGEST_SHA256, bytes_of_string(secret), &digest);
    memcpy(hash, digest.raw, 32);
}
