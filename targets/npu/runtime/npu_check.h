/* What a command must hold to before it may run. */
#ifndef NPU_CHECK_H
#define NPU_CHECK_H

#include "npu_stream.h"

typedef struct {
  uint64_t from, to;
} npu_range;

enum { NPU_JOB_RANGES = 6 };

/* NNC_NPU_OK, or what is wrong with the command by itself: extents, numbers, buffers, overlaps. */
int32_t npu_check_command(const npu_command *c, uint32_t flash_bytes, uint32_t sram_bytes);

/* The SRAM that a valid job reads and writes; returns how many ranges. */
int npu_job_ranges(const npu_command *c, npu_range ranges[NPU_JOB_RANGES]);

static inline int npu_meet(npu_range a, npu_range b) { return a.from < b.to && b.from < a.to; }

#endif
