#include "node/config.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/durable.h"
#include "base/memory.h"
#include "base/stream.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

/* Every key is a row of one table; the file, the command line and the messages all go by it. */

#define CONFIG_FILE_MAX (64u * 1024)

enum key_kind {
    KEY_TEXT,
    KEY_NAME,
    KEY_ADDRESS,
    KEY_DIRECTORY,
    KEY_FILE,
    KEY_SECRET_FILE,
    KEY_BOOL,
    KEY_UINT,
    KEY_SIZE,
    KEY_LEVEL,
    KEY_PEERS,
};

struct key {
    const char *name;
    enum key_kind kind;
    size_t offset, size; /* Of its field in struct config. */
    uint64_t least, most;
};

#define FIELD(field) offsetof(struct config, field), sizeof(((struct config *)NULL)->field)

static const struct key keys[] = {
    {"data_dir", KEY_DIRECTORY, FIELD(data_dir), 0, 0},
    {"name", KEY_NAME, FIELD(name), 0, 0},
    {"listen", KEY_ADDRESS, FIELD(listen), 0, 0},
    {"advertise", KEY_ADDRESS, FIELD(advertise), 0, 0},
    {"raft_listen", KEY_ADDRESS, FIELD(raft_listen), 0, 0},
    {"data_listen", KEY_ADDRESS, FIELD(data_listen), 0, 0},
    {"workers", KEY_UINT, FIELD(workers), 1, 64},
    {"open", KEY_BOOL, FIELD(open), 0, 0},
    {"allow_sparse", KEY_BOOL, FIELD(allow_sparse), 0, 0},
    {"tls.certificate", KEY_FILE, FIELD(tls_certificate), 0, 0},
    {"tls.key", KEY_FILE, FIELD(tls_key), 0, 0},
    {"join.token", KEY_TEXT, FIELD(join_token), 0, 0},
    {"join.token_file", KEY_SECRET_FILE, FIELD(join_token), 0, 0},
    {"join.peers", KEY_PEERS, FIELD(join_peers), 0, 0},
    {"election_timeout_ms", KEY_UINT, FIELD(election_timeout_ms), 50, 60000},
    {"heartbeat_ms", KEY_UINT, FIELD(heartbeat_ms), 5, 10000},
    {"snapshot_threshold", KEY_UINT, FIELD(snapshot_threshold), 16, 10000000},
    {"snapshot_trailing", KEY_UINT, FIELD(snapshot_trailing), 16, 10000000},
    {"log_segment_size", KEY_SIZE, FIELD(log_segment_size), 1048576, 1073741824},
    {"log_level", KEY_LEVEL, FIELD(log_level), 0, 0},
    {"free_space_mark", KEY_SIZE, FIELD(free_space_mark), 0, UINT64_MAX},
    {"upload_idle_minutes", KEY_UINT, FIELD(upload_idle_minutes), 1, 100000},
    {"repair_rate", KEY_SIZE, FIELD(repair_rate), 0, UINT64_MAX},
    {"scrub_rate", KEY_SIZE, FIELD(scrub_rate), 0, UINT64_MAX},
    {"scrub_interval_hours", KEY_UINT, FIELD(scrub_interval_hours), 1, 100000},
    {"drain_seconds", KEY_UINT, FIELD(drain_seconds), 1, 3600},
};
#define N_KEYS (sizeof keys / sizeof keys[0])

void config_init(struct config *config)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    *config = (struct config){
        .workers = cores > 2 ? (unsigned)(cores < 65 ? cores - 1 : 64) : 1,
        .log_level = LOG_LEVEL_INFO,
        .free_space_mark = 1ull << 30,
        .upload_idle_minutes = 60,
        .scrub_rate = 20ull << 20,
        .scrub_interval_hours = 168,
        .drain_seconds = 8,
    };
    snprintf(config->data_dir, sizeof config->data_dir, "./caisson-data");
    snprintf(config->listen, sizeof config->listen, "127.0.0.1:5000");
}

static const struct key *find_key(const char *name)
{
    for (size_t i = 0; i < N_KEYS; i++) {
        if (strcmp(keys[i].name, name) == 0) {
            return &keys[i];
        }
    }
    return NULL;
}

/* Names of the keys below section ("" or "tls."), for messages. */
static void list_keys(const char *section, struct buffer *out)
{
    size_t size = strlen(section);
    const char *last = "";
    size_t last_size = 0;

    for (size_t i = 0; i < N_KEYS; i++) {
        const char *name;
        size_t head;

        if (strncmp(keys[i].name, section, size) != 0) {
            continue;
        }
        name = keys[i].name + size;
        head = strcspn(name, ".");
        if (head == last_size && strncmp(name, last, head) == 0) {
            continue;
        }
        buffer_print(out, "%s%.*s", out->size > 0 ? ", " : "", (int)head, name);
        last = name;
        last_size = head;
    }
}

static enum error set_text(char *field, size_t size, const char *value, struct reason *why)
{
    if (value[0] == '\0') {
        return fail(why, ERROR_INVALID, "must not be empty");
    }
    if (strlen(value) >= size) {
        return fail(why, ERROR_INVALID, "is longer than %zu bytes", size - 1);
    }
    for (const char *c = value; *c != '\0'; c++) {
        if ((unsigned char)*c < 32 || *c == 127) {
            return fail(why, ERROR_INVALID, "holds a control byte");
        }
    }
    memcpy(field, value, strlen(value) + 1);
    return OK;
}

/* Names go into logs, certificates' records and host-like places: keep them plain. */
static enum error set_name(char *field, size_t size, const char *value, struct reason *why)
{
    const char *allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";

    if (value[strspn(value, allowed)] != '\0') {
        return fail(why, ERROR_INVALID, "'%.64s' may hold letters, digits, '-', '.' and '_' only",
                    value);
    }
    return set_text(field, size, value, why);
}

static enum error set_path(const struct key *key, char *field, const char *value,
                           struct reason *why)
{
    bool wants_directory = key->kind == KEY_DIRECTORY;
    struct stat status;

    if (stat(value, &status) != 0) {
        return fail_errno(why, errno, "%s %.200s", wants_directory ? "directory" : "file", value);
    }
    if (wants_directory != (bool)S_ISDIR(status.st_mode)) {
        return fail(why, ERROR_INVALID, "%.200s is %s", value,
                    wants_directory ? "not a directory" : "a directory, not a file");
    }
    return set_text(field, key->size, value, why);
}

/* The content of a file that holds one secret, so that it need not stand in the configuration. */
static enum error set_secret(const struct key *key, char *field, const char *path,
                             struct reason *why)
{
    char directory[CONFIG_TEXT_MAX];
    const char *slash = strrchr(path, '/');
    struct buffer text;
    enum error error;

    snprintf(directory, sizeof directory, "%.*s", slash == NULL ? 1 : (int)(slash - path + 1),
             slash == NULL ? "." : path);
    error = durable_read(directory, slash == NULL ? path : slash + 1, key->size - 1, &text, why);
    if (error == OK && text.size > 0) {
        text.data[strcspn((char *)text.data, "\r\n")] = '\0';
    }
    if (error == OK) {
        error = set_text(field, key->size, buffer_string(&text), why);
    }
    if (text.data != NULL) {
        memory_wipe(text.data, text.size);
    }
    buffer_release(&text);
    return error;
}

static enum error set_bool(bool *field, const char *value, struct reason *why)
{
    *field = strcmp(value, "true") == 0;
    return *field || strcmp(value, "false") == 0
               ? OK
               : fail(why, ERROR_INVALID, "must be true or false, not '%.64s'", value);
}

/* A number of bytes, with KiB, MiB, GiB or TiB after it if need be. */
static enum error parse_size(const char *value, uint64_t *out)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    size_t digits = strspn(value, "0123456789");
    const char *unit = value + digits + strspn(value + digits, " ");
    enum error error = bytes_to_uint(bytes_of(value, digits), out);

    if (error != OK || *unit == '\0') {
        return error;
    }
    for (size_t i = 0; i < 4; i++) {
        if (strcmp(unit, units[i]) == 0) {
            unsigned shift = 10 * ((unsigned)i + 1);
            if (*out > UINT64_MAX >> shift) {
                return ERROR_RANGE;
            }
            *out <<= shift;
            return OK;
        }
    }
    return ERROR_INVALID;
}

static enum error set_number(const struct key *key, void *field, const char *value,
                             struct reason *why)
{
    bool is_size = key->kind == KEY_SIZE;
    uint64_t number;
    enum error error = is_size ? parse_size(value, &number)
                               : bytes_to_uint(bytes_of_string(value), &number);

    if (error == ERROR_INVALID) {
        return fail(why, ERROR_INVALID, "must be a %s, not '%.64s'",
                    is_size ? "size such as 512MiB or 20GiB" : "whole number", value);
    }
    if (error != OK || number < key->least || number > key->most) {
        return fail(why, ERROR_INVALID, "must be from %llu to %llu", (unsigned long long)key->least,
                    (unsigned long long)key->most);
    }
    if (is_size) {
        *(uint64_t *)field = number;
    } else {
        *(unsigned *)field = (unsigned)number;
    }
    return OK;
}

static enum error set_level(enum log_level *field, const char *value, struct reason *why)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};

    for (int i = 0; i < 4; i++) {
        if (strcmp(value, names[i]) == 0) {
            *field = (enum log_level)i;
            return OK;
        }
    }
    return fail(why, ERROR_INVALID, "must be debug, info, warn or error, not '%.64s'", value);
}

static enum error set_address(char *field, size_t size, const char *value, struct reason *why)
{
    struct sockaddr_storage address;
    enum error error = address_parse(value, &address, why);

    return error == OK ? set_text(field, size, value, why) : error;
}

static enum error add_peer(struct config *config, const char *value, struct reason *why)
{
    if (config->n_join_peers == CONFIG_PEERS_MAX) {
        return fail(why, ERROR_INVALID, "holds more than %d addresses", CONFIG_PEERS_MAX);
    }
    return set_address(config->join_peers[config->n_join_peers++], sizeof config->join_peers[0],
                       value, why);
}

static enum error set_key(struct config *config, const struct key *key, const char *value,
                          struct reason *why)
{
    void *field = (char *)config + key->offset;

    CHECK(key->offset + key->size <= sizeof *config);
    switch (key->kind) {
    case KEY_TEXT:
        return set_text(field, key->size, value, why);
    case KEY_NAME:
        return set_name(field, key->size, value, why);
    case KEY_ADDRESS:
        return set_address(field, key->size, value, why);
    case KEY_DIRECTORY:
    case KEY_FILE:
        return set_path(key, field, value, why);
    case KEY_SECRET_FILE:
        return set_secret(key, field, value, why);
    case KEY_BOOL:
        return set_bool(field, value, why);
    case KEY_UINT:
    case KEY_SIZE:
        return set_number(key, field, value, why);
    case KEY_LEVEL:
        return set_level(field, value, why);
    case KEY_PEERS:
        return add_peer(config, value, why);
    }
    IMPOSSIBLE("a kind of key that nothing sets");
}

enum error config_set(struct config *config, const char *key, const char *value, struct reason *why)
{
    const struct key *row = find_key(key);
    enum error error;

    PRE(row != NULL);
    error = set_key(config, row, value, why);
    if (error != OK) {
        reason_prefix(why, "%s", key);
    }
    return error;
}

/* --- the file --------------------------------------------------------------------------------- */

struct reading {
    struct config *config;
    yaml_document_t document;
    const char *path;
    uint64_t seen; /* One bit per row of keys. */
};

static_assert(N_KEYS <= 64, "reading.seen has a bit for each key");

static enum error fail_at(const struct reading *reading, const yaml_node_t *node, const char *key,
                          struct reason *why)
{
    reason_prefix(why, "%s:%zu: %s", reading->path, node->start_mark.line + 1, key);
    return ERROR_INVALID;
}

static const char *scalar_text(const yaml_node_t *node)
{
    const char *text = (const char *)node->data.scalar.value;

    return strlen(text) == node->data.scalar.length ? text : NULL;
}

static enum error read_scalar(struct reading *reading, const struct key *key, yaml_node_t *value,
                              struct reason *why)
{
    const char *text = value->type == YAML_SCALAR_NODE ? scalar_text(value) : NULL;

    if (text == NULL) {
        (void)fail(why, ERROR_INVALID, "must be a single value");
        return fail_at(reading, value, key->name, why);
    }
    return set_key(reading->config, key, text, why) == OK ? OK
                                                          : fail_at(reading, value, key->name, why);
}

static enum error read_list(struct reading *reading, const struct key *key, yaml_node_t *value,
                            struct reason *why)
{
    enum error error = OK;

    if (value->type != YAML_SEQUENCE_NODE) {
        (void)fail(why, ERROR_INVALID, "must be a list of addresses");
        return fail_at(reading, value, key->name, why);
    }
    for (yaml_node_item_t *item = value->data.sequence.items.start;
         error == OK && item < value->data.sequence.items.top; item++) {
        error = read_scalar(reading, key, yaml_document_get_node(&reading->document, *item), why);
    }
    return error;
}

static bool is_section(const char *name)
{
    size_t size = strlen(name);

    for (size_t i = 0; i < N_KEYS; i++) {
        if (strncmp(keys[i].name, name, size) == 0 && keys[i].name[size] == '.') {
            return true;
        }
    }
    return false;
}

static enum error read_value(struct reading *reading, const yaml_node_t *name_node,
                             const char *name, yaml_node_t *value, struct reason *why)
{
    const struct key *key = find_key(name);
    uint64_t bit;

    PRE(key != NULL);
    bit = 1ull << (key - keys);
    if ((reading->seen & bit) != 0) {
        (void)fail(why, ERROR_INVALID, "is given twice");
        return fail_at(reading, name_node, name, why);
    }
    reading->seen |= bit;
    return key->kind == KEY_PEERS ? read_list(reading, key, value, why)
                                  : read_scalar(reading, key, value, why);
}

static enum error unknown_key(const struct reading *reading, const yaml_node_t *node,
                              const char *section, const char *name, struct reason *why)
{
    struct buffer list;

    buffer_init(&list, 400);
    list_keys(section, &list);
    (void)fail(why, ERROR_INVALID, "there is no such key; known here: %s", buffer_string(&list));
    buffer_release(&list);
    return fail_at(reading, node, name, why);
}

static enum error read_mapping(struct reading *reading, const char *section, yaml_node_t *mapping,
                               struct reason *why);

static enum error read_pair(struct reading *reading, const char *section, yaml_node_t *name_node,
                            yaml_node_t *value, struct reason *why)
{
    const char *text = name_node->type == YAML_SCALAR_NODE ? scalar_text(name_node) : NULL;
    char name[80];

    if (text == NULL || strchr(text, '.') != NULL) {
        return unknown_key(reading, name_node, section, text == NULL ? "(not a text)" : text, why);
    }
    if (snprintf(name, sizeof name, "%s%s", section, text) >= (int)sizeof name) {
        return unknown_key(reading, name_node, section, "(a long key)", why);
    }
    if (section[0] == '\0' && is_section(name)) {
        if (value->type != YAML_MAPPING_NODE) {
            (void)fail(why, ERROR_INVALID, "must be a mapping with keys of its own");
            return fail_at(reading, value, name, why);
        }
        snprintf(name + strlen(name), sizeof name - strlen(name), ".");
        return read_mapping(reading, name, value, why);
    }
    if (find_key(name) == NULL) {
        return unknown_key(reading, name_node, section, name, why);
    }
    return read_value(reading, name_node, name, value, why);
}

static enum error read_mapping(struct reading *reading, const char *section, yaml_node_t *mapping,
                               struct reason *why)
{
    enum error error = OK;

    PRE(mapping->type == YAML_MAPPING_NODE);
    for (yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
         error == OK && pair < mapping->data.mapping.pairs.top; pair++) {
        error = read_pair(reading, section, yaml_document_get_node(&reading->document, pair->key),
                          yaml_document_get_node(&reading->document, pair->value), why);
    }
    return error;
}

static enum error read_document(struct reading *reading, struct reason *why)
{
    yaml_node_t *root = yaml_document_get_root_node(&reading->document);

    if (root == NULL) {
        return OK; /* An empty file: all defaults. */
    }
    if (root->type == YAML_SCALAR_NODE && root->data.scalar.length == 0) {
        return OK;
    }
    if (root->type != YAML_MAPPING_NODE) {
        (void)fail(why, ERROR_INVALID, "the file must be a mapping of keys to values");
        return fail_at(reading, root, "document", why);
    }
    return read_mapping(reading, "", root, why);
}

enum error config_load(struct config *config, const char *path, struct reason *why)
{
    struct reading reading = {.config = config, .path = path};
    yaml_parser_t parser;
    enum error error;
    FILE *file = fopen(path, "re");

    if (file == NULL) {
        return fail_errno(why, errno, "cannot read the configuration %s", path);
    }
    CHECK(yaml_parser_initialize(&parser) == 1);
    yaml_parser_set_input_file(&parser, file);
    if (yaml_parser_load(&parser, &reading.document) == 1) {
        error = read_document(&reading, why);
        yaml_document_delete(&reading.document);
    } else {
        error = fail(why, ERROR_INVALID, "%s:%zu: %s", path, parser.problem_mark.line + 1,
                     parser.problem == NULL ? "not YAML" : parser.problem);
    }
    yaml_parser_delete(&parser);
    fclose(file);
    return error;
}

enum error config_check(struct config *config, struct reason *why)
{
    if ((config->tls_certificate[0] == '\0') != (config->tls_key[0] == '\0')) {
        return fail(why, ERROR_INVALID, "tls.certificate and tls.key come together: %s is missing",
                    config->tls_key[0] == '\0' ? "tls.key" : "tls.certificate");
    }
    if ((config->join_token[0] == '\0') != (config->n_join_peers == 0)) {
        return fail(why, ERROR_INVALID, "joining needs both a token and peers: %s missing",
                    config->n_join_peers == 0 ? "join.peers is" : "join.token is");
    }
    if (config->heartbeat_ms != 0 && config->election_timeout_ms != 0 &&
        config->heartbeat_ms * 3 > config->election_timeout_ms) {
        return fail(why, ERROR_INVALID,
                    "election_timeout_ms (%u) must be at least three times heartbeat_ms (%u)",
                    config->election_timeout_ms, config->heartbeat_ms);
    }
    if (config->advertise[0] == '\0') {
        memcpy(config->advertise, config->listen, sizeof config->advertise);
    }
    POST(config->workers >= 1);
    return OK;
}
