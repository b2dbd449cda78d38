/* nnc_npu_run on the emulator. For silicon, replace this file by one whose back end reaches the device's registers. */
#include "nnc_npu.h"

#include "npu_driver.h"
#include "npu_emulator.h"

int32_t nnc_npu_run(const void *stream, uint32_t stream_bytes, const void *flash, uint32_t flash_bytes, void *sram, uint32_t sram_bytes,
                    const nnc_npu_lent *lent, uint32_t lent_count, nnc_npu_counters *counters) {
  npu_emulator emulator;
  npu_backend backend = npu_emulate(&emulator);
  npu_memories memories = {stream, flash, sram, lent, stream_bytes, flash_bytes, sram_bytes, lent_count};
  return npu_drive(&backend, &memories, counters);
}
