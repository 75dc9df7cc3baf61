#ifndef RAFT_IO_H
#define RAFT_IO_H

#include "base/list.h"
#include "base/mailbox.h"
#include "raft/storage.h"
#include "raft/transport.h"

#include <raft.h>

/* libraft's hands: a struct raft_io made of storage (disk) and transport (network). The guard
 * stands between it and libraft. Nothing here reports an error to libraft but through callbacks: a
 * message that is not sent is lost, a write that fails stops the process.
 *
 * Members are written "<id>@<address>" in libraft's configuration, so that a member may come back
 * at an address under a new id while the old one is still being removed; io takes the id off before
 * the transport sees it. */

#define IO_ADDRESS_MAX 128

struct io {
    struct raft_io raft_io; /* Hand this one to guard_init(). */
    struct storage *storage;
    struct transport *transport; /* NULL once it is closed. */
    /* Private. */
    uv_loop_t *loop;
    uv_timer_t timer;
    uv_idle_t idle;         /* Active while something waits in done. */
    struct mailbox mailbox; /* For pool threads that need the loop. */
    struct list done;       /* Callbacks due in the next turn of the loop. */
    struct list sends;      /* Snapshots on their way to peers. */
    struct io_put *put;     /* The snapshot that is being written or installed. */
    struct io_incoming *incoming;
    struct snapshot_content content;
    raft_io_tick_cb tick;
    raft_io_recv_cb recv;
    raft_io_close_cb close_cb;
    bool is_started;
};

/* The caller opens storage and transport and fills both in before raft_init(); raft_close() closes
 * them. content: how a local snapshot is written; its view is replaced by the one of each. */
void io_init(struct io *io, uv_loop_t *loop, struct snapshot_content content);
/* A message of the transport's for libraft; dropped unless started. */
void io_receive(struct io *io, struct raft_message *message);
/* libraft's tick out of turn, once started. */
void io_tick(struct io *io);

/* "<id>@<address>" into out, and the address in it. */
void io_member_address(char out[IO_ADDRESS_MAX], uint64_t id, const char *address);
const char *io_plain_address(const char *member_address);

#endif
