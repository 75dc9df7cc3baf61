#include "node/write_rule.h"

#include "base/json.h"
#include "node/worker.h"
#include "store/catalog.h"

static json_t *rule_detail(struct bytes repository, const struct write_rule *rule)
{
    struct buffer command;
    json_t *detail;

    buffer_init(&command, 2048);
    buffer_print(&command, "caisson promote <repository>@<digest> --to " BYTES_FMT,
                 BYTES_ARG(rule->stage));
    detail = json_pack("{s:s%, s:s%, s:s%, s:s}", "repository", repository.data, repository.size,
                       "pipeline", rule->pipeline.size > 0 ? (const char *)rule->pipeline.data : "",
                       rule->pipeline.size, "stage",
                       rule->stage.size > 0 ? (const char *)rule->stage.data : "", rule->stage.size,
                       "command", buffer_string(&command));
    buffer_release(&command);
    return detail;
}

void write_rule_refuse(struct exchange *exchange, const char *text)
{
    struct bytes repository = exchange_parameter(exchange, "name");
    struct write_rule rule;
    struct catalog_txn txn;
    json_t *detail;

    catalog_read(exchange_worker(exchange)->catalog, &txn);
    catalog_write_rule(&txn, repository, &rule);
    detail = rule_detail(repository, &rule);
    catalog_done(&txn);
    exchange_fail_as(exchange, 403, "DENIED", detail, "%s", text);
}

bool write_rule_allows(struct exchange *exchange)
{
    struct bytes repository = exchange_parameter(exchange, "name");
    struct write_rule rule;
    struct catalog_txn txn;
    struct reason why;
    bool is_open;

    catalog_read(exchange_worker(exchange)->catalog, &txn);
    catalog_write_rule(&txn, repository, &rule);
    is_open = rule.mode == WRITE_OPEN;
    if (!is_open) {
        (void)fail(&why, ERROR_PROMOTION_ONLY,
                   "repository " BYTES_FMT " is stage " BYTES_FMT " of pipeline " BYTES_FMT
                   " and takes only promotions: push to the pipeline's first stage, then run "
                   "\"caisson promote\"",
                   BYTES_ARG(repository), BYTES_ARG(rule.stage), BYTES_ARG(rule.pipeline));
    }
    catalog_done(&txn);
    if (!is_open) {
        write_rule_refuse(exchange, why.text);
    }
    return is_open;
}
