#include "node/drill_local.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "node/cluster_init.h"

#include <errno.h>
#include <ftw.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define DISK_OPTIONS "size=320m,mode=0700"
#define READY_MS     30000
#define IP_MS        10000
#define PORT_TRIES   200

/* --- addresses -------------------------------------------------------------------------------- */

static bool is_free(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    bool is_bound;

    if (fd < 0) {
        return false;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    is_bound = bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return is_bound;
}

/* Client, log and content ports of all nodes are free at B+i, B+20+i, B+40+i. */
static enum error find_ports(struct drill_local *local, struct reason *why)
{
    for (unsigned attempt = 0; attempt < PORT_TRIES; attempt++) {
        bool is_good = true;

        local->base_port = 10000 + (unsigned)(random_u64() % 2200) * 10;
        for (unsigned i = 1; i <= local->n_nodes; i++) {
            is_good = is_good && is_free(local->base_port + i) &&
                      is_free(local->base_port + 20 + i) && is_free(local->base_port + 40 + i);
        }
        if (is_good) {
            return OK;
        }
    }
    return fail(why, ERROR_BUSY, "no free ports on 127.0.0.1");
}

/* room: 0 clients, 1 log, 2 content. */
static void address_of(const struct drill_local *local, size_t node, unsigned room, char text[80])
{
    if (local->has_network) {
        snprintf(text, 80, "10.213.%u.%zu:%u", local->subnet, node, 5000 + 100 * room);
    } else {
        snprintf(text, 80, "127.0.0.1:%zu", local->base_port + 20 * room + node);
    }
}

/* --- network ---------------------------------------------------------------------------------- */

static enum error ip(struct reason *why, const char *const *words)
{
    enum error error = drill_run_program(words, NULL, IP_MS, why);

    if (error != OK) {
        reason_prefix(why, "network namespaces (%s %s %s)", words[1], words[2], words[3]);
    }
    return error;
}

#define IP(why, ...) ip(why, (const char *const[]){"ip", __VA_ARGS__, NULL})

static enum error make_bridge(struct drill_local *local, struct reason *why)
{
    char bridge[24], address[32];
    enum error error;

    local->subnet = (unsigned)(random_u64() % 254) + 1;
    snprintf(local->network, sizeof local->network, "cd%u-", (unsigned)getpid() % 1000000);
    snprintf(bridge, sizeof bridge, "%sbr", local->network);
    snprintf(address, sizeof address, "10.213.%u.254/24", local->subnet);
    error = IP(why, "link", "add", bridge, "type", "bridge");
    if (error == OK) {
        local->has_network = true;
        error = IP(why, "addr", "add", address, "dev", bridge);
    }
    return error == OK ? IP(why, "link", "set", bridge, "up") : error;
}

static enum error make_namespace(struct drill_local *local, size_t node, struct reason *why)
{
    char space[64], device[24], bridge[24], address[32];
    enum error error;

    snprintf(space, sizeof space, "%snode-%zu", local->network, node);
    snprintf(device, sizeof device, "%s%zu", local->network, node);
    snprintf(bridge, sizeof bridge, "%sbr", local->network);
    snprintf(address, sizeof address, "10.213.%u.%zu/24", local->subnet, node);
    error = IP(why, "netns", "add", space);
    if (error != OK) {
        return error;
    }
    local->n_namespaces = node;
    error = IP(why, "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", space);
    error = error == OK ? IP(why, "link", "set", device, "master", bridge) : error;
    error = error == OK ? IP(why, "link", "set", device, "up") : error;
    error = error == OK ? IP(why, "-n", space, "addr", "add", address, "dev", "eth0") : error;
    error = error == OK ? IP(why, "-n", space, "link", "set", "eth0", "up") : error;
    return error == OK ? IP(why, "-n", space, "link", "set", "lo", "up") : error;
}

static enum error make_network(struct drill_local *local, struct reason *why)
{
    enum error error = make_bridge(local, why);

    for (size_t i = 1; error == OK && i <= local->n_nodes; i++) {
        error = make_namespace(local, i, why);
    }
    return error;
}

static void remove_one(const char *kind, const char *name)
{
    struct reason why;

    if (IP(&why, kind, "del", name) != OK) {
        LOG_WARN("%s %s stays: %s", kind, name, why.text);
    }
}

static void remove_network(struct drill_local *local)
{
    char name[64];

    for (size_t i = 1; i <= local->n_namespaces; i++) {
        snprintf(name, sizeof name, "%s%zu", local->network, i);
        remove_one("link", name);
        snprintf(name, sizeof name, "%snode-%zu", local->network, i);
        remove_one("netns", name);
    }
    if (local->has_network) {
        snprintf(name, sizeof name, "%sbr", local->network);
        remove_one("link", name);
    }
}

/* --- files ------------------------------------------------------------------------------------ */

static enum error write_file(const struct drill_local *local, const char *name, const char *text,
                             struct reason *why)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", local->directory, name);
    file = fopen(path, "we");
    if (file == NULL) {
        return fail_errno(why, errno, "cannot write %s", path);
    }
    fputs(text, file);
    return fclose(file) == 0 ? OK : fail_errno(why, errno, "cannot write %s", path);
}

static enum error write_config(const struct drill_local *local, size_t node, struct reason *why)
{
    char text[3][80], name[32];
    struct buffer yaml;
    enum error error;

    for (unsigned room = 0; room < 3; room++) {
        address_of(local, node, room, text[room]);
    }
    buffer_init(&yaml, 8192);
    buffer_print(&yaml,
                 "name: node-%zu\ndata_dir: %s/node-%zu\nlisten: %s\nraft_listen: %s\n"
                 "data_listen: %s\nfree_space_mark: 16MiB\njoin:\n  token_file: %s/join-token\n"
                 "  peers:\n",
                 node, local->directory, node, text[0], text[1], text[2], local->directory);
    for (size_t i = 1; i <= local->n_nodes; i++) {
        if (i != node || local->n_nodes == 1) {
            address_of(local, i, 2, text[0]);
            buffer_print(&yaml, "    - %s\n", text[0]);
        }
    }
    snprintf(name, sizeof name, "node-%zu.yaml", node);
    error = write_file(local, name, buffer_string(&yaml), why);
    buffer_release(&yaml);
    return error;
}

static enum error make_first(struct drill_local *local, struct reason *why)
{
    struct cluster_init init = {.admin_password = local->password};
    struct node_identity *identity = &init.files.identity;
    enum error error;

    cluster_files_init(&init.files);
    snprintf(init.files.directory, sizeof init.files.directory, "%s/node-1", local->directory);
    snprintf(identity->name, sizeof identity->name, "node-1");
    address_of(local, 1, 0, identity->client_address);
    address_of(local, 1, 1, identity->raft_address);
    address_of(local, 1, 2, identity->data_address);
    clock_format(clock_wall_ms(), identity->created);
    error = cluster_init(&init, why);
    cluster_files_release(&init.files);
    return error == OK ? write_file(local, "join-token", init.token, why) : error;
}

static enum error make_disk(struct drill_local *local, struct reason *why)
{
    char path[256];

    snprintf(path, sizeof path, "%s/node-%u", local->directory, local->disk);
    if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, DISK_OPTIONS) != 0) {
        return fail_errno(why, errno, "cannot mount a small disk at %s", path);
    }
    local->has_mount = true;
    return OK;
}

static enum error make_directories(struct drill_local *local, struct reason *why)
{
    const char *parent = getenv("TMPDIR");
    enum error error = OK;

    snprintf(local->directory, sizeof local->directory, "%.100s/caisson-drill.XXXXXX",
             parent == NULL ? "/tmp" : parent);
    if (mkdtemp(local->directory) == NULL) {
        error = fail_errno(why, errno, "cannot make %s", local->directory);
        local->directory[0] = '\0';
        return error;
    }
    for (size_t i = 1; i <= local->n_nodes && error == OK; i++) {
        char path[256];

        snprintf(path, sizeof path, "%s/node-%zu", local->directory, i);
        if (mkdir(path, 0700) != 0) {
            error = fail_errno(why, errno, "cannot make %s", path);
        }
    }
    return error == OK && local->disk > 0 ? make_disk(local, why) : error;
}

/* --- life ------------------------------------------------------------------------------------- */

static enum error wait_healthy(const struct drill_setup *setup, unsigned node, struct reason *why)
{
    const struct drill_call call = {
        .method = "GET", .node = node, .path = "/readyz", .timeout_ms = 1000};
    uint64_t end = clock_monotonic_ms() + READY_MS;
    struct drill_http http;
    long status;

    drill_http_open(&http, setup);
    while ((status = drill_http_call(&http, &call)) != 200 && clock_monotonic_ms() < end) {
        uv_sleep(50);
    }
    drill_http_close(&http);
    return status == 200 ? OK
                         : fail(why, ERROR_TIMEOUT, "%s of the throw-away cluster does not start",
                                setup->nodes[node].name);
}

/* One after the other, so that members stand in the order of their numbers. */
static enum error start_nodes(struct drill_local *local, struct drill_setup *setup,
                              struct reason *why)
{
    const struct drill_hands hands = {
        .setup = setup, .directory = local->directory, .is_ours = true};
    struct drill_hands copy = hands;
    enum error error = OK;

    memcpy(copy.network, local->network, sizeof copy.network);
    for (size_t i = 1; error == OK && i <= local->n_nodes; i++) {
        error = write_config(local, i, why);
        if (error == OK) {
            error = drill_hands_do(&copy, "start", (unsigned)i - 1, why);
        }
        if (error == OK) {
            error = wait_healthy(setup, (unsigned)i - 1, why);
        }
    }
    return error;
}

enum error drill_local_start(struct drill_local *local, struct drill_setup *setup, size_t n_nodes,
                             bool has_network, bool has_disk, struct reason *why)
{
    enum error error;

    *local = (struct drill_local){.n_nodes = n_nodes, .disk = has_disk ? (unsigned)n_nodes : 0};
    if ((has_network || has_disk) && geteuid() != 0) {
        return fail(why, ERROR_UNSUPPORTED,
                    "%s of a throw-away cluster takes root: it %s; run it as root, or leave that "
                    "kind out",
                    has_network ? "partition" : "full-disk",
                    has_network ? "makes network namespaces" : "mounts a small disk");
    }
    random_hex(local->password, 16);
    error = make_directories(local, why);
    if (error == OK) {
        error = has_network ? make_network(local, why) : find_ports(local, why);
    }
    setup->n_nodes = n_nodes;
    for (size_t i = 0; i < n_nodes; i++) {
        char address[80];

        address_of(local, i + 1, 0, address);
        snprintf(setup->nodes[i].name, sizeof setup->nodes[i].name, "node-%zu", i + 1);
        snprintf(setup->nodes[i].url, sizeof setup->nodes[i].url, "http://%s", address);
    }
    if (error == OK) {
        error = make_first(local, why);
    }
    return error == OK ? start_nodes(local, setup, why) : error;
}

static int remove_cb(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

void drill_local_stop(struct drill_local *local, const struct drill_hands *hands)
{
    char path[256];

    if (local->directory[0] == '\0') {
        return;
    }
    for (unsigned i = 0; i < local->n_nodes; i++) {
        struct reason why;

        /* It may be gone already. */
        if (drill_hands_do(hands, "kill", i, &why) != OK) {
            LOG_DEBUG("%s", why.text);
        }
    }
    remove_network(local);
    if (local->has_mount) {
        snprintf(path, sizeof path, "%s/node-%u", local->directory, local->disk);
        (void)umount2(path, MNT_DETACH);
    }
    (void)nftw(local->directory, remove_cb, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}
