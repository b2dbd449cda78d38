/* The driver: the same for silicon and for the emulator. C99. */
#ifndef NPU_DRIVER_H
#define NPU_DRIVER_H

#include "nnc_npu.h"
#include "npu_registers.h"

/* NNC_NPU_OK where the whole stream may run, or why not; *word is then the word of the stream where the reason is. */
int32_t npu_validate(const void *stream, uint32_t stream_bytes, uint32_t flash_bytes, uint32_t sram_bytes, uint32_t *word);

/* nnc_npu_run on the device behind `backend`. */
int32_t npu_drive(const npu_backend *backend, const void *stream, uint32_t stream_bytes, const void *flash, uint32_t flash_bytes, void *sram,
                  uint32_t sram_bytes, nnc_npu_counters *counters);

#endif
