#include "node/command_tables.h"

#include "base/assert.h"
#include "promotion/commands.h"
#include "store/catalog.h"

const char program_version[] = CAISSON_VERSION;

size_t command_tables(const struct command_row **rows, size_t rows_max)
{
    size_t n = 0, i;

    PRE(rows_max >= catalog_commands_n + promotion_commands_n);
    for (i = 0; i < catalog_commands_n; i++) {
        rows[n++] = &catalog_commands[i];
    }
    for (i = 0; i < promotion_commands_n; i++) {
        rows[n++] = &promotion_commands[i];
    }
    return n;
}

const struct route routes_version[] = {
    {0},
};
