#ifndef TESTS_LIB_TEST_H
#define TESTS_LIB_TEST_H

/* cmocka with the headers that it wants before it, in their order. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#endif
