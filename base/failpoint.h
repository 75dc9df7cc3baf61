#ifndef BASE_FAILPOINT_H
#define BASE_FAILPOINT_H

/* Named points at which a test can stop, delay or fail a process, on both sides of whatever must
 * hold when the process dies there: each sync, rename, removal, proposal, apply and answer. Only
 * debug builds have them (CAISSON_FAILPOINTS); elsewhere they are nothing.
 *
 *     FAILPOINT("blob.after_rename");
 *     if (FAILPOINT_FAILS("blob.sync") || fdatasync(fd) != 0) { ... errno says EIO ... }
 *
 * The environment's CAISSON_FAILPOINTS names a file of lines `name action [n]`, looked at again
 * whenever it changes, so that a test can arm a point while the process runs. At the n-th time
 * (default: first) that the point is reached:
 *
 *     exit        _exit(86)
 *     kill        SIGKILL: as if the process was killed from outside
 *     cut:DIR     the ext4 file system at DIR forgets what was not synced, then SIGKILL: power loss
 *     sleep:MS    once
 *     error       FAILPOINT_FAILS says yes, once
 *     errors      from then on
 *
 * The name of each point is appended to that file's name with ".seen", the first time that it is
 * reached. A plan that cannot be read is a mistake of the test: the process aborts. */

#define FAILPOINT_EXIT 86

#ifdef CAISSON_FAILPOINTS
/* Act as planned; may not return. Any thread. */
void failpoint_reach(const char *name);
/* The same, and whether the caller shall fail: 1, with errno set to EIO. */
int failpoint_fails(const char *name);
#define FAILPOINT(name)       failpoint_reach(name)
#define FAILPOINT_FAILS(name) failpoint_fails(name)
#else
#define FAILPOINT(name)       ((void)0)
#define FAILPOINT_FAILS(name) 0
#endif

#endif
