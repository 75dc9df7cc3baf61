#include "node/cluster_init.h"

#include "base/assert.h"
#include "base/memory.h"
#include "base/pack.h"
#include "base/password.h"
#include "base/random.h"
#include "store/catalog.h"

#include <stdio.h>
#include <string.h>

/* Makes everything in memory, then writes the directory in one go. What fails half way leaves a
 * directory that the next try takes as empty. */

#define PEM_MAX       (64u * 1024)
#define BOOTSTRAP_MAX (256u * 1024)
#define ADMIN_NAME    "admin"
/* A token that does not expire: ten years, the life of the cluster's CA. */
#define TOKEN_TTL_MAX_MS (3650ull * 24 * 3600 * 1000)

/* --- what the first start proposes ------------------------------------------------------------ */

static void pack_command(struct buffer *out, struct buffer *command)
{
    CHECK(buffer_status(command) == OK);
    pack_bin(out, buffer_view(command));
    memory_wipe(command->data, command->size);
    buffer_clear(command);
}

static struct member_record first_member(const struct node_identity *identity)
{
    return (struct member_record){
        .id = identity->member,
        .name = bytes_of_string(identity->name),
        .raft_address = bytes_of_string(identity->raft_address),
        .data_address = bytes_of_string(identity->data_address),
        .client_address = bytes_of_string(identity->client_address),
    };
}

static void pack_create(const struct cluster_init *init, struct bytes ca_key,
                        struct buffer *bindings, struct buffer *command)
{
    const struct node_identity *identity = &init->files.identity;
    const char *password = init->admin_password != NULL ? init->admin_password : init->password;
    struct cluster_record cluster = {bytes_of_string(identity->cluster),
                                     buffer_view(&init->files.ca), ca_key};
    struct member_record first = first_member(identity);
    struct user_record admin = {.name = BYTES_LITERAL(ADMIN_NAME)};
    struct command_id id;
    uint8_t salt[16], hash[32];

    random_bytes(salt, sizeof salt);
    CHECK(password_hash(bytes_of_string(password), salt, hash) == OK);
    admin.salt = bytes_of(salt, sizeof salt);
    admin.hash = bytes_of(hash, sizeof hash);
    pack_array(bindings, 1);
    pack_array(bindings, 2);
    pack_text(bindings, "**");
    pack_uint(bindings, ACTION_PULL | ACTION_PUSH | ACTION_APPROVE | ACTION_ADMIN);
    admin.bindings = buffer_view(bindings);
    command_id_make(&id);
    command_cluster_create(command, &id, &cluster, &first, &admin);
}

static void pack_bootstrap(const struct cluster_init *init, struct bytes ca_key, const char *secret,
                           struct buffer *out)
{
    uint64_t ttl_ms = init->token_ttl_ms == 0 ? TOKEN_TTL_MAX_MS : init->token_ttl_ms;
    struct buffer command, bindings;
    struct command_id id;
    uint8_t hash[32];

    buffer_init(&command, BOOTSTRAP_MAX);
    buffer_init(&bindings, 256);
    pack_array(out, 2);
    pack_create(init, ca_key, &bindings, &command);
    pack_command(out, &command);
    join_token_hash(secret, hash);
    command_id_make(&id);
    command_join_token_put(&command, &id, BYTES_LITERAL(ADMIN_NAME), bytes_of(hash, sizeof hash),
                           clock_wall_ms() + ttl_ms, UINT32_MAX);
    pack_command(out, &command);
    buffer_release(&bindings);
    buffer_release(&command);
}

static enum error make_certificates(struct cluster_files *files, struct buffer *ca_key,
                                    struct reason *why)
{
    const struct node_identity *identity = &files->identity;
    struct buffer request;
    enum error error = tls_make_ca(identity->cluster, &files->ca, ca_key, why);

    buffer_init(&request, PEM_MAX);
    if (error == OK) {
        error = tls_make_request(&files->key, &request, why);
    }
    if (error == OK) {
        error = tls_sign_request(buffer_view(&files->ca), buffer_view(ca_key),
                                 buffer_view(&request), identity->cluster, identity->member,
                                 &files->certificate, why);
    }
    buffer_release(&request);
    return error;
}

static enum error write_cluster(struct cluster_init *init, struct bytes ca_key, struct reason *why)
{
    struct join_token token = {0};
    struct buffer bootstrap;
    enum error error = tls_certificate_sha256(buffer_view(&init->files.ca), token.ca_sha256, why);

    if (error != OK) {
        return error;
    }
    memcpy(token.cluster, init->files.identity.cluster, sizeof token.cluster);
    random_hex(token.secret, 16);
    join_token_format(&token, init->token);
    if (init->admin_password == NULL) {
        random_hex(init->password, 16);
    }
    buffer_init(&bootstrap, BOOTSTRAP_MAX);
    pack_bootstrap(init, ca_key, token.secret, &bootstrap);
    CHECK(buffer_status(&bootstrap) == OK);
    error = cluster_files_create(&init->files, buffer_view(&bootstrap), why);
    memory_wipe(bootstrap.data, bootstrap.size);
    buffer_release(&bootstrap);
    memory_wipe(&token, sizeof token);
    return error;
}

enum error cluster_init(struct cluster_init *init, struct reason *why)
{
    struct node_identity *identity = &init->files.identity;
    struct buffer ca_key;
    enum error error;

    PRE(identity->name[0] != '\0' && identity->raft_address[0] != '\0');
    PRE(init->admin_password == NULL ||
        (init->admin_password[0] != '\0' && strlen(init->admin_password) <= PASSWORD_SIZE_MAX));
    init->password[0] = '\0';
    init->token[0] = '\0';
    random_hex(identity->cluster, 16);
    do {
        identity->member = random_u64();
    } while (identity->member == 0);
    buffer_init(&ca_key, PEM_MAX);
    error = make_certificates(&init->files, &ca_key, why);
    if (error == OK) {
        error = write_cluster(init, buffer_view(&ca_key), why);
    }
    if (ca_key.data != NULL) {
        memory_wipe(ca_key.data, ca_key.size);
    }
    buffer_release(&ca_key);
    return error;
}
