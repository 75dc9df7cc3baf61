/* Fuzz target: a manifest as a client pushes it. Input: the Content-Type, a newline, the content.
 */
#include "base/assert.h"
#include "node/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes content = bytes_of(data, size), type = BYTES_NONE;
    ptrdiff_t end = bytes_find(content, '\n');
    struct manifest manifest;
    struct reason why;
    size_t i;

    if (end >= 0) {
        type = bytes_slice(content, 0, (size_t)end);
        content = bytes_slice(content, (size_t)end + 1, content.size);
    }
    if (manifest_parse(content, type, &manifest, &why) != OK) {
        return 0;
    }
    CHECK(media_type_is_manifest(bytes_of_string(manifest.media_type)));
    CHECK(buffer_status(&manifest.annotations) == OK);
    for (i = 0; i < manifest.n_references; i++) {
        CHECK(manifest.references[i].digest.algorithm != 0);
    }
    manifest_release(&manifest);
    return 0;
}
