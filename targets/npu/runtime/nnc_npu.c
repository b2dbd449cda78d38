/* nnc_npu_run on the emulator. For silicon, replace this file by one whose back end reaches the device's registers. */
#include "nnc_npu.h"

#include "npu_driver.h"
#include "npu_emulator.h"

int32_t nnc_npu_run(const void *stream, uint32_t stream_bytes, const void *flash, uint32_t flash_bytes, void *sram, uint32_t sram_bytes, const void *input,
                    uint32_t input_bytes, void *output, uint32_t output_bytes, nnc_npu_counters *counters) {
  npu_emulator emulator;
  npu_backend backend = npu_emulate(&emulator);
  npu_memories memories = {stream, flash, input, sram, output, stream_bytes, {flash_bytes, sram_bytes, input_bytes, output_bytes}};
  return npu_drive(&backend, &memories, counters);
}
