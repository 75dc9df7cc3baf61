/* The grammar of repository names and tags (OCI distribution specification, "Pulling manifests"),
 * and globs of repository names. */

#include "store/catalog.h"

static bool is_word(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Length of the separator at the start of rest: one '.', one or two '_', any number of '-'; 0 when
 * there is none. */
static size_t separator_size(struct bytes rest)
{
    size_t n = 0;

    if (rest.size == 0) {
        return 0;
    }
    switch (rest.data[0]) {
    case '.':
        return 1;
    case '_':
        return rest.size > 1 && rest.data[1] == '_' ? 2 : 1;
    case '-':
        while (n < rest.size && rest.data[n] == '-') {
            n++;
        }
        return n;
    default:
        return 0;
    }
}

/* [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)* */
bool repository_name_is_valid(struct bytes name)
{
    size_t at = 0;

    if (name.size == 0 || name.size > NAME_MAX_SIZE) {
        return false;
    }
    for (;;) {
        size_t start = at;

        while (at < name.size && is_word(name.data[at])) {
            at++;
        }
        if (at == start) {
            return false;
        }
        if (at == name.size) {
            return true;
        }
        if (name.data[at] == '/') {
            at++;
        } else {
            size_t size = separator_size(bytes_slice(name, at, name.size));

            if (size == 0) {
                return false;
            }
            at += size;
        }
    }
}

/* [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127} */
bool tag_is_valid(struct bytes tag)
{
    size_t i;

    if (tag.size == 0 || tag.size > TAG_MAX_SIZE) {
        return false;
    }
    for (i = 0; i < tag.size; i++) {
        uint8_t c = tag.data[i];

        if (is_word(c) || (c >= 'A' && c <= 'Z') || c == '_') {
            continue;
        }
        if (i == 0 || (c != '.' && c != '-')) {
            return false;
        }
    }
    return true;
}

/* Matching goes back to the last star only: to the last '*' as long as it need not swallow a '/',
 * else to the last '**'. Earlier ones cannot help, for slashes pair up one to one between two
 * '**', and within a component the leftmost match leaves most to the rest. So the time is bounded
 * by the product of the lengths, whatever the pattern. */
struct glob_match {
    size_t pattern, name; /* Where matching stands. */
    /* Where to go on when the last '*' and the last '**' swallow one byte more. */
    size_t star_pattern, star_name;
    size_t deep_pattern, deep_name;
    bool has_star, has_deep;
};

static void take_star(struct glob_match *match, struct bytes glob)
{
    size_t first = match->pattern;

    while (match->pattern < glob.size && glob.data[match->pattern] == '*') {
        match->pattern++;
    }
    if (match->pattern - first > 1) {
        match->has_deep = true;
        match->has_star = false;
        match->deep_pattern = match->pattern;
        match->deep_name = match->name;
    } else {
        match->has_star = true;
        match->star_pattern = match->pattern;
        match->star_name = match->name;
    }
}

static bool go_back(struct glob_match *match, struct bytes name)
{
    if (match->has_star && match->star_name < name.size && name.data[match->star_name] != '/') {
        match->name = ++match->star_name;
        match->pattern = match->star_pattern;
        return true;
    }
    if (match->has_deep && match->deep_name < name.size) {
        match->name = ++match->deep_name;
        match->pattern = match->deep_pattern;
        match->has_star = false;
        return true;
    }
    return false;
}

bool repository_glob_match(struct bytes glob, struct bytes name)
{
    struct glob_match match = {0};

    for (;;) {
        if (match.pattern < glob.size && glob.data[match.pattern] == '*') {
            take_star(&match, glob);
        } else if (match.pattern < glob.size && match.name < name.size &&
                   glob.data[match.pattern] == name.data[match.name]) {
            match.pattern++;
            match.name++;
        } else if (match.pattern == glob.size && match.name == name.size) {
            return true;
        } else if (!go_back(&match, name)) {
            return false;
        }
    }
}
