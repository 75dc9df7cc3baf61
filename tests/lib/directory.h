#ifndef TESTS_LIB_DIRECTORY_H
#define TESTS_LIB_DIRECTORY_H

/* A directory of its own for one test, removed with all that is in it. */

#include "tests/lib/test.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct test_directory {
    char path[64];
};

static inline void test_directory_make(struct test_directory *directory)
{
    snprintf(directory->path, sizeof directory->path, "/tmp/caisson-test-XXXXXX");
    assert_non_null(mkdtemp(directory->path));
}

static inline int test_directory_visit(const char *path, const struct stat *info, int type,
                                       struct FTW *walk)
{
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

static inline void test_directory_remove(struct test_directory *directory)
{
    assert_int_equal(nftw(directory->path, test_directory_visit, 16, FTW_DEPTH | FTW_PHYS), 0);
}

#endif
