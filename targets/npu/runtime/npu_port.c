#include "npu_port.h"

#include <string.h>

#include "npu_config.h"
#include "npu_geometry.h"
#include "npu_passes.h"

/* loading: the pass whose loads are under way. missing: bytes of them that are not there. room: bytes free in the buffers of input and weights.
 * owed: bytes written that the port has not had the time to take. */
typedef struct {
  const npu_command *command;
  const uint8_t *mask;
  int64_t loading, missing[NPU_LOADS], room[NPU_OTHERS], owed;
} port;

static int64_t minimum(int64_t a, int64_t b) { return a < b ? a : b; }

/* Bytes of the pass being loaded that are not there */
static int64_t missing(const port *p) { return p->missing[NPU_INPUT] + p->missing[NPU_WEIGHTS] + p->missing[NPU_OTHERS]; }

static void load_next(port *p) {
  if (++p->loading == npu_passes(p->command)) return;
  npu_pass pass = npu_pass_at(p->command, p->mask, p->loading);
  memcpy(p->missing, pass.loads, sizeof p->missing);
}

/* `cycles` in which so many bytes are written, and so many come free of the input and of the weights */
static void advance(port *p, int64_t cycles, int64_t written, int64_t input, int64_t weights) {
  int64_t budget = cycles * NPU_COMPUTE_BYTES_PER_CYCLE - written - p->owed;
  p->room[NPU_INPUT] += input, p->room[NPU_WEIGHTS] += weights;
  p->owed = budget < 0 ? -budget : 0;
  while (budget > 0 && p->loading < npu_passes(p->command)) {
    for (int kind = 0; kind < NPU_LOADS; kind++) {
      int64_t count = minimum(budget, p->missing[kind]);
      if (kind < NPU_OTHERS) count = minimum(count, p->room[kind]), p->room[kind] -= count;
      p->missing[kind] -= count, budget -= count;
    }
    if (missing(p)) return;
    load_next(p);
  }
}

/* Until all is there that pass `number` needs */
static int64_t wait(port *p, int64_t number) {
  if (p->loading > number) return 0;
  int64_t cycles = npu_ceil_div(missing(p) + p->owed, NPU_COMPUTE_BYTES_PER_CYCLE);
  advance(p, cycles, 0, 0, 0);
  return cycles;
}

/* The most bytes of the image that the input buffer holds */
static int64_t input_room(const npu_command *c) {
  int64_t room = 0;
  for (int32_t s = 0; s < npu_slices(c); s++) {
    npu_command part = npu_slice_at(c, s);
    int64_t here = NPU_INPUT_BUFFER_BYTES * ((int64_t)c->in.w * npu_buffer_channels(&part)) / npu_buffer_row(&part);
    if (here > room) room = here;
  }
  return room;
}

npu_pace npu_pace_of(const npu_command *c, const uint8_t *mask) {
  port p = {c, mask, -1, {0}, {input_room(c), NPU_WEIGHT_BUFFER_BYTES}, 0};
  npu_pace pace;
  memset(&pace, 0, sizeof pace);
  load_next(&p);
  for (int64_t number = 0; number < npu_passes(c); number++) {
    npu_pass pass = npu_pass_at(c, mask, number);
    int64_t cycles = wait(&p, number);
    if (number) pace.waits += cycles;
    else pace.prologue = cycles;
    /* inputs come free after, and outputs are made by, each block of output positions; weights come free in the last one */
    int64_t early = pass.frees[NPU_INPUT] * (pass.blocks - 1) / pass.blocks, written = pass.outputs * (pass.blocks - 1) / pass.blocks;
    advance(&p, NPU_FILL_CYCLES + (pass.turns - pass.last) * pass.work, written, early, 0);
    advance(&p, pass.last * pass.work, pass.outputs - written, 0, pass.frees[NPU_WEIGHTS]);
    p.room[NPU_INPUT] += pass.frees[NPU_INPUT] - early;
    pace.array += pass.turns * pass.work, pace.fills += NPU_FILL_CYCLES;
    pace.input += pass.loads[NPU_INPUT], pace.weights += pass.loads[NPU_WEIGHTS] + pass.loads[NPU_OTHERS];
  }
  pace.waits += npu_ceil_div(p.owed, NPU_COMPUTE_BYTES_PER_CYCLE);
  return pace;
}
