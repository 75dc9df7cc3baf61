#include "raft/vote_file.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/durable.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "raft/little_endian.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Two slots, a page apart, that hold the same thing. An update writes slot A, syncs, writes slot B,
 * syncs, and only then returns. So at every moment one slot is complete and at rest, and A is never
 * older than B:
 *
 *   A and B equal        at rest.
 *   A one ahead of B     stopped between the two; the update had not returned. A is as good as B.
 *   A bad, B good        either A was being written (the update that B lacks had not returned) or A
 *                        was damaged at rest (B says the same as it did). B is right in both cases.
 *   B bad, A good        either B was being written, A is the update; or B was damaged at rest. A
 *                        is right in both cases.
 *   anything else        more than one thing went wrong; what this node promised is not known, so
 *                        it must not vote: ERROR_CORRUPT.
 *
 * With alternating slots that are written once each, a damaged newest slot could not be told from a
 * torn one, and the node would vote twice in a term. The second sync buys that. */

#define VOTE_MAGIC   0x45544f56u /* "VOTE" */
#define VOTE_VERSION 1u
#define SLOT_SIZE    80
#define SLOT_B       4096
#define FILE_SIZE    8192

#define REPLACE_MEMBER                                                                             \
    "this member may have promised what it no longer knows: wipe its data directory and let it "   \
    "join again"

struct slot {
    bool is_good;
    uint64_t sequence, term, vote, member;
    char cluster[CLUSTER_ID_SIZE];
};

static void slot_encode(const struct vote_file *file, uint8_t out[SLOT_SIZE])
{
    memset(out, 0, SLOT_SIZE);
    put_u32(out, VOTE_MAGIC);
    put_u32(out + 4, VOTE_VERSION);
    put_u64(out + 8, file->sequence);
    put_u64(out + 16, file->term);
    put_u64(out + 24, file->vote);
    put_u64(out + 32, file->member);
    memcpy(out + 40, file->cluster, CLUSTER_ID_SIZE);
    put_u32(out + 72, crc32c(bytes_of(out, 72)));
}

static void slot_decode(const uint8_t *in, struct slot *out)
{
    out->is_good = get_u32(in) == VOTE_MAGIC && get_u32(in + 4) == VOTE_VERSION &&
                   get_u32(in + 72) == crc32c(bytes_of(in, 72));
    out->sequence = get_u64(in + 8);
    out->term = get_u64(in + 16);
    out->vote = get_u64(in + 24);
    out->member = get_u64(in + 32);
    memcpy(out->cluster, in + 40, CLUSTER_ID_SIZE);
}

static bool slot_same(const struct slot *a, const struct slot *b)
{
    return a->sequence == b->sequence && a->term == b->term && a->vote == b->vote &&
           a->member == b->member && memcmp(a->cluster, b->cluster, CLUSTER_ID_SIZE) == 0;
}

/* The slot to believe; NULL: none (see the head). */
static const struct slot *slot_choose(const struct slot *a, const struct slot *b)
{
    if (a->is_good && b->is_good) {
        bool is_between = a->sequence == b->sequence + 1 && a->term >= b->term;

        return slot_same(a, b) || is_between ? a : NULL;
    }
    if (a->is_good) {
        return a;
    }
    return b->is_good ? b : NULL;
}

static enum error write_slots(const struct vote_file *file, struct reason *why)
{
    uint8_t slot[SLOT_SIZE];

    slot_encode(file, slot);
    for (uint64_t offset = 0; offset <= SLOT_B; offset += SLOT_B) {
        enum error rv = durable_write_at(file->fd, bytes_of(slot, SLOT_SIZE), offset, why);

        if (rv != OK) {
            return rv;
        }
        FAILPOINT("vote.before_sync");
        if (FAILPOINT_FAILS("vote.sync") || fdatasync(file->fd) != 0) {
            return fail_errno(why, errno, "sync vote file");
        }
        FAILPOINT("vote.after_sync");
    }
    return OK;
}

enum error vote_file_create(const char *directory, const char *cluster, uint64_t member,
                            struct reason *why)
{
    uint8_t content[FILE_SIZE] = {0};
    struct vote_file file = {.fd = -1, .member = member};

    PRE(strlen(cluster) == CLUSTER_ID_SIZE);
    memcpy(file.cluster, cluster, CLUSTER_ID_SIZE);
    slot_encode(&file, content);
    slot_encode(&file, content + SLOT_B);
    return durable_write(directory, "vote", 0600, bytes_of(content, sizeof content), why);
}

static enum error take_slot(struct vote_file *file, const uint8_t *content, size_t n,
                            const char *path, struct reason *why)
{
    struct slot a, b;
    const struct slot *chosen;

    if (n != FILE_SIZE) {
        return fail(why, ERROR_CORRUPT, "%s is %zu bytes long instead of %d; %s", path, n,
                    FILE_SIZE, REPLACE_MEMBER);
    }
    slot_decode(content, &a);
    slot_decode(content + SLOT_B, &b);
    chosen = slot_choose(&a, &b);
    if (chosen == NULL) {
        return fail(why, ERROR_CORRUPT,
                    "%s: the copies at offset 0 and %d are damaged or differ; %s", path, SLOT_B,
                    REPLACE_MEMBER);
    }
    if (memcmp(chosen->cluster, file->cluster, CLUSTER_ID_SIZE) != 0 ||
        chosen->member != file->member) {
        return fail(why, ERROR_FOREIGN,
                    "%s is of member %016llx of cluster %.32s, not of member %016llx of cluster "
                    "%.32s: check the configured data directory",
                    path, (unsigned long long)chosen->member, chosen->cluster,
                    (unsigned long long)file->member, file->cluster);
    }
    file->sequence = chosen->sequence;
    file->term = chosen->term;
    file->vote = chosen->vote;
    if (!a.is_good || !b.is_good || !slot_same(&a, &b)) {
        LOG_WARN("%s: one of its two copies was torn or damaged and is written again", path);
    }
    return OK;
}

enum error vote_file_open(const char *directory, const char *cluster, uint64_t member,
                          struct vote_file *out, struct reason *why)
{
    uint8_t content[FILE_SIZE + 1];
    char path[PATH_MAX];
    enum error rv;
    size_t n;

    PRE(strlen(cluster) == CLUSTER_ID_SIZE && member != 0);
    *out = (struct vote_file){.fd = -1, .member = member};
    memcpy(out->cluster, cluster, CLUSTER_ID_SIZE);
    if (snprintf(path, sizeof path, "%s/vote", directory) >= (int)sizeof path) {
        return fail(why, ERROR_INVALID, "path %s/vote is too long", directory);
    }
    out->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (out->fd < 0) {
        return fail_errno(why, errno, "open %s", path);
    }
    rv = durable_read_at(out->fd, content, sizeof content, 0, &n, why);
    if (rv == OK) {
        rv = take_slot(out, content, n, path, why);
    }
    /* Always written again: what was read may be in the page cache alone, after a sync that
     * failed. */
    if (rv == OK) {
        rv = write_slots(out, why);
    }
    if (rv != OK) {
        vote_file_close(out);
    }
    return rv;
}

void vote_file_set(struct vote_file *file, uint64_t term, uint64_t vote)
{
    struct reason why;

    PRE(file->fd >= 0);
    PRE(term >= file->term);
    file->sequence++;
    file->term = term;
    file->vote = vote;
    if (write_slots(file, &why) != OK) {
        fail_stop("term %llu and vote %016llx are not durable: %s", (unsigned long long)term,
                  (unsigned long long)vote, why.text);
    }
}

void vote_file_close(struct vote_file *file)
{
    if (file->fd >= 0) {
        close(file->fd);
        file->fd = -1;
    }
}
