/* Fuzz target: headers that node/ reads by itself. Input: which one, the size of the content as a
 * power of two, the header's value. */
#include "base/assert.h"
#include "node/access.h"
#include "node/blob_serve.h"

#define DIGEST "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_range(struct bytes header, uint64_t size)
{
    struct blob_range range;
    enum error rv = blob_range_read(header, size, &range);

    CHECK(rv == OK || rv == ERROR_RANGE);
    if (rv == OK && range.is_partial) {
        CHECK(range.length > 0 && range.first < size && range.length <= size - range.first);
    } else if (rv == OK) {
        CHECK(range.first == 0 && range.length == size);
    }
}

/* A value that was accepted names the digest or is for all; and it stays so in a list. */
static void read_etags(struct bytes header)
{
    if (etag_is_exactly(header, DIGEST)) {
        CHECK(etag_list_names(header, DIGEST) && bytes_find(header, ',') < 0);
    }
    if (etag_list_names(header, DIGEST)) {
        CHECK(bytes_find(header, '*') >= 0 ||
              memmem(header.data, header.size, DIGEST, sizeof DIGEST - 1) != NULL);
    }
}

static void read_credentials(struct bytes header)
{
    struct credentials credentials;

    if (credentials_read(header, &credentials) == OK) {
        CHECK(credentials.user.size > 0 && credentials.password.size > 0);
        CHECK(bytes_find(credentials.user, ':') < 0);
        CHECK(credentials.user.data == credentials.text);
        CHECK(credentials.user.size + 1 + credentials.password.size <= sizeof credentials.text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes header;

    if (size < 2) {
        return 0;
    }
    header = bytes_of(data + 2, size - 2);
    switch (data[0] % 3) {
    case 0:
        read_range(header, data[1] % 64 == 0 ? 0 : UINT64_C(1) << (data[1] % 63));
        break;
    case 1:
        read_etags(header);
        break;
    default:
        read_credentials(header);
        break;
    }
    return 0;
}
