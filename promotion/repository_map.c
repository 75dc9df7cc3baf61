#include "promotion/repository_map.h"

#include "base/assert.h"
#include "store/catalog.h"

/* A stand-in for the wildcard, to check the rest of a pattern as a repository name. */
static bool rest_is_a_name(const struct repository_pattern *pattern)
{
    struct buffer name;
    bool valid;

    buffer_init(&name, NAME_MAX_SIZE);
    buffer_append(&name, pattern->prefix);
    if (pattern->wildcard != WILDCARD_NONE) {
        buffer_append_string(&name, "x");
    }
    buffer_append(&name, pattern->suffix);
    valid = buffer_status(&name) == OK && repository_name_is_valid(buffer_view(&name));
    buffer_release(&name);
    return valid;
}

enum error repository_pattern_parse(struct bytes text, struct repository_pattern *out,
                                    struct reason *why)
{
    ptrdiff_t star = bytes_find(text, '*');
    size_t width = 0;

    *out = (struct repository_pattern){.text = text, .prefix = text};
    if (star >= 0) {
        struct bytes rest = bytes_slice(text, (size_t)star, text.size);

        width = bytes_starts_with(rest, BYTES_LITERAL("**")) ? 2 : 1;
        out->wildcard = width == 2 ? WILDCARD_PATH : WILDCARD_COMPONENT;
        out->prefix = bytes_slice(text, 0, (size_t)star);
        out->suffix = bytes_slice(rest, width, rest.size);
    }
    if (text.size > NAME_MAX_SIZE || bytes_find(out->suffix, '*') >= 0 || !rest_is_a_name(out)) {
        return fail(why, ERROR_INVALID,
                    "repos \"" BYTES_FMT "\" is not understood: give a repository name with at "
                    "most one * or ** in it, such as \"dev/shop/*\"",
                    text.size > 80 ? 80 : (int)text.size, (const char *)text.data);
    }
    return OK;
}

bool repository_pattern_match(const struct repository_pattern *pattern, struct bytes name,
                              struct bytes *capture)
{
    size_t around = pattern->prefix.size + pattern->suffix.size;

    *capture = BYTES_NONE;
    if (pattern->wildcard == WILDCARD_NONE) {
        return bytes_equal(pattern->text, name);
    }
    if (name.size <= around || !bytes_starts_with(name, pattern->prefix) ||
        !bytes_ends_with(name, pattern->suffix)) {
        return false;
    }
    *capture = bytes_slice(name, pattern->prefix.size, name.size - around);
    return pattern->wildcard == WILDCARD_PATH || bytes_find(*capture, '/') < 0;
}

enum error repository_pattern_map(const struct repository_pattern *source,
                                  const struct repository_pattern *target, struct bytes name,
                                  struct buffer *out, struct reason *why)
{
    struct bytes capture;
    size_t start = out->size;

    if (!repository_pattern_match(source, name, &capture)) {
        return fail(why, ERROR_NOT_FOUND, "repository %.*s is not of the stage with repos %.*s",
                    BYTES_ARG(name), BYTES_ARG(source->text));
    }
    buffer_append(out, target->prefix);
    buffer_append(out, capture);
    buffer_append(out, target->suffix);
    if (buffer_status(out) != OK ||
        !repository_name_is_valid(bytes_slice(buffer_view(out), start, out->size))) {
        return fail(why, ERROR_INVALID,
                    "repository %.*s would become a name that is not valid or too long in %.*s",
                    BYTES_ARG(name), BYTES_ARG(target->text));
    }
    return OK;
}

/* A wildcard at i: its width in the text, 0 for a plain character or the end. */
static size_t wildcard_width(struct bytes text, size_t i)
{
    return i >= text.size || text.data[i] != '*'          ? 0
           : i + 1 < text.size && text.data[i + 1] == '*' ? 2
                                                          : 1;
}

/* One step of both patterns side by side, over all pairs of positions that a common name can reach:
 * a wildcard may end, or swallow the other's character. */
static void overlap_step(struct bytes a, struct bytes b, size_t i, size_t j, bool *reached)
{
    size_t columns = b.size + 1, wa = wildcard_width(a, i), wb = wildcard_width(b, j);

    if (wa > 0) {
        reached[(i + wa) * columns + j] = true;
    }
    if (wb > 0) {
        reached[i * columns + j + wb] = true;
    }
    if (wa > 0 && wb == 0 && j < b.size && (wa == 2 || b.data[j] != '/')) {
        reached[i * columns + j + 1] = true;
    }
    if (wb > 0 && wa == 0 && i < a.size && (wb == 2 || a.data[i] != '/')) {
        reached[(i + 1) * columns + j] = true;
    }
    if (wa == 0 && wb == 0 && i < a.size && j < b.size && a.data[i] == b.data[j]) {
        reached[(i + 1) * columns + j + 1] = true;
    }
}

bool repository_pattern_overlap(const struct repository_pattern *a,
                                const struct repository_pattern *b)
{
    static const size_t side = NAME_MAX_SIZE + 1;
    bool reached[(NAME_MAX_SIZE + 1) * (NAME_MAX_SIZE + 1)] = {false};
    size_t columns = b->text.size + 1, i, j;

    PRE(a->text.size < side && b->text.size < side);
    reached[0] = true;
    for (i = 0; i <= a->text.size; i++) {
        for (j = 0; j <= b->text.size; j++) {
            if (reached[i * columns + j]) {
                overlap_step(a->text, b->text, i, j, reached);
            }
        }
    }
    return reached[a->text.size * columns + b->text.size];
}
