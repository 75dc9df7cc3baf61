#ifndef NODE_DRILL_SEARCH_H
#define NODE_DRILL_SEARCH_H

#include "node/drill_history.h"

/* The search for an order, for the operations of one tag. */

enum drill_order { DRILL_ORDER_FOUND, DRILL_ORDER_NONE, DRILL_ORDER_UNDECIDED };

/* operations: pushes, swaps and reads of one tag, in the order of their starts, all of which took
 * effect; to_us UINT64_MAX: at any time after the start, or never. states_max bounds time and
 * memory. */
enum drill_order drill_search(const struct drill_operation *operations, size_t n,
                              size_t states_max);

#endif
