#ifndef NODE_WRITE_RULE_H
#define NODE_WRITE_RULE_H

#include "node/http.h"

/* Repositories that take only promotions, as clients hear of them. The apply of every command that
 * writes content decides (store/rules.c); this asks earlier, before bytes are taken, and finds the
 * words. */

/* May people write to the route's {name}? False: answered, 403 DENIED. */
bool write_rule_allows(struct exchange *exchange);
/* The answer to a command that was refused with ERROR_PROMOTION_ONLY; text: the refusal's. Its
 * detail has repository, pipeline, stage and the command that works. */
void write_rule_refuse(struct exchange *exchange, const char *text);

#endif
