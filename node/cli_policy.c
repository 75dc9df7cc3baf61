#include "node/cli_promotion.h"

#include "base/json.h"
#include "node/cli_table.h"
#include "promotion/gates.h"

#include <stdio.h>
#include <stdlib.h>

/* `caisson policy lint` and `policy test`: what a pipeline's document means, before it is set. */

/* The one file that -f names; NULL after a sentence. */
static const char *read_options(int argc, char **argv, struct cli_client *client)
{
    const char *file = NULL;
    const struct cli_option options[] = {{"-f", CLI_TEXT, &file}, {"--file", CLI_TEXT, &file}, {0}};
    const struct cli_option *const tables[] = {cli_client_options(client), options, NULL};
    int n = cli_options(argc, argv, tables);

    if (n >= 0 && (n > 0 || file == NULL)) {
        (void)cli_fail(CLI_USAGE, "say which file: -f FILE");
    }
    return n == 0 ? file : NULL;
}

/* --- lint ------------------------------------------------------------------------------------- */

static bool leads_on(const struct pipeline *pipeline, const struct stage *stage)
{
    size_t i;

    for (i = 0; i < pipeline->n_stages && pipeline->stages[i].from != stage; i++) {
    }
    return i < pipeline->n_stages;
}

static size_t warn_stage(const struct pipeline *pipeline, const struct stage *stage)
{
    bool has_people = false;
    size_t warnings = 0, i;

    for (i = 0; i < stage->n_gates; i++) {
        const struct gate *gate = &stage->gates[i];

        has_people = has_people || strcmp(gate_type_name(gate), "approvals") == 0;
        if (gate->mode != GATE_ENFORCE) {
            printf("warning: stage %s, gate %s: its mode stops nothing\n", stage->name, gate->id);
            warnings++;
        }
        if (gate->is_mandatory && gate->mode != GATE_ENFORCE) {
            printf("warning: stage %s, gate %s: mandatory, but its mode stops nothing\n",
                   stage->name, gate->id);
            warnings++;
        }
    }
    if (stage->from != NULL && !leads_on(pipeline, stage) && !has_people) {
        printf("warning: stage %s is the last, and nobody has to approve\n", stage->name);
        warnings++;
    }
    if (stage->from != NULL && !stage->is_promotion_only) {
        printf("warning: stage %s takes pushes too, since write is open\n", stage->name);
        warnings++;
    }
    return warnings;
}

static void warn(const struct pipeline *pipeline)
{
    size_t warnings = 0, i;

    for (i = 0; i < pipeline->n_stages; i++) {
        warnings += warn_stage(pipeline, &pipeline->stages[i]);
    }
    printf("pipeline %s is good: %zu stages, %zu warnings\n", pipeline->name, pipeline->n_stages,
           warnings);
}

int cli_policy_lint_run(int argc, char **argv)
{
    struct cli_client client = {0};
    const char *file = read_options(argc, argv, &client);
    struct pipeline *pipeline = NULL;
    struct reason why = {""};
    struct buffer text;
    json_t *document;
    enum error error;

    if (file == NULL) {
        return CLI_USAGE;
    }
    document = cli_read_yaml(file);
    if (document == NULL) {
        return CLI_USAGE;
    }
    buffer_init(&text, (size_t)PIPELINE_SIZE_MAX * 6);
    json_write(&text, document);
    json_decref(document);
    error = pipeline_parse(buffer_view(&text), BYTES_NONE, &pipeline, &why);
    buffer_release(&text);
    if (error != OK) {
        return cli_fail(CLI_BLOCKED, "%s: %s", file, why.text);
    }
    warn(pipeline);
    pipeline_release(pipeline);
    return CLI_OK;
}

/* --- test ------------------------------------------------------------------------------------- */

static int print_test(const json_t *body)
{
    static const char *const headings[] = {"PROMOTION", "TO", "NOW", "THEN", "WHY"};
    const json_t *list = json_object_get(body, "open");
    struct cli_table table;
    size_t i;

    printf("the document is good; its revision would be %s\n",
           cli_promotion_text(body, "revision"));
    if (json_array_size(list) == 0) {
        printf("no promotion of it is open\n");
        return CLI_OK;
    }
    cli_table_init(&table, 5, headings);
    for (i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);

        cli_table_cell(&table, "%s", cli_promotion_text(one, "id"));
        cli_table_cell(&table, "%s", cli_promotion_text(one, "to"));
        cli_table_cell(&table, "%s", cli_promotion_text(one, "now"));
        cli_table_cell(&table, "%s", cli_promotion_text(one, "then"));
        cli_table_cell(&table, "%s", cli_promotion_text(one, "code"));
    }
    cli_table_print(&table);
    return CLI_OK;
}

int cli_policy_test_run(int argc, char **argv)
{
    struct cli_client client = {0};
    const char *file = read_options(argc, argv, &client), *name;
    char path[160];
    struct cli_call call = {.method = "PUT", .path = path};

    if (file == NULL) {
        return CLI_USAGE;
    }
    call.body = cli_read_yaml(file);
    if (call.body == NULL) {
        return CLI_USAGE;
    }
    name = cli_promotion_text(call.body, "pipeline");
    if (!pipeline_name_is_valid(bytes_of_string(name))) {
        json_decref(call.body);
        return cli_fail(CLI_USAGE, "%s: 'pipeline' must be its name", file);
    }
    snprintf(path, sizeof path, "/api/v1/pipelines/%s?dry_run=1", name);
    return cli_show(&client, &call, print_test);
}
