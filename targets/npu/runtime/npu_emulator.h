/* The emulated device: its register file is all that a driver may touch. */
#ifndef NPU_EMULATOR_H
#define NPU_EMULATOR_H

#include "nnc_npu.h"
#include "npu_array.h"
#include "npu_registers.h"

enum { NPU_EMULATED_REGISTERS = NPU_REG_COUNTERS / 4, NPU_EMULATED_MAPS = 3 + NPU_LENT };

typedef struct {
  uint32_t registers[NPU_EMULATED_REGISTERS];
  struct { const void *read; void *write; uint32_t bytes; } maps[NPU_EMULATED_MAPS];
  uint32_t map_count;
  nnc_npu_counters counters;
  npu_array array;
} npu_emulator;

/* A back end whose device is `emulator`, freshly reset. */
npu_backend npu_emulate(npu_emulator *emulator);

#endif
