#include "node/cli_table.h"

#include "base/assert.h"
#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CELL_MAX 512

void cli_table_init(struct cli_table *table, size_t columns, const char *const *headings)
{
    PRE(columns > 0 && columns <= CLI_COLUMNS_MAX);
    *table = (struct cli_table){.columns = columns};
    for (size_t i = 0; i < columns; i++) {
        cli_table_cell(table, "%s", headings[i]);
    }
}

void cli_table_cell(struct cli_table *table, const char *format, ...)
{
    char text[CELL_MAX];
    va_list args;

    PRE(table->columns > 0);
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < 32 || *c == 127) {
            *c = '?';
        }
    }
    if (table->n_cells == table->capacity) {
        table->capacity = table->capacity == 0 ? 64 : table->capacity * 2;
        table->cells = memory_resize(table->cells, table->capacity * sizeof *table->cells);
    }
    table->cells[table->n_cells++] = memory_string(text);
}

void cli_table_print(struct cli_table *table)
{
    size_t widths[CLI_COLUMNS_MAX] = {0};
    size_t rows = table->n_cells / table->columns;

    for (size_t i = 0; i < rows * table->columns; i++) {
        size_t size = strlen(table->cells[i]);
        size_t *width = &widths[i % table->columns];
        *width = size > *width ? size : *width;
    }
    for (size_t i = 0; i < rows * table->columns; i++) {
        bool is_last = (i + 1) % table->columns == 0;
        printf("%-*s%s", is_last ? 0 : (int)widths[i % table->columns], table->cells[i],
               is_last ? "\n" : "  ");
    }
    for (size_t i = 0; i < table->n_cells; i++) {
        free(table->cells[i]);
    }
    free(table->cells);
    *table = (struct cli_table){0};
}
