#include "node/pull_rule.h"

#include "base/clock.h"
#include "promotion/holds.h"

enum error pull_rule_check(struct catalog_txn *txn, const struct digest *digest,
                           const struct manifest_record *manifest, struct reason *why)
{
    char text[DIGEST_TEXT_MAX];
    struct hold hold;

    if (hold_allows_pull(txn, digest, manifest, clock_wall_ms(), &hold)) {
        return OK;
    }
    digest_format(&hold.digest, text);
    return fail(why, ERROR_DENIED, "%s is quarantined: %.*s; ask an admin, or pull another image",
                text, hold.reason.size > 200 ? 200 : (int)hold.reason.size,
                (const char *)hold.reason.data);
}
