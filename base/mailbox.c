#include "base/mailbox.h"

#include "base/assert.h"

#include <stddef.h>

static void mailbox_async_cb(uv_async_t *async)
{
    struct mailbox *mailbox = container_of(async, struct mailbox, async);
    struct task *task;

    uv_mutex_lock(&mailbox->lock);
    task = mailbox->first;
    mailbox->first = NULL;
    mailbox->last = &mailbox->first;
    uv_mutex_unlock(&mailbox->lock);
    while (task != NULL) {
        struct task *next = task->next;

        task->next = NULL;
        task->run(task);
        task = next;
    }
}

void mailbox_init(struct mailbox *mailbox, uv_loop_t *loop)
{
    CHECK(uv_mutex_init(&mailbox->lock) == 0);
    CHECK(uv_async_init(loop, &mailbox->async, mailbox_async_cb) == 0);
    mailbox->first = NULL;
    mailbox->last = &mailbox->first;
}

void mailbox_post(struct mailbox *mailbox, struct task *task)
{
    PRE(task->run != NULL);
    task->next = NULL;
    uv_mutex_lock(&mailbox->lock);
    *mailbox->last = task;
    mailbox->last = &task->next;
    uv_mutex_unlock(&mailbox->lock);
    CHECK(uv_async_send(&mailbox->async) == 0);
}

static void mailbox_close_cb(uv_handle_t *handle)
{
    struct mailbox *mailbox = container_of(handle, struct mailbox, async);

    uv_mutex_destroy(&mailbox->lock);
}

void mailbox_close(struct mailbox *mailbox)
{
    uv_close((uv_handle_t *)&mailbox->async, mailbox_close_cb);
}
