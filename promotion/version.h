#ifndef PROMOTION_VERSION_H
#define PROMOTION_VERSION_H

#include "base/bytes.h"

/* Versions in tags, and which of two is later. */

enum version_scheme {
    VERSION_SEMVER, /* 1.4.2, v1.4.2, 1.4.2-rc.1+build: semver.org 2.0.0, section 11. */
    VERSION_NUMBERS /* 2026.11.23, 17, 1.2: numbers joined by dots, as many as there are. */
};

#define VERSION_PARTS_MAX 6

struct version {
    uint64_t parts[VERSION_PARTS_MAX];
    size_t n;
    struct bytes pre_release; /* Semver's, without the dash; empty: a release. Borrowed. */
};

/* False: the text is no version of that scheme. */
bool version_parse(enum version_scheme scheme, struct bytes text, struct version *out);
/* Under 0, 0, over 0: a is earlier than b, the same, later. Build metadata does not count. */
int version_compare(const struct version *a, const struct version *b);

#endif
