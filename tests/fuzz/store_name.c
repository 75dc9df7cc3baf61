/* Fuzz target: the grammars of digests, repository names, tags and globs. Input: a text, or a glob,
 * a newline and a text. */
#include "base/assert.h"
#include "store/catalog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has(struct bytes text, char byte)
{
    return bytes_find(text, byte) >= 0;
}

static void check_digest(struct bytes text)
{
    uint8_t packed[DIGEST_RAW_MAX + 1];
    struct digest digest, again;
    char formatted[DIGEST_TEXT_MAX];

    if (digest_parse(text, &digest) == OK) {
        digest_format(&digest, formatted);
        CHECK(bytes_equal_string(text, formatted));
        CHECK(digest_unpack(bytes_of(packed, digest_pack(&digest, packed)), &again) == OK);
        CHECK(digest_equal(&digest, &again));
    }
    (void)!digest_unpack(text, &digest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = bytes_of(data, size), glob = BYTES_NONE;
    ptrdiff_t end = bytes_find(text, '\n');

    if (end >= 0) {
        glob = bytes_slice(text, 0, (size_t)end);
        text = bytes_slice(text, (size_t)end + 1, text.size);
    }
    check_digest(text);
    /* Both become paths and URLs. */
    if (repository_name_is_valid(text)) {
        CHECK(text.size > 0 && text.size <= 255 && text.data[0] != '/' && !has(text, '\0'));
        CHECK(text.data[0] != '.');
        CHECK(repository_glob_match(text, text));
        CHECK(repository_glob_match(BYTES_LITERAL("**"), text));
    }
    if (tag_is_valid(text)) {
        CHECK(text.size > 0 && text.size <= 128 && !has(text, '/') && !has(text, '\0'));
        CHECK(text.data[0] != '.' && text.data[0] != '-');
    }
    if (!has(glob, '*')) {
        CHECK(repository_glob_match(glob, text) == bytes_equal(glob, text));
    } else {
        (void)repository_glob_match(glob, text);
    }
    return 0;
}
