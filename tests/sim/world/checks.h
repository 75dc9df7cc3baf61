#ifndef TESTS_SIM_WORLD_CHECKS_H
#define TESTS_SIM_WORLD_CHECKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What must hold in every run, looked at while it runs. The first violation ends the run. */

#define CHECK_INDEXES_MAX 16384u
#define CHECK_TERMS_MAX   4096u

struct host;

struct applied {
    char hash[65]; /* Of the state after this entry; "": nobody was there yet. */
};

struct checks {
    struct applied *applied;
    uint64_t highest;
    uint64_t leaders[CHECK_TERMS_MAX]; /* Node id by term. */
    bool is_violated;
    char text[512];
};

void checks_reset(struct checks *checks);
void violation(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The host has applied an entry, or restored a snapshot. */
void check_applied(struct host *host);
/* A host stops itself: right only where a fault gave it a reason. */
void check_stop(struct host *host, const char *why);
/* After each turn of a host's loop. */
void check_turn(struct host *host);
/* At the end, all healed: one state on all hosts that are up, and what was acknowledged in it. */
bool check_agree(void);
void check_end(void);

#endif
