#include "node/descriptors.h"

#include "base/assert.h"
#include "base/log.h"

#include <sys/resource.h>

#define LIMIT_WANTED    65536
#define LIMIT_LOW       1024
#define OWN_FILES       256   /* Log, catalog, staging, connections to peers. */
#define CONNECTIONS_MAX 10000 /* Of one port: each costs memory, too. */
#define CONNECTIONS_MIN 8

static rlim_t limit_now(struct rlimit *limit)
{
    CHECK(getrlimit(RLIMIT_NOFILE, limit) == 0);
    return limit->rlim_cur;
}

void descriptors_raise(void)
{
    struct rlimit limit;

    if (limit_now(&limit) < LIMIT_WANTED) {
        limit.rlim_cur = limit.rlim_max < LIMIT_WANTED ? limit.rlim_max : LIMIT_WANTED;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            LOG_WARN("the limit of open files stays at what it was: raise it with ulimit -n");
        }
    }
    if (limit_now(&limit) < LIMIT_LOW) {
        LOG_WARN("only %llu files may be open, so that few connections are taken: raise the limit "
                 "(ulimit -n, or LimitNOFILE= of the service) to %d or more",
                 (unsigned long long)limit.rlim_cur, LIMIT_LOW);
    }
}

static size_t within(size_t value, size_t least, size_t most)
{
    return value < least ? least : value > most ? most : value;
}

struct connection_limits connection_limits_of(size_t limit, unsigned n_workers)
{
    size_t all;

    PRE(n_workers > 0);
    /* A connection may have a file open: the blob that it sends or takes. */
    all = limit > OWN_FILES ? (limit - OWN_FILES) / 3 / n_workers : 0;
    return (struct connection_limits){
        .clients = within(all / 4 * 3, CONNECTIONS_MIN, CONNECTIONS_MAX),
        .peers = within(all / 4, CONNECTIONS_MIN, CONNECTIONS_MAX),
        .uploads = within(all * n_workers, CONNECTIONS_MIN, CONNECTIONS_MAX),
    };
}

struct connection_limits connection_limits_now(unsigned n_workers)
{
    struct rlimit limit;

    return connection_limits_of((size_t)limit_now(&limit), n_workers);
}
