#ifndef NODE_DRILL_CHECK_H
#define NODE_DRILL_CHECK_H

#include "node/drill_history.h"

/* Was the registry one register per tag, whatever happened to its nodes? Pure: a history in, a
 * judgement out.
 *
 * Two independent looks. The simple one names what a person would complain about: a read that began
 * after a newer push had been acknowledged and shows what that push replaced (stale), or, after all
 * was healed, does so still (lost). The complete one searches for an order of all operations of a
 * tag in which each takes effect between its start and its end and every read and swap sees the
 * value before it (Wing and Gong, with the memory of Lowe): when there is none, the history is not
 * linearizable. An operation without an answer may have taken effect at any later time, or never.
 *
 * A swap that lost proves nothing here (some other value was there) and is left out. */

/* States that the search may look at for one tag; past it the tag counts as undecided, which is
 * not a pass. */
#define DRILL_SEARCH_MAX 2000000u

struct drill_check {
    uint64_t lost;      /* Acknowledged pushes and swaps that final reads did not show. */
    uint64_t stale;     /* Reads and lists that showed an older state than was acknowledged. */
    uint64_t undecided; /* Tags. */
    uint64_t broken;    /* Tags whose history is not linearizable. */
    char first[256];    /* A sentence about the first finding, "" when there is none. */
};

/* Sorts history->operations by start. */
void drill_check(struct drill_history *history, struct drill_check *out);
bool drill_check_passed(const struct drill_check *check);

#endif
