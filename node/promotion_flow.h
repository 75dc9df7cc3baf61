#ifndef NODE_PROMOTION_FLOW_H
#define NODE_PROMOTION_FLOW_H

#include "node/control.h"
#include "node/promotion_body.h"
#include "node/routes_promotion.h"

/* One request that decides about a promotion, from its body to its answer: ask for one, approve,
 * reject, override, cancel; and a GET that waits. Shared by routes_promotion_write.c and
 * routes_promotion_decide.c.
 *
 *   read --> propose (create, decide, cancel) --> look --> commit --> look ... --> answer
 *                                                  |  ^
 *                                                  v  |
 *                                                 sleep (while the client wants to wait)
 *
 * A flow holds its exchange and has one operation under way. look evaluates the promotion on this
 * node's catalog; when it is ready it proposes the commit itself, so that an answer can say
 * "committed"; what becomes ready later is the leader's promoter's (node/promoter.h). The client
 * may go away at any time: the flow ends at its next step, the log keeps what was decided. */

enum flow_kind { FLOW_CREATE, FLOW_DECIDE, FLOW_OVERRIDE, FLOW_CANCEL, FLOW_GET };

struct flow {
    struct exchange *exchange;
    enum flow_kind kind;
    struct control_propose propose;
    struct control_read read;
    uv_timer_t timer;
    uint64_t deadline_ms; /* Monotonic; until then an open promotion is waited for. */
    unsigned commits;
    char id[PROMOTION_ID_SIZE + 1];
    struct promotion_body body; /* Create. */
    json_t *decision;           /* Decide, override and cancel: the body. */
    bool is_approval;
    uint64_t ttl_ms; /* Override. */
    char gates[GATES_MAX * (PIPELINE_NAME_MAX + 1)];
};

struct flow *flow_make(struct exchange *exchange, enum flow_kind kind);
/* After the answer. */
void flow_end(struct flow *flow);
/* Answer with an error, and end. */
void flow_fail(struct flow *flow, enum error error, const struct reason *why);
void flow_fail_unknown(struct flow *flow);
/* Answer with the promotion as it stands, and end. */
void flow_answer(struct flow *flow, const struct promotion *promotion,
                 const struct evaluation *evaluation, bool is_dry_run);
/* Take the id from the path. */
void flow_set_id(struct flow *flow);
/* Look, once the result of the flow's command is seen here; or once what was acknowledged anywhere
 * is. */
void flow_look_after(struct flow *flow, const struct command_result *result);
void flow_look_now(struct flow *flow);

#endif
