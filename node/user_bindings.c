#include "node/user_bindings.h"

#include "base/assert.h"
#include "base/json.h"
#include "base/pack.h"
#include "store/catalog.h"

static const struct {
    const char *name;
    unsigned action;
} action_names[] = {{"pull", ACTION_PULL},
                    {"push", ACTION_PUSH},
                    {"approve", ACTION_APPROVE},
                    {"admin", ACTION_ADMIN}};
#define N_ACTIONS (sizeof action_names / sizeof action_names[0])

static enum error read_actions(const json_t *list, unsigned *actions, struct reason *why)
{
    json_t *item;
    size_t i;

    *actions = 0;
    json_array_foreach(list, i, item)
    {
        const char *text = json_string_value(item);
        unsigned action = 0;
        for (size_t k = 0; text != NULL && k < N_ACTIONS; k++) {
            action |= strcmp(text, action_names[k].name) == 0 ? action_names[k].action : 0;
        }
        if (action == 0) {
            return fail(why, ERROR_INVALID,
                        "an action is pull, push, approve or admin, not '%.32s'",
                        text == NULL ? "(not a text)" : text);
        }
        *actions |= action;
    }
    return *actions != 0 ? OK : fail(why, ERROR_INVALID, "a binding needs a list of actions");
}

static enum error check_glob(const char *glob, struct reason *why)
{
    const char *allowed = "abcdefghijklmnopqrstuvwxyz0123456789-._/*";

    if (glob == NULL || glob[0] == '\0' || strlen(glob) > NAME_MAX_SIZE ||
        glob[strspn(glob, allowed)] != '\0') {
        return fail(why, ERROR_INVALID,
                    "a binding names repositories by a pattern such as dev/** or prod/shop/*");
    }
    return OK;
}

enum error user_bindings_pack(const json_t *list, struct buffer *out, struct reason *why)
{
    json_t *item;
    size_t i;

    if (!json_is_array(list) || json_array_size(list) > BINDINGS_MAX) {
        return fail(why, ERROR_INVALID, "bindings is a list of at most %d", BINDINGS_MAX);
    }
    pack_array(out, json_array_size(list));
    json_array_foreach(list, i, item)
    {
        const char *glob = json_member_string(item, "repositories");
        unsigned actions;
        enum error error = check_glob(glob, why);
        if (error == OK) {
            error = read_actions(json_object_get(item, "actions"), &actions, why);
        }
        if (error != OK) {
            return error;
        }
        pack_array(out, 2);
        pack_text(out, glob);
        pack_uint(out, actions);
    }
    return buffer_status(out);
}

static json_t *action_list(uint64_t actions)
{
    json_t *list = json_array();

    for (size_t k = 0; k < N_ACTIONS; k++) {
        if ((actions & action_names[k].action) != 0) {
            json_array_append_new(list, json_string(action_names[k].name));
        }
    }
    return list;
}

json_t *user_bindings_json(struct bytes packed)
{
    json_t *list = json_array();
    struct unpacker in;
    size_t n;

    unpack_start(&in, packed);
    n = unpack_array(&in);
    for (size_t i = 0; i < n && unpack_status(&in) == OK; i++) {
        struct bytes glob;
        uint64_t actions;
        unpack_array_of(&in, 2);
        glob = unpack_string(&in, NAME_MAX_SIZE);
        actions = unpack_uint(&in);
        json_array_append_new(list,
                              json_pack("{s:s%, s:o}", "repositories", (const char *)glob.data,
                                        glob.size, "actions", action_list(actions)));
    }
    return list;
}

enum error user_name_check(struct bytes name, struct reason *why)
{
    bool is_good = name.size >= 1 && name.size <= 64 && !bytes_equal_string(name, "anonymous");

    for (size_t i = 0; is_good && i < name.size; i++) {
        uint8_t c = name.data[i];
        bool is_alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        is_good = is_alnum || (i > 0 && (c == '.' || c == '_' || c == '-'));
    }
    return is_good ? OK
                   : fail(why, ERROR_INVALID,
                          "a user's name has 1 to 64 letters, digits, '.', '_' or '-', starts with "
                          "a letter or digit, and is not 'anonymous'");
}
