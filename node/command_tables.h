#ifndef NODE_COMMAND_TABLES_H
#define NODE_COMMAND_TABLES_H

#include "node/router.h"
#include "store/command.h"

/* What this program can do that another version may not: its command kinds, and routes that came
 * with them. A file of its own, so that a test can build the next version with one kind more
 * (tests/next). */

#define COMMAND_ROWS_MAX 64

/* Announced to the other members. */
extern const char program_version[];
/* Fill rows with all command kinds of the program; how many. */
size_t command_tables(const struct command_row **rows, size_t rows_max);
/* Routes of this version beside the rooms' tables; ends with a row of zeros. */
extern const struct route routes_version[];

#endif
