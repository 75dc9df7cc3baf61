#ifndef RAFT_SNAPSHOT_FORMAT_H
#define RAFT_SNAPSHOT_FORMAT_H

/* Layout of a snapshot file, for snapshot_file.c (writing) and snapshot_reader.c. */

#define SNAPSHOT_MAGIC       0x50414e53u /* "SNAP" */
#define SNAPSHOT_VERSION     1u
#define SNAPSHOT_HEADER_SIZE 76
#define CHUNK_HEADER_SIZE    8  /* Length; CRC of everything before, the length, the data. */
#define TRAILER_SIZE         16 /* Mark, CRC, bytes of content. */
#define TRAILER_MARK         0xffffffffu
#define TOKEN_MAGIC          0x4e4b4f54u /* "TOKN" */

#endif
