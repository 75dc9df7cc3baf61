#ifndef BASE_MAILBOX_H
#define BASE_MAILBOX_H

#include <uv.h>

/* The way between threads: post a task to a loop, and it runs there. Workers send requests to the
 * control thread and get answers back through one mailbox each. Order of posting is kept. */

struct task {
    struct task *next;
    void (*run)(
        struct task *task); /* On the mailbox's loop; the task is the callee's from then on. */
};

struct mailbox {
    /* Private. */
    uv_async_t async;
    uv_mutex_t lock;
    struct task *first, **last;
};

void mailbox_init(struct mailbox *mailbox, uv_loop_t *loop);
/* From any thread. The task is embedded in its owner and must not be posted again until it ran. */
void mailbox_post(struct mailbox *mailbox, struct task *task);
/* On the loop's thread, when nobody posts any more: closes the handle; run the loop once after it.
 */
void mailbox_close(struct mailbox *mailbox);

#endif
