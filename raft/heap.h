#ifndef RAFT_HEAP_H
#define RAFT_HEAP_H

/* libraft allocates with base/memory.h from here on: its own ways out of a failed allocation are
 * not tested by anybody, and a process that stops is what the cluster is made for. Once, before the
 * first call of libraft. */
void heap_install(void);

#endif
