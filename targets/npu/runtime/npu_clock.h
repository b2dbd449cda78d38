/* The clock of a job: the same formula as targets/npu/clock.py. */
#ifndef NPU_CLOCK_H
#define NPU_CLOCK_H

#include "npu_stream.h"

typedef struct {
  int64_t array, input, weights, output, cycles, stall_sram, macs, macs_skipped;
} npu_cost;

/* What a valid job takes. mask: of SPARSE weights, all of it readable; otherwise not read. */
npu_cost npu_job_cost(const npu_command *c, const uint8_t *mask);

/* Cycles of a transfer. */
int64_t npu_transfer_cycles(const npu_command *c);

#endif
