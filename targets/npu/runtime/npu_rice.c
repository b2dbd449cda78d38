/* The DMA's decoder (docs/npu.md). Bounded: it reads and writes what it was given, whatever is in it. */
#include "nnc_npu.h"
#include "npu_array.h"

enum { GROUP = 64, K_BITS = 3, RAW = 7, ESCAPE = 8 };

typedef struct {
  const uint8_t *bytes;
  uint64_t at, end; /* in bits; reading past the end gives zeros and is seen afterwards */
} bit_reader;

static unsigned bit(bit_reader *r) {
  unsigned value = r->at < r->end ? r->bytes[r->at / 8] >> (r->at % 8) & 1u : 0u;
  r->at++;
  return value;
}

static unsigned field(bit_reader *r, unsigned width) {
  unsigned value = 0;
  for (unsigned i = 0; i < width; i++) value |= bit(r) << i;
  return value;
}

static int32_t symbol(bit_reader *r, unsigned k) {
  unsigned quotient = 0, value;
  if (k != RAW) {
    while (quotient < ESCAPE && bit(r)) quotient++;
    if (quotient < ESCAPE) {
      value = (quotient << k | field(r, k)) & 255u;
      return value & 1 ? -1 - (int32_t)(value >> 1) : (int32_t)(value >> 1);
    }
  }
  return (int32_t)(field(r, 8) ^ 128u) - 128;
}

int32_t npu_rice_decode(const uint8_t *bytes, uint32_t count, int8_t *symbols, uint32_t symbol_count) {
  bit_reader r = {bytes, 0, (uint64_t)count * 8};
  unsigned k = 0;
  for (uint32_t i = 0; i < symbol_count && r.at <= r.end; i++) {
    if (i % GROUP == 0) k = field(&r, K_BITS);
    symbols[i] = (int8_t)symbol(&r, k);
  }
  if (r.at > r.end || r.end - r.at >= 8) return NNC_NPU_CODEC;
  while (r.at < r.end)
    if (bit(&r)) return NNC_NPU_CODEC;
  return NNC_NPU_OK;
}
