#ifndef NODE_PROMOTER_H
#define NODE_PROMOTER_H

struct promoter;
struct worker;

/* Commits promotions that become ready while nobody asks: the soak time passes, a blob gets its
 * second copy. Runs on one worker's loop (the first's) of every node, and acts while this node is
 * the leader. Start it on the loop's thread. */
struct promoter *promoter_start(struct worker *worker);
/* Stop; what is under way ends first, then closed_cb (may be NULL) and the promoter is gone. */
void promoter_stop(struct promoter *promoter, void (*closed_cb)(void *data), void *data);

#endif
