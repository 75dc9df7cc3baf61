#include "promotion/stage_tags.h"

#include "base/memory.h"
#include "promotion/audit.h"
#include "promotion/version.h"

#include <stdio.h>
#include <stdlib.h>

#define CHANNELS_MAX 16
#define PATTERN_MAX  128u

/* --- the document ----------------------------------------------------------------------------- */

static bool pattern_is_valid(const char *text)
{
    size_t size = strlen(text);

    return size > 0 && size <= PATTERN_MAX &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-#*") ==
               size;
}

static enum error parse_version(const json_t *tags, const char *place, struct stage *out,
                                struct reason *why)
{
    const json_t *version = json_object_get(tags, "version");

    if (version == NULL) {
        return OK;
    }
    out->version = json_string_value(version);
    if (out->version == NULL || !pattern_is_valid(out->version)) {
        return fail(why, ERROR_INVALID,
                    "%s: version must be semver, numbers, or a pattern such as \"v#.#.#\", where # "
                    "is a run of digits and * any text",
                    place);
    }
    return OK;
}

static enum error parse_channels(const json_t *tags, const char *place, struct stage *out,
                                 struct reason *why)
{
    const json_t *channels = json_object_get(tags, "channels");
    char list[PIPELINE_NAME_MAX + 48];
    enum error error;
    size_t i;

    if (channels == NULL) {
        return OK;
    }
    snprintf(list, sizeof list, "%s: channels", place);
    error = document_names(channels, list, "tags", why);
    if (error == OK && json_array_size(channels) > CHANNELS_MAX) {
        error = fail(why, ERROR_INVALID, "%s: at most %d", list, CHANNELS_MAX);
    }
    for (i = 0; i < json_array_size(channels) && error == OK; i++) {
        const char *name = json_string_value(json_array_get(channels, i));

        if (!tag_is_valid(bytes_of_string(name))) {
            error = fail(why, ERROR_INVALID, "%s: \"%.64s\" is no valid tag", list, name);
        }
    }
    out->channels = channels;
    return error;
}

enum error stage_tags_parse(const json_t *tags, struct stage *out, struct reason *why)
{
    static const char *const allowed[] = {"version", "channels", NULL};
    char place[PIPELINE_NAME_MAX + 32];
    enum error error;

    if (tags == NULL) {
        return OK;
    }
    snprintf(place, sizeof place, "stage %s, tags", out->name);
    error = document_check_members(tags, place, allowed, NULL, why);
    if (error == OK && !out->is_promotion_only) {
        error = fail(why, ERROR_INVALID,
                     "%s: these rules are for what promotions set, and write is open: set write to "
                     "promotion-only",
                     place);
    }
    if (error == OK) {
        error = parse_version(tags, place, out, why);
    }
    if (error == OK) {
        error = parse_channels(tags, place, out, why);
    }
    if (error == OK && out->version == NULL && out->channels == NULL) {
        error = fail(why, ERROR_INVALID, "%s: give version, channels, or both", place);
    }
    return error;
}

enum error stage_supersede_parse(const json_t *value, struct stage *out, struct reason *why)
{
    const char *rule = json_string_value(value);

    if (value == NULL) {
        return OK;
    }
    if (rule != NULL && strcmp(rule, "supersede-pending") == 0) {
        out->supersede = SUPERSEDE_PENDING;
    } else if (rule != NULL && strcmp(rule, "fail") == 0) {
        out->supersede = SUPERSEDE_FAIL;
    } else {
        return fail(why, ERROR_INVALID, "stage %s: supersede must be supersede-pending or fail",
                    out->name);
    }
    return OK;
}

/* --- tags ------------------------------------------------------------------------------------- */

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* Iterative, going back to the last '*' only, so that no pattern takes long. A '#' takes all digits
 * that stand there. */
static bool pattern_match(const char *pattern, struct bytes text)
{
    const char *star = NULL;
    size_t at = 0, star_at = 0;

    while (at < text.size || *pattern != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            star_at = at;
        } else if (*pattern == '#' && at < text.size && is_digit(text.data[at])) {
            for (pattern++; at < text.size && is_digit(text.data[at]); at++) {
            }
        } else if (*pattern != '\0' && at < text.size && (uint8_t)*pattern == text.data[at]) {
            pattern++;
            at++;
        } else if (star != NULL && star_at < text.size) {
            pattern = star + 1;
            at = ++star_at;
        } else {
            return false;
        }
    }
    return true;
}

static bool is_version(const struct stage *stage, struct bytes tag)
{
    struct version version;

    if (stage->version == NULL) {
        return false;
    }
    if (strcmp(stage->version, "semver") == 0) {
        return version_parse(VERSION_SEMVER, tag, &version);
    }
    if (strcmp(stage->version, "numbers") == 0) {
        return version_parse(VERSION_NUMBERS, tag, &version);
    }
    return pattern_match(stage->version, tag);
}

static bool is_channel(const struct stage *stage, struct bytes tag)
{
    size_t i;

    for (i = 0; i < json_array_size(stage->channels); i++) {
        if (bytes_equal_string(tag, json_string_value(json_array_get(stage->channels, i)))) {
            return true;
        }
    }
    return false;
}

struct taken {
    const struct digest *root;
    struct digest other;
};

static bool visit_interval(void *data, struct bytes tag, const struct tag_interval *interval)
{
    struct taken *taken = data;

    (void)tag;
    if (!digest_equal(&interval->digest, taken->root)) {
        taken->other = interval->digest;
        return false;
    }
    return true;
}

static enum error check_tag(struct catalog_txn *txn, const struct stage *stage,
                            const struct promotion_item *item, struct bytes tag, const char **code,
                            struct reason *why)
{
    struct taken taken = {.root = &item->root};
    char other[DIGEST_TEXT_MAX];

    if (is_channel(stage, tag)) {
        return OK;
    }
    if (!is_version(stage, tag)) {
        *code = "TAG_NOT_ALLOWED";
        return fail(why, ERROR_INVALID,
                    "stage %s takes no tag %.*s: it is neither a channel of it nor a version%s%s",
                    stage->name, BYTES_ARG(tag), stage->version != NULL ? " as of " : "",
                    stage->version != NULL ? stage->version : "");
    }
    catalog_tag_intervals(txn, item->target, tag, visit_interval, &taken);
    if (taken.other.algorithm == 0) {
        return OK;
    }
    digest_format(&taken.other, other);
    *code = "VERSION_TAKEN";
    return fail(why, ERROR_CONFLICT,
                "%.*s:%.*s is a version, and was set to %.19s: a version is one image for ever, "
                "give this one another",
                BYTES_ARG(item->target), BYTES_ARG(tag), other);
}

enum error stage_tags_check(struct catalog_txn *txn, const struct stage *stage,
                            const struct promotion *promotion, const char **code,
                            struct reason *why)
{
    enum error error = OK;
    size_t i, k;

    if (stage->version == NULL && stage->channels == NULL) {
        return OK;
    }
    for (i = 0; i < promotion->n_items && error == OK; i++) {
        const struct promotion_item *item = &promotion->items[i];

        for (k = 0; k < item->n_tags && error == OK; k++) {
            error = check_tag(txn, stage, item, item->tags[k].name, code, why);
        }
    }
    return error;
}

/* --- those that wait for the same tag --------------------------------------------------------- */

struct rivals {
    struct catalog_txn *txn;
    const struct promotion *promotion;
    char (*ids)[PROMOTION_ID_SIZE + 1];
    size_t n, capacity;
};

static bool sets_tag(const struct promotion_item *item, struct bytes target, struct bytes tag)
{
    size_t i;

    for (i = 0; i < item->n_tags && bytes_equal(item->target, target); i++) {
        if (bytes_equal(item->tags[i].name, tag)) {
            return true;
        }
    }
    return false;
}

static bool share_tag(const struct promotion *a, const struct promotion *b)
{
    size_t i, k, t;

    for (i = 0; i < a->n_items; i++) {
        for (t = 0; t < a->items[i].n_tags; t++) {
            for (k = 0; k < b->n_items; k++) {
                if (sets_tag(&b->items[k], a->items[i].target, a->items[i].tags[t].name)) {
                    return true;
                }
            }
        }
    }
    return false;
}

static bool visit_open(void *data, struct bytes id)
{
    struct rivals *rivals = data;
    struct promotion other;

    if (promotion_load(rivals->txn, id, &other) != OK) {
        return true;
    }
    if (!promotion_is_rollback(&other) &&
        bytes_equal(other.pipeline, rivals->promotion->pipeline) &&
        bytes_equal(other.to, rivals->promotion->to) && share_tag(rivals->promotion, &other)) {
        if (rivals->n == rivals->capacity) {
            rivals->capacity = rivals->capacity * 2 + 4;
            rivals->ids = memory_resize(rivals->ids, rivals->capacity * sizeof *rivals->ids);
        }
        snprintf(rivals->ids[rivals->n++], PROMOTION_ID_SIZE + 1, "%.*s", BYTES_ARG(id));
    }
    promotion_release(&other);
    return true;
}

static void end_rival(const struct command_context *context, const char *id,
                      const struct promotion *by)
{
    struct promotion other;
    char text[128];

    if (promotion_load(context->txn, bytes_of_string(id), &other) != OK) {
        return;
    }
    snprintf(text, sizeof text, "promotion %.*s asks for the same tag", BYTES_ARG(by->id));
    other.state = PROMOTION_SUPERSEDED;
    other.code = BYTES_LITERAL("SUPERSEDED");
    other.text = bytes_of_string(text);
    other.updated_ms = context->time_ms;
    promotion_save(context->txn, &other);
    audit_append(context, "promotion.superseded", other.pipeline, other.id,
                 json_pack("{s:s, s:s%}", "code", "SUPERSEDED", "by", by->id.data, by->id.size));
    other.text = BYTES_NONE;
    promotion_release(&other);
}

enum error stage_supersede(const struct command_context *context, const struct stage *stage,
                           const struct promotion *promotion, struct reason *why)
{
    struct rivals rivals = {.txn = context->txn, .promotion = promotion};
    enum error error = OK;
    size_t i;

    if (stage->supersede == SUPERSEDE_NOTHING ||
        (stage->supersede == SUPERSEDE_FAIL && promotion_is_rollback(promotion))) {
        return OK;
    }
    promotion_list_open(context->txn, visit_open, &rivals);
    if (stage->supersede == SUPERSEDE_FAIL && rivals.n > 0) {
        error = fail(why, ERROR_CONFLICT,
                     "promotion %s waits to set the same tag in stage %s: wait for its end, or "
                     "cancel it",
                     rivals.ids[0], stage->name);
    }
    for (i = 0; i < rivals.n && stage->supersede == SUPERSEDE_PENDING; i++) {
        end_rival(context, rivals.ids[i], promotion);
    }
    free(rivals.ids);
    return error;
}
