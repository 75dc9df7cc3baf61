#ifndef TESTS_SIM_WORLD_DISK_H
#define TESTS_SIM_WORLD_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A host's disk, in memory, behind the system calls that raft/ and base/ make (the linker's --wrap
 * brings them here; what is not under DISK_ROOT goes to the real ones). A file's bytes are durable
 * once it was synced, a name once its directory was. A power cut keeps of the rest what chance
 * says: of writes each sector or not, of changes to names the first few. */

#define DISK_ROOT     "/sim/"
#define DISK_PATH_MAX 96u
#define DISK_NAMES    96u
#define DISK_CHANGES  512u

struct inode;

struct disk_name {
    char path[DISK_PATH_MAX];
    struct inode *inode; /* NULL: a directory. */
};

struct disk_names {
    struct disk_name items[DISK_NAMES];
    size_t n;
};

/* A name that came (inode or directory) or went. */
struct disk_change {
    char path[DISK_PATH_MAX];
    struct inode *inode;
    bool is_removal;
    unsigned group; /* The two halves of a rename share one. */
};

struct disk {
    struct disk_names now, durable;
    struct disk_change changes[DISK_CHANGES]; /* Not durable yet, oldest first. */
    size_t n_changes;
    unsigned groups;
    struct inode *inodes;
    uint64_t sync_us;      /* What a sync takes, at least. */
    uint64_t slow_until;   /* Until then it takes much longer. */
    uint64_t fail_sync_in; /* The n-th sync from now fails with EIO; 0: none does. */
    bool is_full;          /* No space can be allocated. */
    /* A seeded bug: syncs say that they are done and do nothing. */
    bool lies;
    /* Another: syncs of directories do. */
    bool forgets_names;
};

/* An empty disk. */
void disk_format(struct disk *disk);
/* The power goes: what was not synced is lost, or half of it. */
void disk_cut(struct disk *disk);
/* The process goes: its open files do, what it wrote stays. */
void disk_close_files(struct disk *disk);
/* Flip a bit of a durable file whose path has this in it. False: there is none, or it is empty. */
bool disk_flip(struct disk *disk, const char *part);

#endif
