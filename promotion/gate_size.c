#include "base/memory.h"
#include "promotion/byte_size.h"
#include "promotion/gate_kind.h"
#include "promotion/image_walk.h"

#include <stdio.h>

/* "size": no image, layer, or growth over what the target's tag names now, is larger than allowed.
 * An index is as large as its largest image: that is what one node pulls. */

struct size_settings {
    uint64_t max_image, max_layer; /* Bytes; 0: any. */
    uint64_t max_growth;           /* Percent; UINT64_MAX: any. */
};

static enum error parse_size(const struct gate_document *document, const char *key, uint64_t *size,
                             struct reason *why)
{
    const char *text = NULL;
    enum error error = document_string(document->object, document->place, key, &text, why);

    if (error == OK && text != NULL) {
        error = byte_size_parse(bytes_of_string(text), size, why);
        if (error != OK) {
            reason_prefix(why, "%s: %s", document->place, key);
        }
    }
    return error;
}

/* "20%". */
static enum error parse_growth(const struct gate_document *document, uint64_t *percent,
                               struct reason *why)
{
    const char *text = NULL;
    enum error error =
        document_string(document->object, document->place, "maxGrowthVsCurrent", &text, why);
    size_t size = text != NULL ? strlen(text) : 0;

    if (error != OK || text == NULL) {
        return error;
    }
    if (text[size - 1] != '%' || bytes_to_uint(bytes_of(text, size - 1), percent) != OK ||
        *percent > 100000) {
        return fail(why, ERROR_INVALID, "%s: maxGrowthVsCurrent must be such as \"20%%\"",
                    document->place);
    }
    return OK;
}

static enum error parse(const struct gate_document *document, struct gate *gate, struct reason *why)
{
    struct size_settings *settings = gate->settings = memory_zero(sizeof *settings);
    enum error error = parse_size(document, "maxImage", &settings->max_image, why);

    settings->max_growth = UINT64_MAX;
    if (error == OK) {
        error = parse_size(document, "maxLayer", &settings->max_layer, why);
    }
    if (error == OK) {
        error = parse_growth(document, &settings->max_growth, why);
    }
    if (error == OK && settings->max_image == 0 && settings->max_layer == 0 &&
        settings->max_growth == UINT64_MAX) {
        return fail(why, ERROR_INVALID,
                    "%s limits nothing: give maxImage, maxLayer or maxGrowthVsCurrent",
                    document->place);
    }
    return error;
}

struct largest {
    uint64_t image, layer;
};

static void measure(void *data, const struct image_manifest *manifest)
{
    struct largest *largest = data;

    if (!manifest->is_index && manifest->bytes > largest->image) {
        largest->image = manifest->bytes;
    }
    if (manifest->layer_bytes > largest->layer) {
        largest->layer = manifest->layer_bytes;
    }
}

static void refuse(const struct promotion_item *item, const char *code, const char *what,
                   uint64_t size, uint64_t max, struct gate_outcome *out)
{
    char is[BYTE_SIZE_TEXT_MAX], allowed[BYTE_SIZE_TEXT_MAX];

    byte_size_format(size, is);
    byte_size_format(max, allowed);
    gate_refuse(out, GATE_FAIL, code);
    snprintf(out->text, sizeof out->text, "%s of %.*s has %s, at most %s are allowed", what,
             BYTES_ARG(item->source), is, allowed);
    snprintf(out->next, sizeof out->next, "make it smaller, or raise the limit in the pipeline");
}

/* Against what each tag that would be moved names now. */
static void check_growth(const struct gate_question *question, const struct promotion_item *item,
                         uint64_t size, struct gate_outcome *out)
{
    const struct size_settings *settings = question->gate->settings;
    size_t i;

    for (i = 0; i < item->n_tags && out->result == GATE_PASS; i++) {
        struct largest current = {0};

        if (item->tags[i].expect.algorithm == 0 ||
            !image_walk(question->txn, item->target, &item->tags[i].expect, measure, &current)) {
            continue;
        }
        if (size > current.image &&
            (size - current.image) * 100 > current.image * settings->max_growth) {
            refuse(item, "IMAGE_GREW", "the image", size,
                   current.image + current.image * settings->max_growth / 100, out);
        }
    }
}

static void decide(const struct gate_question *question, struct gate_outcome *out)
{
    const struct size_settings *settings = question->gate->settings;
    struct largest all = {0};
    char image[BYTE_SIZE_TEXT_MAX], layer[BYTE_SIZE_TEXT_MAX];
    size_t i;

    for (i = 0; i < question->promotion->n_items && out->result == GATE_PASS; i++) {
        const struct promotion_item *item = &question->promotion->items[i];
        struct largest largest = {0};

        if (!image_walk(question->txn, item->source, &item->root, measure, &largest)) {
            gate_refuse(out, GATE_FAIL, "IMAGE_INCOMPLETE");
            snprintf(out->text, sizeof out->text, "a part of the image of %.*s is not there",
                     BYTES_ARG(item->source));
            snprintf(out->next, sizeof out->next, "push it again");
        } else if (settings->max_image > 0 && largest.image > settings->max_image) {
            refuse(item, "IMAGE_TOO_LARGE", "the image", largest.image, settings->max_image, out);
        } else if (settings->max_layer > 0 && largest.layer > settings->max_layer) {
            refuse(item, "LAYER_TOO_LARGE", "a layer", largest.layer, settings->max_layer, out);
        } else if (settings->max_growth != UINT64_MAX) {
            check_growth(question, item, largest.image, out);
        }
        all.image = largest.image > all.image ? largest.image : all.image;
        all.layer = largest.layer > all.layer ? largest.layer : all.layer;
    }
    if (out->result == GATE_PASS) {
        byte_size_format(all.image, image);
        byte_size_format(all.layer, layer);
        snprintf(out->text, sizeof out->text, "largest image %s, largest layer %s", image, layer);
    }
}

static const char *const members[] = {"maxImage", "maxLayer", "maxGrowthVsCurrent", NULL};

const struct gate_kind gate_kind_size = {
    .name = "size", .members = members, .parse = parse, .decide = decide};
