#include "npu_driver.h"

#include <stddef.h>
#include <string.h>

#include "npu_check.h"
#include "npu_config.h"
#include "npu_stream.h"

/* What has been read of a stream: how many jobs and transfers, and the ranges of the jobs that may still be running. */
typedef struct {
  uint32_t jobs, transfers;
  npu_range ranges[NPU_QUEUE_DEPTH][NPU_JOB_RANGES];
  int counts[NPU_QUEUE_DEPTH];
} history;

static int32_t check_header(const uint8_t *stream, uint32_t bytes, const npu_sizes *sizes, uint32_t *word) {
  uint32_t values[NPU_HEADER_WORDS];
  *word = NPU_H_WORDS;
  if (bytes < NPU_HEADER_WORDS * 4 || bytes % 4) return NNC_NPU_LENGTH;
  for (uint32_t i = 0; i < NPU_HEADER_WORDS; i++) values[i] = npu_word(stream, i);
  const struct { int holds; uint32_t word; int32_t reason; } rules[] = {
      {values[NPU_H_MAGIC] == NPU_MAGIC, NPU_H_MAGIC, NNC_NPU_MAGIC},
      {values[NPU_H_VERSION] == NPU_VERSION, NPU_H_VERSION, NNC_NPU_VERSION},
      {values[NPU_H_CONFIG] == npu_config_hash(), NPU_H_CONFIG, NNC_NPU_CONFIG},
      {values[NPU_H_WORDS] == bytes / 4, NPU_H_WORDS, NNC_NPU_LENGTH},
      {values[NPU_H_SRAM] <= sizes->sram, NPU_H_SRAM, NNC_NPU_SRAM},
      {values[NPU_H_FLASH] <= sizes->flash, NPU_H_FLASH, NNC_NPU_FLASH},
      {values[NPU_H_RESERVED] == 0, NPU_H_RESERVED, NNC_NPU_COMMAND}};
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
    if (!rules[i].holds) return *word = rules[i].word, rules[i].reason;
  *word = NPU_H_CRC;
  return values[NPU_H_CRC] == npu_stream_crc(stream, bytes) ? NNC_NPU_OK : NNC_NPU_CHECKSUM;
}

/* A transfer must not write what a job beside it uses, or read what it writes: one that it does not wait for, among the last that the queue holds. */
static int32_t note_transfer(history *h, const npu_command *c) {
  npu_range range = npu_transfer_range(c);
  uint32_t done = h->jobs > NPU_QUEUE_DEPTH ? h->jobs - NPU_QUEUE_DEPTH : 0;
  if (c->wait > h->jobs) return NNC_NPU_WAIT;
  for (uint32_t job = done > c->wait ? done : c->wait; job < h->jobs; job++)
    for (int i = 0; i < h->counts[job % NPU_QUEUE_DEPTH]; i++)
      if ((c->op != NPU_STORE || i == NPU_OUTPUT_RANGE) && npu_meet(h->ranges[job % NPU_QUEUE_DEPTH][i], range)) return NNC_NPU_HAZARD;
  h->transfers++;
  return NNC_NPU_OK;
}

static int32_t note_job(history *h, const npu_command *c) {
  if (c->wait > h->transfers) return NNC_NPU_WAIT;
  h->counts[h->jobs % NPU_QUEUE_DEPTH] = npu_job_ranges(c, h->ranges[h->jobs % NPU_QUEUE_DEPTH]);
  h->jobs++;
  return NNC_NPU_OK;
}

int32_t npu_validate(const void *stream, uint32_t stream_bytes, const npu_sizes *sizes, uint32_t *word) {
  const uint8_t *bytes = stream;
  int32_t reason = check_header(bytes, stream_bytes, sizes, word);
  if (reason) return reason;
  uint32_t words = stream_bytes / 4;
  npu_sizes own = *sizes;
  own.flash = npu_word(bytes, NPU_H_FLASH), own.sram = npu_word(bytes, NPU_H_SRAM);
  history seen;
  npu_command c;
  memset(&seen, 0, sizeof seen);
  for (*word = NPU_HEADER_WORDS;; *word += c.words) {
    reason = npu_decode(bytes, words, *word, &c);
    if (!reason) reason = npu_check_command(&c, &own);
    if (!reason && c.op == NPU_END) return *word + 1 == words ? NNC_NPU_OK : NNC_NPU_END;
    if (!reason) reason = npu_is_transfer(&c) ? note_transfer(&seen, &c) : note_job(&seen, &c);
    if (reason) return reason;
  }
}

static uint64_t counter(const npu_backend *b, uint32_t index) {
  uint32_t number = NPU_REG_COUNTERS + 8 * index;
  return b->read32(b->context, number) | (uint64_t)b->read32(b->context, number + 4) << 32;
}

static void read_counters(const npu_backend *b, nnc_npu_counters *n) {
  uint64_t *all[] = {&n->cycles, &n->array, &n->stall_flash, &n->stall_sram, &n->overhead, &n->sram_read, &n->sram_written, &n->dma_written, &n->flash_read,
                     &n->host_read, &n->host_written, &n->macs, &n->macs_skipped, &n->jobs, &n->dmas, &n->sram_peak, &n->fault, &n->fault_word};
  for (uint32_t i = 0; i < sizeof all / sizeof *all; i++) *all[i] = counter(b, i);
}

/* The address by which the device knows memory that it reads, or one that it writes; 0 for none */
static uint32_t lend(const npu_backend *b, const void *memory, uint32_t bytes) { return bytes ? b->map_read(b->context, memory, bytes) : 0; }
static uint32_t hand(const npu_backend *b, void *memory, uint32_t bytes) { return bytes ? b->map_write(b->context, memory, bytes) : 0; }

static uint32_t lend_block(const npu_backend *b, const nnc_npu_lent *block) {
  void *memory = (void *)(uintptr_t)block->memory;
  return block->written ? hand(b, memory, block->bytes) : lend(b, memory, block->bytes);
}

static int32_t start(const npu_backend *b, const npu_memories *m) {
  const uint32_t values[][2] = {{NPU_REG_CMD_BASE, lend(b, m->stream, m->stream_bytes)}, {NPU_REG_CMD_BYTES, m->stream_bytes},
                                {NPU_REG_FLASH_BASE, lend(b, m->flash, m->flash_bytes)}, {NPU_REG_FLASH_BYTES, m->flash_bytes},
                                {NPU_REG_SRAM_BASE, hand(b, m->sram, m->sram_bytes)},    {NPU_REG_SRAM_BYTES, m->sram_bytes},
                                {NPU_REG_IRQ, 1},                                        {NPU_REG_CTRL, NPU_CTRL_START}};
  if (b->read32(b->context, NPU_REG_ID) != NPU_MAGIC) return NNC_NPU_DEVICE;
  if (b->read32(b->context, NPU_REG_CONFIG) != npu_word(m->stream, NPU_H_CONFIG)) return NNC_NPU_CONFIG;
  for (uint32_t i = 0; i < NPU_LENT; i++) {
    b->write32(b->context, NPU_REG_LENT + 8 * i, i < m->lent_count ? lend_block(b, &m->lent[i]) : 0);
    b->write32(b->context, NPU_REG_LENT + 8 * i + 4, i < m->lent_count ? m->lent[i].bytes : 0);
  }
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) b->write32(b->context, values[i][0], values[i][1]);
  if (b->wait_irq(b->context)) return NNC_NPU_DEVICE;
  b->write32(b->context, NPU_REG_IRQ, 1);
  switch (b->read32(b->context, NPU_REG_STATUS)) {
    case NPU_STATUS_DONE: return NNC_NPU_OK;
    case NPU_STATUS_FAULT: return (int32_t)counter(b, (uint32_t)(offsetof(nnc_npu_counters, fault) / sizeof(uint64_t)));
    default: return NNC_NPU_DEVICE;
  }
}

/* Whether all pointers are there, and the sizes of what they point to */
static int whole(const npu_memories *m, npu_sizes *sizes) {
  memset(sizes, 0, sizeof *sizes);
  sizes->flash = m->flash_bytes, sizes->sram = m->sram_bytes;
  if (!m->stream || (!m->flash && m->flash_bytes) || !m->sram || m->lent_count > NPU_LENT || (!m->lent && m->lent_count)) return 0;
  for (uint32_t i = 0; i < m->lent_count; i++) {
    if (!m->lent[i].memory && m->lent[i].bytes) return 0;
    (m->lent[i].written ? sizes->writable : sizes->readable)[i] = m->lent[i].bytes;
  }
  return 1;
}

int32_t npu_drive(const npu_backend *backend, const npu_memories *m, nnc_npu_counters *counters) {
  uint32_t word = 0;
  npu_sizes sizes;
  int32_t reason = whole(m, &sizes) ? npu_validate(m->stream, m->stream_bytes, &sizes, &word) : NNC_NPU_ARGUMENT;
  int ran = !reason;
  if (ran) reason = start(backend, m);
  if (!counters) return reason;
  if (ran) {
    read_counters(backend, counters);
  } else {
    memset(counters, 0, sizeof *counters);
    counters->fault = (uint64_t)reason, counters->fault_word = word;
  }
  return reason;
}
