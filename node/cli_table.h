#ifndef NODE_CLI_TABLE_H
#define NODE_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>

/* Aligned columns on stdout. Cells come row by row; bytes that could steer a terminal are shown as
 * '?', since names and comments are other people's. */

#define CLI_COLUMNS_MAX 12

struct cli_table {
    /* Private. */
    char **cells;
    size_t n_cells, capacity, columns;
};

/* headings: columns names, the first row. */
void cli_table_init(struct cli_table *table, size_t columns, const char *const *headings);
/* The next cell. */
void cli_table_cell(struct cli_table *table, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Print all full rows, and release the memory. */
void cli_table_print(struct cli_table *table);

#endif
