/* The driver: the same for silicon and for the emulator. C99. */
#ifndef NPU_DRIVER_H
#define NPU_DRIVER_H

#include "nnc_npu.h"
#include "npu_check.h"
#include "npu_registers.h"

/* What a run is given, as the arguments of nnc_npu_run */
typedef struct {
  const void *stream, *flash;
  void *sram;
  const nnc_npu_lent *lent;
  uint32_t stream_bytes, flash_bytes, sram_bytes, lent_count;
} npu_memories;

/* NNC_NPU_OK where the whole stream may run, or why not; *word is then the word of the stream where the reason is. */
int32_t npu_validate(const void *stream, uint32_t stream_bytes, const npu_sizes *sizes, uint32_t *word);

/* nnc_npu_run on the device behind `backend`. */
int32_t npu_drive(const npu_backend *backend, const npu_memories *memories, nnc_npu_counters *counters);

#endif
