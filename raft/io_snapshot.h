#ifndef RAFT_IO_SNAPSHOT_H
#define RAFT_IO_SNAPSHOT_H

#include "raft/io.h"

/* The snapshot half of raft/io.h. libraft carries a snapshot's content as one buffer; ours is a
 * token: of a file (raft/snapshot_file.h), or of the machine's frozen view that one is about to be
 * written from. */

/* raft_io.snapshot_put: write our own (trailing > 0, the buffer is a view) or install the leader's
 * (trailing 0, the buffer names a file that came before). */
int io_snapshot_put(struct raft_io *raft_io, unsigned trailing,
                    struct raft_io_snapshot_put *request, const struct raft_snapshot *snapshot,
                    raft_io_snapshot_put_cb cb);
/* raft_io.send of an InstallSnapshot. */
void io_send_snapshot(struct io *io, struct raft_io_send *request,
                      const struct raft_message *message, raft_io_send_cb cb);

/* A snapshot is on its way to this peer. */
bool io_sends_snapshot(const struct io *io, uint64_t id);

/* How the transport reads and writes snapshot files; the data of its callbacks is the io. */
struct transport_snapshots io_transport_snapshots(void);

/* A raft_malloc'd buffer that carries view, and the view in it. */
void io_view_make(void *view, struct raft_buffer *buf);
void *io_view_of(const struct raft_buffer *buf);

#endif
