#ifndef TESTS_SIM_WORLD_TRACE_H
#define TESTS_SIM_WORLD_TRACE_H

#include <stdbool.h>

/* What happened, with virtual time and host: the product's own log, faults, operations. The last
 * lines are kept for a seed that fails. */

void trace_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Print each line as it comes; messages: what peers say to each other too. */
void trace_print_as_it_comes(bool is_wanted, bool messages);
bool trace_messages_wanted(void);
void trace_print_last(void);
void trace_reset(void);

#endif
