#ifndef PROMOTION_WATCH_H
#define PROMOTION_WATCH_H

#include "promotion/evaluate.h"

/* Which open promotions should be tried now, found without deciding all of them again and again: a
 * promotion is looked at when something changed that it depends on (its own record, its
 * repositories, reports about its images, its pipeline, ...), when a gate said that it will pass by
 * then, and in any case once in a while, for what time alone changes without saying when. What the
 * commit command then decides does not depend on this: being wrong costs a delay, or a refusal. */

struct promotion_watch;

/* Nothing waits longer than this for its next look. */
#define WATCH_LOOK_AGAIN_MS 60000u
/* Who asks for a promotion, or approves one, commits it himself: it is left alone for so long. */
#define WATCH_HEAD_START_MS 300u
/* One that was tried and is still there is not tried again before. */
#define WATCH_TRY_AGAIN_MS 500u

/* The catalog is borrowed. */
struct promotion_watch *promotion_watch_open(struct catalog *catalog);
void promotion_watch_close(struct promotion_watch *watch);

struct watch_turn {
    uint64_t now_ms; /* Of the wall, as gates take it. */
    size_t looks;    /* At most so many this time. */
    /* Ids of promotions about which a commit would decide something, oldest first. */
    char (*due)[PROMOTION_ID_SIZE + 1];
    size_t n_due, due_max;
    uint64_t next_ms; /* When to come again, if nothing changes before; now_ms: at once. */
};

/* Take note of what changed, and look at what that (or the time) may have made ready. */
void promotion_watch_turn(struct promotion_watch *watch, struct watch_turn *turn);
/* How many promotions were looked at so far: what all this is to keep low. */
uint64_t promotion_watch_looks(const struct promotion_watch *watch);

#endif
