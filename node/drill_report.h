#ifndef NODE_DRILL_REPORT_H
#define NODE_DRILL_REPORT_H

#include "node/drill_run.h"

/* The report of a drill: one JSON document, which the cluster keeps, and from which the text and
 * the page for people are made, today or a year later. */

#define DRILL_REPORT_MAX (96u * 1024)

struct drill_limits {
    uint64_t write_gap_ms, read_gap_ms, errors; /* UINT64_MAX: none. */
};

/* The whole document; the caller's (json_decref). result was judged. */
json_t *drill_report_json(const struct drill_setup *setup, const struct drill_result *result,
                          const struct drill_limits *limits);
bool drill_report_passed(const json_t *report);
/* Acknowledged writes lost, stale reads, no order found: worse than slow. */
bool drill_report_is_safe(const json_t *report);

/* For a terminal. What a member of the document lacks is shown as "-": it may be another
 * version's. */
void drill_report_text(const json_t *report, struct buffer *out);
/* One self-contained page: no script, nothing is fetched. */
void drill_report_html(const json_t *report, struct buffer *out);

#endif
