#ifndef PROMOTION_PIPELINE_PARSE_H
#define PROMOTION_PIPELINE_PARSE_H

#include "promotion/document.h"
#include "promotion/pipeline.h"

/* One element of "gates". within: "stage prod". groups: the document's, may be NULL. gate_release()
 * it after OK. */
enum error gate_parse(const json_t *object, const char *within, const json_t *groups,
                      struct gate *out, struct reason *why) MUST_USE;
void gate_release(struct gate *gate);

#endif
