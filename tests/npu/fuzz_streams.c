/* Mutates command streams and runs them: each is refused or runs in bounds, which the sanitizers see.
 *   fuzz_streams CORPUS COUNT SEED
 * CORPUS: for each case bytes of stream, flash, SRAM and four blocks that the host lends, and which of these may be written (u32 each), stream, flash. Half of the mutations get a valid checksum; of
 * those, half pass the driver by and meet the device alone. Prints how many ran, were refused and faulted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "npu_driver.h"
#include "npu_emulator.h"
#include "npu_stream.h"

enum { MAX_CASES = 4096 };

typedef struct {
  uint32_t stream_bytes, flash_bytes, sram_bytes, lent_bytes[NPU_LENT], written[NPU_LENT];
  uint8_t *stream, *flash;
} fuzz_case;

static uint64_t state;

static uint32_t random_below(uint32_t limit) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return (uint32_t)((state >> 16) % limit);
}

static uint8_t *read_bytes(FILE *file, uint32_t bytes) {
  uint8_t *data = malloc(bytes ? bytes : 1);
  if (!data || fread(data, 1, bytes, file) != bytes) exit(2);
  return data;
}

static int read_case(FILE *file, fuzz_case *c) {
  if (fread(&c->stream_bytes, 4, 3, file) != 3 || fread(c->lent_bytes, 4, NPU_LENT, file) != NPU_LENT || fread(c->written, 4, NPU_LENT, file) != NPU_LENT) return 0;
  c->stream = read_bytes(file, c->stream_bytes), c->flash = read_bytes(file, c->flash_bytes);
  return 1;
}

static void put_word(uint8_t *stream, uint32_t index, uint32_t value) {
  for (int i = 0; i < 4; i++) stream[index * 4 + (uint32_t)i] = (uint8_t)(value >> 8 * i);
}

static void mutate_once(uint8_t *stream, uint32_t words, const fuzz_case *other) {
  static const uint32_t odd[] = {0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFF0000, 0x01010101, 0x00010001};
  uint32_t at = random_below(8) ? NPU_HEADER_WORDS + random_below(words - NPU_HEADER_WORDS) : random_below(words), value = npu_word(stream, at);
  switch (random_below(6)) {
    case 0: put_word(stream, at, value ^ 1u << random_below(32)); break;
    case 1: put_word(stream, at, odd[random_below(sizeof odd / sizeof *odd)]); break;
    case 2: put_word(stream, at, value + random_below(33) - 16); break;
    case 3: stream[at * 4 + random_below(4)] = (uint8_t)random_below(256); break;
    case 4: put_word(stream, at, npu_word(stream, random_below(words))); break;
    default: put_word(stream, at, npu_word(other->stream, random_below(other->stream_bytes / 4))); break;
  }
}

/* The stream, sometimes shorter or with a command of it twice, mutated: in memory of its exact size */
static uint8_t *mutated(const fuzz_case *c, const fuzz_case *other, uint32_t *bytes) {
  uint32_t words = c->stream_bytes / 4;
  if (random_below(16) == 0) words = NPU_HEADER_WORDS + 1 + random_below(words - NPU_HEADER_WORDS);
  uint8_t *stream = malloc((size_t)words * 4);
  if (!stream) exit(2);
  memcpy(stream, c->stream, (size_t)words * 4);
  put_word(stream, NPU_H_WORDS, words);
  for (uint32_t i = random_below(4) + 1; i; i--) mutate_once(stream, words, other);
  *bytes = words * 4;
  return stream;
}

/* What a run touches beside stream and flash: each of its exact size */
typedef struct {
  uint8_t *sram, *blocks[NPU_LENT];
  nnc_npu_lent lent[NPU_LENT];
} scratch;

static uint8_t *zeros(uint32_t bytes) {
  uint8_t *memory = calloc(bytes ? bytes : 1, 1);
  if (!memory) exit(2);
  return memory;
}

static scratch allocate(const fuzz_case *c) {
  scratch m;
  m.sram = zeros(c->sram_bytes);
  for (int i = 0; i < NPU_LENT; i++) {
    m.blocks[i] = zeros(c->lent_bytes[i]);
    m.lent[i].memory = (uint64_t)(uintptr_t)m.blocks[i], m.lent[i].bytes = c->lent_bytes[i], m.lent[i].written = c->written[i];
  }
  return m;
}

static int32_t on_device(const uint8_t *stream, uint32_t bytes, const fuzz_case *c, const scratch *m) {
  static npu_emulator emulator;
  npu_backend b = npu_emulate(&emulator);
  b.write32(&emulator, NPU_REG_CMD_BASE, b.map_read(&emulator, stream, bytes)), b.write32(&emulator, NPU_REG_CMD_BYTES, bytes);
  b.write32(&emulator, NPU_REG_FLASH_BASE, b.map_read(&emulator, c->flash, c->flash_bytes)), b.write32(&emulator, NPU_REG_FLASH_BYTES, c->flash_bytes);
  b.write32(&emulator, NPU_REG_SRAM_BASE, b.map_write(&emulator, m->sram, c->sram_bytes)), b.write32(&emulator, NPU_REG_SRAM_BYTES, c->sram_bytes);
  for (uint32_t i = 0; i < NPU_LENT; i++) {
    uint32_t address = c->written[i] ? b.map_write(&emulator, m->blocks[i], c->lent_bytes[i]) : b.map_read(&emulator, m->blocks[i], c->lent_bytes[i]);
    b.write32(&emulator, NPU_REG_LENT + 8 * i, address), b.write32(&emulator, NPU_REG_LENT + 8 * i + 4, c->lent_bytes[i]);
  }
  b.write32(&emulator, NPU_REG_CTRL, NPU_CTRL_START);
  return (int32_t)emulator.counters.fault;
}

static int32_t through_the_driver(const uint8_t *stream, uint32_t bytes, const fuzz_case *c, const scratch *m) {
  return nnc_npu_run(stream, bytes, c->flash, c->flash_bytes, m->sram, c->sram_bytes, m->lent, NPU_LENT, NULL);
}

int main(int argc, char **argv) {
  static fuzz_case cases[MAX_CASES];
  uint32_t count = 0, outcomes[NNC_NPU_DEVICE + 1] = {0};
  FILE *file = argc == 4 ? fopen(argv[1], "rb") : NULL;
  if (!file) return 2;
  while (count < MAX_CASES && read_case(file, &cases[count])) count++;
  fclose(file);
  if (!count) return 2;
  state = 0x9E3779B97F4A7C15u ^ strtoull(argv[3], NULL, 10);
  for (unsigned long n = strtoul(argv[2], NULL, 10); n; n--) {
    const fuzz_case *c = &cases[random_below(count)];
    uint32_t bytes;
    uint8_t *stream = mutated(c, &cases[random_below(count)], &bytes);
    scratch m = allocate(c);
    int valid = (int)random_below(2);
    if (valid) put_word(stream, NPU_H_CRC, npu_stream_crc(stream, bytes));
    int alone = valid && random_below(2);
    outcomes[(alone ? on_device : through_the_driver)(stream, bytes, c, &m)]++;
    free(stream), free(m.sram);
    for (int i = 0; i < NPU_LENT; i++) free(m.blocks[i]);
  }
  for (uint32_t i = 0; i < count; i++) free(cases[i].stream), free(cases[i].flash);
  for (int i = 0; i <= NNC_NPU_DEVICE; i++) printf("%u ", outcomes[i]);
  return 0;
}
