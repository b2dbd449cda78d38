#include "npu_clock.h"

#include <string.h>

#include "npu_config.h"
#include "npu_geometry.h"
#include "npu_passes.h"
#include "npu_port.h"

static int64_t maximum(int64_t a, int64_t b) { return a > b ? a : b; }

/* The multiplications of a CONV or DWCONV, and those by masked blocks */
static void count_macs(const npu_command *c, const uint8_t *mask, npu_cost *cost) {
  int64_t pixels = (int64_t)c->out.h * c->out.w, masked = npu_groups(c) * npu_group_blocks(c);
  for (int32_t s = 0; s < npu_slices(c); s++)
    for (int32_t g = 0; g < npu_groups(c); g++) masked -= npu_kept_blocks(c, mask, g, s);
  cost->macs = pixels * c->out.c * c->window.kh * c->window.kw * (c->op == NPU_CONV ? c->in.c : 1);
  cost->macs_skipped = masked * NPU_DEPTH * npu_group_channels(c) * pixels;
}

static npu_cost tiled_cost(const npu_command *c, const uint8_t *mask) {
  npu_cost cost;
  npu_pace pace = npu_pace_of(c, mask);
  memset(&cost, 0, sizeof cost);
  if (c->op != NPU_POOL) count_macs(c, mask, &cost);
  cost.array = pace.array, cost.stall_sram = pace.waits, cost.input = pace.input, cost.weights = pace.weights;
  cost.cycles = pace.array + pace.prologue + pace.waits + pace.fills + NPU_JOB_CYCLES;
  return cost;
}

/* Of pixels or rows one after the other */
static npu_cost streamed_cost(const npu_command *c, int64_t n) {
  npu_cost cost;
  memset(&cost, 0, sizeof cost);
  if (c->op == NPU_ADD) cost.array = npu_ceil_div(NPU_SUM_SCALINGS * n, NPU_REQUANTIZE_LANES), cost.input = 2 * n;
  if (c->op == NPU_MUL) cost.array = npu_ceil_div(n, NPU_REQUANTIZE_LANES), cost.input = n + (int64_t)c->second.h * c->second.w * c->second.c;
  if (c->op == NPU_LUT) cost.array = npu_ceil_div(n, NPU_REQUANTIZE_LANES), cost.input = n + NPU_TABLE_BYTES;
  if (c->op == NPU_SOFTMAX) cost.array = (int64_t)c->out.h * c->out.w * (16 * (int64_t)c->out.c + 64), cost.input = 3 * n;
  cost.stall_sram = maximum(0, npu_ceil_div(cost.input + n, NPU_COMPUTE_BYTES_PER_CYCLE) - cost.array);
  cost.cycles = cost.array + cost.stall_sram + NPU_JOB_CYCLES;
  return cost;
}

npu_cost npu_job_cost(const npu_command *c, const uint8_t *mask) {
  int64_t n = (int64_t)c->out.h * c->out.w * c->out.c;
  npu_cost cost = npu_has_tiles(c) ? tiled_cost(c, mask) : streamed_cost(c, n);
  if (c->flags & NPU_RESIDUAL && npu_has_second(c)) cost.input += n;
  cost.output = n;
  return cost;
}

int64_t npu_transfer_cycles(const npu_command *c) {
  if (c->op != NPU_DMA) return npu_ceil_div(c->sram_bytes, NPU_HOST_BYTES_PER_CYCLE);
  int64_t percent = c->flags & NPU_RICE ? NPU_CODED_PERCENT : 100;
  int64_t read = npu_ceil_div(c->flash_bytes * percent, 100 * NPU_FLASH_BYTES_PER_CYCLE), decode = npu_ceil_div(c->sram_bytes, NPU_CODEC_SYMBOLS_PER_CYCLE);
  return c->flags & NPU_RICE ? maximum(read, decode) : read;
}
