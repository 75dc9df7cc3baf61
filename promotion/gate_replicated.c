#include "base/memory.h"
#include "promotion/gate_kind.h"

#include <stdio.h>

/* "replicated": all that moves is on so many members of now. Every promotion wants two copies
 * already; this is for stages that want more, such as every node before prod. */

struct replicated_settings {
    uint64_t nodes;
};

static enum error parse(const struct gate_document *document, struct gate *gate, struct reason *why)
{
    struct replicated_settings *settings = gate->settings = memory_zero(sizeof *settings);
    enum error error = document_number(document->object, document->place, "nodes", 1, HOLDERS_MAX,
                                       &settings->nodes, why);

    if (error == OK && settings->nodes == 0) {
        return fail(why, ERROR_INVALID, "%s: nodes is missing: on how many, such as 3",
                    document->place);
    }
    return error;
}

struct copies_count {
    size_t digests, lacking;
    const struct digest *first; /* That lacks copies. */
};

static void count_closure(const struct gate_question *question, const struct closure *closure,
                          struct copies_count *count)
{
    const struct replicated_settings *settings = question->gate->settings;
    uint64_t holders[HOLDERS_MAX];
    struct blob_record blob;
    size_t i;

    for (i = 0; i < closure->n; i++) {
        const struct digest *digest = &closure->entries[i].digest;
        size_t copies = catalog_blob(question->txn, digest, &blob) == OK
                            ? catalog_live_holders(question->txn, &blob, holders)
                            : 0;

        count->digests++;
        if (copies < settings->nodes) {
            count->first = count->lacking++ == 0 ? digest : count->first;
        }
    }
}

static void decide(const struct gate_question *question, struct gate_outcome *out)
{
    const struct replicated_settings *settings = question->gate->settings;
    struct copies_count count = {0};
    char digest[DIGEST_TEXT_MAX];
    size_t i;

    for (i = 0; i < question->promotion->n_items; i++) {
        count_closure(question, &question->promotion->items[i].closure, &count);
    }
    if (count.lacking == 0) {
        snprintf(out->text, sizeof out->text, "%zu digests, each on %u nodes or more",
                 count.digests, (unsigned)settings->nodes);
        return;
    }
    digest_format(count.first, digest);
    gate_refuse(out, GATE_PENDING, "REPLICAS_MISSING");
    snprintf(out->text, sizeof out->text, "%zu of %zu digests are on fewer than %u nodes: %.19s",
             count.lacking, count.digests, (unsigned)settings->nodes, digest);
    snprintf(
        out->next, sizeof out->next,
        "they are copied by themselves while that many nodes are up; see `caisson cluster status`");
}

static const char *const members[] = {"nodes", NULL};

const struct gate_kind gate_kind_replicated = {
    .name = "replicated", .members = members, .parse = parse, .decide = decide};
