#ifndef STORE_LEVEL_H
#define STORE_LEVEL_H

#include "store/catalog.h"

/* Feature levels: builds of different versions in one cluster (docs/decisions/0009-levels.md).
 *
 * A program's own level is the highest level among the rows of its command table. Each member
 * announces its own (member.announce), and the cluster's level is the lowest that was announced by
 * all members; it never goes down. A command is proposed, and takes effect, only when the cluster's
 * level is at least that of its kind: then every member that will ever apply it knows it. A program
 * whose own level is below the cluster's does not run. A member that has not announced holds the
 * level where it is. */

#define LEVEL_FIRST    1u
#define LEVEL_MAX      1000000u
#define VERSION_MAX    63
#define LEVEL_TEXT_MAX 160

/* NULL: this program does not know the kind. */
const struct command_row *catalog_command_row(const struct catalog *catalog,
                                              enum command_kind kind);
/* The highest of the rows; of those that the catalog was opened with. */
unsigned level_of_rows(const struct command_row *const *rows, size_t n);
unsigned catalog_own_level(const struct catalog *catalog);
/* Of the cluster, as this view has it. */
unsigned catalog_level(struct catalog_txn *txn);

/* What a member has announced. ERROR_NOT_FOUND: nothing yet. version is borrowed. */
enum error catalog_member_level(struct catalog_txn *txn, uint64_t id, unsigned *level,
                                struct bytes *version) MUST_USE;

/* May the command be proposed now? ERROR_UNSUPPORTED: why names the member that is too old, or
 * that has not announced. From any thread; cheap for the kinds of the first level. */
enum error catalog_may_propose(struct catalog *catalog, struct bytes command,
                               struct reason *why) MUST_USE;

void command_member_announce(struct buffer *out, const struct command_id *id, struct bytes actor,
                             uint64_t member, unsigned level, struct bytes version);

/* --- for the catalog's own files -------------------------------------------------------------- */

/* Fails the outcome unless the cluster's level is the row's. */
bool level_allows(struct catalog_txn *txn, const struct command_row *row, struct outcome *outcome);
/* ERROR_UNSUPPORTED: the catalog's cluster is at a level that this program does not know. */
enum error level_check(struct catalog *catalog, struct reason *why) MUST_USE;
/* "node-2 runs 0.3.0 (level 4)": the member that announced most. */
void level_describe(struct catalog_txn *txn, char text[LEVEL_TEXT_MAX]);

#endif
