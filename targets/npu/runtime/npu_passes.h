/* The passes of a CONV, DWCONV or POOL, tile by tile, chunk by chunk and slice by slice: targets/npu/passes.py in C. */
#ifndef NPU_PASSES_H
#define NPU_PASSES_H

#include "npu_stream.h"

enum { NPU_INPUT, NPU_WEIGHTS, NPU_OTHERS, NPU_LOADS };

/* turns: how often the array does the chunk's steps, work. blocks: of as many output positions as the array has side by side; last: turns of the last
 * of them. outputs: bytes that go to SRAM, and that come from it as residuals. loads: bytes that come
 * before the pass, of input, weights, and parameters and masks; the last take no room of the buffers. frees: bytes of the first two that nothing needs
 * after it. */
typedef struct {
  int64_t turns, blocks, last, work, outputs, loads[NPU_LOADS], frees[NPU_OTHERS];
} npu_pass;

int64_t npu_passes(const npu_command *c);

/* Pass `number` of a valid job in the order of the array. mask: of SPARSE weights, all of it readable; otherwise not read. */
npu_pass npu_pass_at(const npu_command *c, const uint8_t *mask, int64_t number);

/* Blocks of slice `slice` of group `group` that are not masked. */
int64_t npu_kept_blocks(const npu_command *c, const uint8_t *mask, int32_t group, int32_t slice);

#endif
