/* The device behind its registers: fetches commands, checks them again, runs DMAs and jobs and keeps the clock of docs/npu.md. */
#include "npu_emulator.h"

#include <string.h>

#include "npu_check.h"
#include "npu_clock.h"

/* The two timelines of a run: the DMA's and the array's, and when the last jobs ended */
typedef struct {
  uint64_t dma, array, ends[NPU_QUEUE_DEPTH];
} timeline;

typedef struct {
  const uint8_t *stream, *flash, *readable[NPU_LENT];
  uint8_t *writable[NPU_LENT];
  uint32_t words;
  npu_sizes sizes;
} memories;

static uint64_t later(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* The bytes themselves, between SRAM at `here` and the other memory */
static int32_t move(nnc_npu_counters *n, const memories *m, const npu_command *c, uint8_t *here) {
  uint32_t lent = c->flags & NPU_LENT_NUMBER;
  if (c->op == NPU_STORE) {
    n->host_written += c->sram_bytes;
    memcpy(m->writable[lent] + c->destination, here, c->sram_bytes);
    return NNC_NPU_OK;
  }
  n->dma_written += c->sram_bytes;
  if (c->op == NPU_FETCH) {
    n->host_read += c->sram_bytes;
    memcpy(here, m->readable[lent] + c->source, c->sram_bytes);
    return NNC_NPU_OK;
  }
  n->flash_read += c->flash_bytes;
  if (c->flags & NPU_RICE) return npu_rice_decode(m->flash + c->source, c->flash_bytes, (int8_t *)here, c->sram_bytes);
  memcpy(here, m->flash + c->source, c->sram_bytes);
  return NNC_NPU_OK;
}

static int32_t run_transfer(npu_emulator *e, const memories *m, const npu_command *c, timeline *t) {
  nnc_npu_counters *n = &e->counters;
  npu_range range = npu_transfer_range(c);
  uint8_t *here = npu_reach(&e->array, range.from, range.to - range.from);
  if (!here) return NNC_NPU_BOUNDS;
  if (c->wait > n->jobs) return NNC_NPU_WAIT;
  if (c->wait + NPU_QUEUE_DEPTH > n->jobs && c->wait) t->dma = later(t->dma, t->ends[c->wait % NPU_QUEUE_DEPTH]);
  t->dma += (uint64_t)npu_transfer_cycles(c);
  n->dmas++;
  n->sram_peak = later(n->sram_peak, range.to);
  return move(n, m, c, here);
}

static void count_job(npu_emulator *e, const npu_command *c, timeline *t) {
  nnc_npu_counters *n = &e->counters;
  npu_range ranges[NPU_JOB_RANGES];
  npu_cost cost = npu_job_cost(c, e->array.sram + c->weights);
  uint64_t start = later(t->array, t->dma);
  n->stall_flash += start - t->array;
  t->array = t->ends[++n->jobs % NPU_QUEUE_DEPTH] = start + (uint64_t)cost.cycles;
  n->array += (uint64_t)cost.array, n->stall_sram += (uint64_t)cost.stall_sram;
  n->overhead += (uint64_t)(cost.cycles - cost.array - cost.stall_sram);
  n->sram_read += (uint64_t)(cost.input + cost.weights), n->sram_written += (uint64_t)cost.output;
  n->macs += (uint64_t)cost.macs, n->macs_skipped += (uint64_t)cost.macs_skipped;
  for (int i = npu_job_ranges(c, ranges) - 1; i >= 0; i--) n->sram_peak = later(n->sram_peak, ranges[i].to);
}

static int32_t run_job(npu_emulator *e, const npu_command *c, timeline *t) {
  static void (*const jobs[NPU_OPERATIONS])(npu_array *, const npu_command *) = {
      [NPU_CONV] = npu_convolve,  [NPU_DWCONV] = npu_convolve_depthwise, [NPU_POOL] = npu_pool,
      [NPU_ADD] = npu_pixelwise, [NPU_LUT] = npu_pixelwise,             [NPU_SOFTMAX] = npu_pixelwise,
      [NPU_MUL] = npu_pixelwise};
  if (c->wait > e->counters.dmas) return NNC_NPU_WAIT;
  jobs[c->op](&e->array, c);
  if (!e->array.fault) count_job(e, c, t);
  return e->array.fault;
}

static int32_t run_command(npu_emulator *e, const memories *m, const npu_command *c, timeline *t) {
  uint64_t job = e->counters.jobs + 1;
  int32_t fault = npu_check_command(c, &m->sizes);
  if (fault) return fault;
  if (!npu_is_transfer(c) && c->op != NPU_END && job > NPU_QUEUE_DEPTH) t->dma = later(t->dma, t->ends[job % NPU_QUEUE_DEPTH]);
  t->dma += 4 * (uint64_t)c->words, e->counters.flash_read += 4 * (uint64_t)c->words;
  if (c->op == NPU_END) return NNC_NPU_OK;
  return npu_is_transfer(c) ? run_transfer(e, m, c, t) : run_job(e, c, t);
}

static int32_t run_stream(npu_emulator *e, const memories *m) {
  timeline t;
  npu_command c;
  memset(&t, 0, sizeof t);
  t.dma = e->counters.flash_read = NPU_HEADER_WORDS * 4;
  for (uint32_t at = NPU_HEADER_WORDS;; at += c.words) {
    int32_t fault = npu_decode(m->stream, m->words, at, &c);
    if (!fault) fault = run_command(e, m, &c, &t);
    e->counters.cycles = later(t.array, t.dma), e->counters.fault_word = fault ? at : 0;
    if (fault || c.op == NPU_END) return fault;
  }
}

/* What a base register and the one behind it name. Addresses are numbers of maps, from 1. */
typedef struct {
  const uint8_t *read;
  uint8_t *write;
  uint32_t bytes;
} mapping;

/* Of what the host mapped; nothing where it mapped less. *fault: where bytes are asked for that are not there. */
static mapping mapped(const npu_emulator *e, uint32_t base, int32_t *fault) {
  uint32_t address = e->registers[base / 4], bytes = e->registers[base / 4 + 1];
  mapping found = {NULL, NULL, 0};
  if (address && address <= e->map_count && bytes <= e->maps[address - 1].bytes)
    found.read = e->maps[address - 1].read, found.write = e->maps[address - 1].write, found.bytes = bytes;
  else if (bytes) *fault = NNC_NPU_BOUNDS;
  return found;
}

static void start(npu_emulator *e) {
  int32_t fault = NNC_NPU_OK;
  mapping stream = mapped(e, NPU_REG_CMD_BASE, &fault), flash = mapped(e, NPU_REG_FLASH_BASE, &fault), sram = mapped(e, NPU_REG_SRAM_BASE, &fault);
  memories m = {stream.read, flash.read, {NULL}, {NULL}, stream.bytes / 4, {flash.bytes, sram.bytes, {0}, {0}}};
  for (uint32_t i = 0; i < NPU_LENT; i++) {
    mapping lent = mapped(e, NPU_REG_LENT + 8 * i, &fault);
    m.readable[i] = lent.read, m.writable[i] = lent.write;
    m.sizes.readable[i] = lent.read ? lent.bytes : 0, m.sizes.writable[i] = lent.write ? lent.bytes : 0;
  }
  memset(&e->counters, 0, sizeof e->counters);
  e->array.fault = NNC_NPU_OK, e->array.sram = sram.write, e->array.sram_bytes = sram.bytes;
  if (!stream.read || !sram.write) fault = NNC_NPU_BOUNDS;
  if (!fault) fault = run_stream(e, &m);
  e->counters.fault = (uint64_t)fault;
  e->registers[NPU_REG_STATUS / 4] = fault ? NPU_STATUS_FAULT : NPU_STATUS_DONE;
  e->registers[NPU_REG_IRQ / 4] = 1;
}

static uint32_t read32(void *context, uint32_t number) {
  const npu_emulator *e = context;
  const nnc_npu_counters *n = &e->counters;
  const uint64_t counters[] = {n->cycles, n->array, n->stall_flash, n->stall_sram, n->overhead, n->sram_read, n->sram_written, n->dma_written, n->flash_read,
                               n->host_read, n->host_written, n->macs, n->macs_skipped, n->jobs, n->dmas, n->sram_peak, n->fault, n->fault_word};
  if (number % 4) return 0;
  if (number < NPU_REG_COUNTERS) return e->registers[number / 4];
  uint32_t index = (number - NPU_REG_COUNTERS) / 4;
  return index / 2 < sizeof counters / sizeof *counters ? (uint32_t)(counters[index / 2] >> 32 * (index % 2)) : 0;
}

static void write32(void *context, uint32_t number, uint32_t value) {
  npu_emulator *e = context;
  if (number == NPU_REG_CTRL && value == NPU_CTRL_START) start(e);
  if (number == NPU_REG_IRQ && value & 1) e->registers[NPU_REG_IRQ / 4] = 0;
  if (number % 4 == 0 && number >= NPU_REG_CMD_BASE && number < NPU_REG_CTRL) e->registers[number / 4] = value;
}

static uint32_t map(npu_emulator *e, const void *read, void *write, uint32_t bytes) {
  if (e->map_count == NPU_EMULATED_MAPS) return 0;
  e->maps[e->map_count].read = read, e->maps[e->map_count].write = write, e->maps[e->map_count].bytes = bytes;
  return ++e->map_count;
}

static uint32_t map_read(void *context, const void *memory, uint32_t bytes) { return map(context, memory, NULL, bytes); }

static uint32_t map_write(void *context, void *memory, uint32_t bytes) { return map(context, memory, memory, bytes); }

static int wait_irq(void *context) { return read32(context, NPU_REG_IRQ) ? 0 : 1; }

npu_backend npu_emulate(npu_emulator *e) {
  npu_backend backend = {e, read32, write32, map_read, map_write, wait_irq};
  memset(e, 0, sizeof *e);
  e->registers[NPU_REG_ID / 4] = NPU_MAGIC, e->registers[NPU_REG_CONFIG / 4] = npu_config_hash();
  return backend;
}
