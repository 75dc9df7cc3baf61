# Compiler flags: warnings for our own code, hardening for all of it (docs/decisions/0003-hardening.md).
add_library(caisson_flags INTERFACE)
add_library(caisson_warnings INTERFACE)

target_compile_definitions(caisson_flags INTERFACE _GNU_SOURCE CAISSON_VERSION="${PROJECT_VERSION}")
target_compile_options(caisson_flags INTERFACE -g -fno-omit-frame-pointer -fstack-protector-strong
    -fstack-clash-protection -fcf-protection
    # clang 14 wants a second option before it takes this one.
    $<$<STREQUAL:${CMAKE_C_COMPILER_ID},GNU>:-ftrivial-auto-var-init=zero>
    -ffile-prefix-map=${CMAKE_SOURCE_DIR}=.)
target_link_options(caisson_flags INTERFACE -pie -Wl,-z,relro,-z,now,-z,noexecstack)

if(CMAKE_BUILD_TYPE STREQUAL "Debug")
    target_compile_definitions(caisson_flags INTERFACE CAISSON_FAILPOINTS)
    # -Og only where no sanitizer wants the plain code.
    if(NOT CAISSON_SANITIZE)
        target_compile_options(caisson_flags INTERFACE -Og)
    endif()
else()
    # Assertions are our own and stay on; fortify needs optimisation.
    if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
        target_compile_options(caisson_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
    else()
        target_compile_options(caisson_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
    endif()
endif()

if(CAISSON_SANITIZE)
    target_compile_options(caisson_flags INTERFACE -O1 -fsanitize=${CAISSON_SANITIZE} -fno-sanitize-recover=all)
    target_link_options(caisson_flags INTERFACE -fsanitize=${CAISSON_SANITIZE})
endif()

if(CAISSON_FUZZ)
    target_compile_options(caisson_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

target_compile_options(caisson_warnings INTERFACE -Wall -Wextra -Werror -Wshadow -Wconversion
    -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 -Wimplicit-fallthrough -Wundef
    -Wwrite-strings -Wpointer-arith -Wcast-align -Wnull-dereference -Wno-sign-conversion)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    target_compile_options(caisson_warnings INTERFACE -Wlogical-op -Wduplicated-cond -Wno-missing-field-initializers)
    if(CAISSON_SANITIZE OR CMAKE_BUILD_TYPE STREQUAL "Debug")
        # gcc 12 sees phantom paths through sanitizer code; the release build keeps both.
        target_compile_options(caisson_warnings INTERFACE -Wno-null-dereference -Wno-maybe-uninitialized)
    endif()
else()
    target_compile_options(caisson_warnings INTERFACE -Wno-missing-field-initializers)
endif()
