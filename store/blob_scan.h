#ifndef STORE_BLOB_SCAN_H
#define STORE_BLOB_SCAN_H

#include "store/blob_store.h"

/* Two ways to look at a blob that is on the disk already. Both block: pool threads only. Both move
 * what is damaged (other bytes, another size, a sector that cannot be read) to quarantine/ and say
 * ERROR_CORRUPT; both mend missing or damaged sums once the content itself was verified. */

/* --- all of it, by digest, in steps ----------------------------------------------------------- */

struct blob_scan;

/* from_disk: past the page cache where the file system can (O_DIRECT), because what is cached says
 * nothing about the disk. ERROR_NOT_FOUND, ERROR_IO. */
enum error blob_scan_open(struct blob_store *store, const struct digest *digest, bool from_disk,
                          struct blob_scan **out, struct reason *why) MUST_USE;
/* Read and hash about so many bytes more (counted in *n). With the last ones *is_done, and the
 * verdict: OK or ERROR_CORRUPT. After an error only blob_scan_close() is left. */
enum error blob_scan_step(struct blob_scan *scan, size_t bytes, size_t *n, bool *is_done,
                          struct reason *why) MUST_USE;
void blob_scan_close(struct blob_scan *scan);

/* --- parts of it, by the sums of its chunks ----------------------------------------------------
 */

/* One reader's check of one open blob; one thread at a time. */
struct blob_check;

/* fd: of the blob, borrowed for the life of the check. Sums that are missing are made now, which
 * reads all of the blob once. ERROR_CORRUPT, ERROR_IO. */
enum error blob_check_open(struct blob_store *store, const struct digest *digest, int fd,
                           uint64_t size, struct blob_check **out, struct reason *why) MUST_USE;
/* Read the chunks that [offset, offset + length) touches and compare them with their sums. */
enum error blob_check_range(struct blob_check *check, uint64_t offset, uint64_t length,
                            struct reason *why) MUST_USE;
void blob_check_close(struct blob_check *check);

#endif
