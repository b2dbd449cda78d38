/* The SRAM's port as a CONV, DWCONV or POOL has it, beside the array: targets/npu/port.py in C. */
#ifndef NPU_PORT_H
#define NPU_PORT_H

#include "npu_stream.h"

/* Cycles of the array, of its passes' fills, before the first pass, and that it waits after that; bytes of the input, and of weights, parameters and masks. */
typedef struct {
  int64_t array, fills, prologue, waits, input, weights;
} npu_pace;

/* Of a valid job. mask: of SPARSE weights, all of it readable; otherwise not read. */
npu_pace npu_pace_of(const npu_command *c, const uint8_t *mask);

#endif
