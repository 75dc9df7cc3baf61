#ifndef NODE_ALLOCATORS_H
#define NODE_ALLOCATORS_H

/* Let jansson, libuv and libraft allocate as we do (base/memory.h): running out stops the process.
 * Left alone, jansson answers NULL, and an apply that then leaves a member out of a record makes
 * this node's state differ from the others'. Call once, before anything else. */
void allocators_install(void);

#endif
