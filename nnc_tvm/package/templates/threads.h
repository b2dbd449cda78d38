/* The threads of @NAME@, for src/@NAME@.c. What a caller needs is in @NAME@.h. */
#ifndef @MACRO@_SRC_THREADS_H
#define @MACRO@_SRC_THREADS_H

#include "@NAME@.h"

struct @NAME@_team; /* what a @NAME@_threads holds */

/* A thread's share of a network: parts `first` to `last` - 1 of every kernel. */
typedef void (*@NAME@_share)(struct @NAME@_team *team, const void *job, int32_t first, int32_t last);

/* Every thread runs its share of `job`; returns when all have. */
void @NAME@_share_out(@NAME@_threads *threads, @NAME@_share share, const void *job);

/* Waits until every thread has come here: what they wrote before, all may read. */
void @NAME@_meet(struct @NAME@_team *team);

#endif /* @MACRO@_SRC_THREADS_H */
