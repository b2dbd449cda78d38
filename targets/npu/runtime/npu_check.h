/* What a command must hold to before it may run. */
#ifndef NPU_CHECK_H
#define NPU_CHECK_H

#include "npu_stream.h"

typedef struct {
  uint64_t from, to;
} npu_range;

/* Bytes of each memory; of what the host lends those that may be read, and those that may be written */
typedef struct {
  uint32_t flash, sram, readable[NPU_LENT], writable[NPU_LENT];
} npu_sizes;

enum { NPU_JOB_RANGES = 6 };

/* NNC_NPU_OK, or what is wrong with the command by itself: extents, numbers, buffers, overlaps. */
int32_t npu_check_command(const npu_command *c, const npu_sizes *sizes);

/* The SRAM that a valid job reads and writes, NPU_OUTPUT_RANGE being what it writes; returns how many ranges. */
enum { NPU_OUTPUT_RANGE = 1 };
int npu_job_ranges(const npu_command *c, npu_range ranges[NPU_JOB_RANGES]);

/* The SRAM that a valid transfer reads (STORE) or writes */
npu_range npu_transfer_range(const npu_command *c);

static inline int npu_meet(npu_range a, npu_range b) { return a.from < b.to && b.from < a.to; }

#endif
