#ifndef NODE_MANIFEST_H
#define NODE_MANIFEST_H

#include "base/bytes.h"
#include "base/digest.h"
#include "store/catalog.h"

#include <jansson.h>

/* A manifest as a client pushed it, read and checked (OCI image specification: image manifest,
 * image index; Docker schema 2 image and list; the withdrawn OCI artifact manifest as a leaf).
 * What could mean two things to two clients is refused: duplicate keys, an image with "manifests",
 * an index with "layers" or "config", two media types. Unknown members are fine. Pure. */

#define MEDIA_TYPE_MAX 255
/* Annotations that go into the catalog: those of a manifest with a subject are answered in the
 * referrers list, so more is refused; those of others are left out when there are more. */
#define ANNOTATIONS_SIZE_MAX (128u * 1024)

struct manifest {
    char media_type[MEDIA_TYPE_MAX + 1];
    /* As the referrers list shows it: of an image without one, its config's media type. */
    char artifact_type[MEDIA_TYPE_MAX + 1];
    struct digest subject; /* algorithm 0: none. */
    struct buffer annotations;
    struct reference *references;
    size_t n_references;
};

/* content_type: the request's header, may be empty. ERROR_MANIFEST_INVALID, ERROR_TOO_LARGE. On an
 * error nothing is kept. */
enum error manifest_parse(struct bytes content, struct bytes content_type, struct manifest *out,
                          struct reason *why) MUST_USE;
void manifest_release(struct manifest *manifest);

/* Is it the media type of a manifest that this registry takes? */
bool media_type_is_manifest(struct bytes media_type);

#endif
