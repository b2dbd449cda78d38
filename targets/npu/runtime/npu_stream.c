#include "npu_stream.h"

#include <string.h>

#include "nnc_npu.h"
#include "npu_config.h"

enum { IMAGE_WORDS = 6, SUM_WORDS = 6 };

uint32_t npu_word(const uint8_t *stream, uint32_t index) {
  const uint8_t *p = stream + (size_t)index * 4;
  return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int32_t signed32(uint32_t value) { return value < 0x80000000u ? (int32_t)value : -1 - (int32_t)~value; }
static int32_t byte_of(uint32_t word, int n) { return (int32_t)(word >> (8 * n) & 255); }
static int32_t half_of(uint32_t word, int n) { return (int32_t)(word >> (16 * n) & 65535); }
static int32_t signed_byte(uint32_t word, int n) { return (byte_of(word, n) ^ 128) - 128; }
static int32_t signed_half(uint32_t word, int n) { return (half_of(word, n) ^ 32768) - 32768; }

static npu_image image(const uint8_t *stream, uint32_t at) {
  uint32_t extents = npu_word(stream, at + 1), depth = npu_word(stream, at + 2), rows = npu_word(stream, at + 5);
  npu_image result = {npu_word(stream, at), npu_word(stream, at + 3), npu_word(stream, at + 4), half_of(extents, 0), half_of(extents, 1), half_of(depth, 0),
                      signed_half(depth, 1), half_of(rows, 0), half_of(rows, 1)};
  return result;
}

static npu_sum sum_block(const uint8_t *stream, uint32_t at) {
  uint32_t shifts = npu_word(stream, at + 2), clamp = npu_word(stream, at + 4), zeros = npu_word(stream, at + 5);
  npu_sum result = {{signed32(npu_word(stream, at)), signed32(npu_word(stream, at + 1))}, {signed_byte(shifts, 0), signed_byte(shifts, 1)},
                    {signed_half(zeros, 0), signed_half(zeros, 1)}, byte_of(shifts, 2),
                    {signed32(npu_word(stream, at + 3)), signed_byte(shifts, 3), signed_byte(clamp, 0), signed_byte(clamp, 1), signed_half(clamp, 1)}};
  return result;
}

static npu_window window(uint32_t kernel, uint32_t padding) {
  npu_window result = {byte_of(kernel, 0), byte_of(kernel, 1), byte_of(kernel, 2), byte_of(kernel, 3), byte_of(padding, 0), byte_of(padding, 1), 1, 1};
  return result;
}

static void decode_convolution(const uint8_t *stream, uint32_t at, npu_command *c) {
  uint32_t padding = npu_word(stream, at + 15), tile = npu_word(stream, at + 19), clamp = npu_word(stream, at + 20);
  c->window = window(npu_word(stream, at + 14), padding);
  c->window.dh = byte_of(padding, 2), c->window.dw = byte_of(padding, 3);
  c->weights = npu_word(stream, at + 16), c->weight_bytes = npu_word(stream, at + 17), c->parameters = npu_word(stream, at + 18);
  c->tile_rows = half_of(tile, 0), c->chunk = half_of(tile, 1);
  c->scaling.low = signed_byte(clamp, 0), c->scaling.high = signed_byte(clamp, 1), c->scaling.zero = signed_half(clamp, 1);
  if (c->flags & NPU_RESIDUAL) c->second = image(stream, at + 21), c->sum = sum_block(stream, at + 27);
  if (c->flags & NPU_SLICED) {
    uint32_t slice = npu_word(stream, at + c->words - 1);
    c->slice = half_of(slice, 0), c->reserved = slice >> 16;
  }
}

static void decode_pool(const uint8_t *stream, uint32_t at, npu_command *c) {
  uint32_t padding = npu_word(stream, at + 15), clamp = npu_word(stream, at + 17), zero = npu_word(stream, at + 18), tile = npu_word(stream, at + 19);
  c->window = window(npu_word(stream, at + 14), padding);
  c->mode = byte_of(padding, 2);
  npu_scaling scaling = {signed32(npu_word(stream, at + 16)), signed_byte(clamp, 0), signed_byte(clamp, 1), signed_byte(clamp, 2), signed_half(zero, 0)};
  c->scaling = scaling;
  c->tile_rows = half_of(tile, 0), c->chunk = half_of(tile, 1);
  c->reserved = (padding | clamp) >> 24 | zero >> 16;
}

static void decode_images(const uint8_t *stream, uint32_t at, npu_command *c) {
  c->in = image(stream, at + 2);
  int pair = c->op == NPU_ADD || c->op == NPU_MUL;
  c->out = image(stream, at + (pair ? 14 : 8));
  if (pair) c->second = image(stream, at + 8);
  if (c->op == NPU_ADD) c->sum = sum_block(stream, at + 20);
  if (c->op == NPU_MUL) {
    uint32_t clamp = npu_word(stream, at + 21), zero = npu_word(stream, at + 22);
    npu_scaling scaling = {signed32(npu_word(stream, at + 20)), signed_byte(clamp, 0), signed_byte(clamp, 1), signed_byte(clamp, 2), signed_half(zero, 0)};
    c->scaling = scaling;
    c->reserved = clamp >> 24 | zero >> 16;
  }
  if (c->op == NPU_LUT) c->table = npu_word(stream, at + 14);
  if (c->op == NPU_SOFTMAX) {
    c->scaling.multiplier = signed32(npu_word(stream, at + 14)), c->scaling.shift = signed32(npu_word(stream, at + 15));
    c->diff_min = signed32(npu_word(stream, at + 16));
  }
}

int32_t npu_decode(const uint8_t *stream, uint32_t words, uint32_t at, npu_command *c) {
  static const struct { uint8_t words, flags; } forms[NPU_OPERATIONS] = {
      {1, 0}, {6, NPU_RICE},
      {21, NPU_CHUNKS_OUTER | NPU_SINGLE_ROUNDING | NPU_RESIDUAL | NPU_SLICED | NPU_UPWARD | (NPU_SKIPS_ZEROS ? NPU_SPARSE : 0) |
               (NPU_INT4_WEIGHTS ? NPU_INT4 : 0)},
      {21, NPU_CHUNKS_OUTER | NPU_SINGLE_ROUNDING | NPU_RESIDUAL | NPU_UPWARD}, {20, NPU_UPWARD}, {26, 0}, {15, 0}, {17, 0}, {23, NPU_SINGLE_ROUNDING},
      {5, NPU_LENT_NUMBER}, {5, NPU_LENT_NUMBER}};
  if (at >= words) return NNC_NPU_END;
  memset(c, 0, sizeof *c);
  uint32_t first = npu_word(stream, at);
  c->op = first & 255, c->flags = first >> 8 & 255, c->words = first >> 16;
  if (c->op >= NPU_OPERATIONS || c->flags & ~(uint32_t)forms[c->op].flags) return NNC_NPU_COMMAND;
  int convolution = c->op == NPU_CONV || c->op == NPU_DWCONV;
  uint32_t residual = convolution && c->flags & NPU_RESIDUAL ? IMAGE_WORDS + SUM_WORDS : 0u, slice = convolution && c->flags & NPU_SLICED ? 1u : 0u;
  if (c->words != forms[c->op].words + residual + slice) return NNC_NPU_COMMAND;
  if (c->words > words - at) return NNC_NPU_COMMAND;
  if (c->op == NPU_END) return NNC_NPU_OK;
  c->wait = npu_word(stream, at + 1);
  if (npu_is_transfer(c)) {
    c->source = npu_word(stream, at + 2), c->destination = npu_word(stream, at + 3);
    c->flash_bytes = c->op == NPU_DMA ? npu_word(stream, at + 4) : 0, c->sram_bytes = npu_word(stream, at + c->words - 1);
    return NNC_NPU_OK;
  }
  decode_images(stream, at, c);
  if (convolution) decode_convolution(stream, at, c);
  if (c->op == NPU_POOL) decode_pool(stream, at, c);
  return c->reserved ? NNC_NPU_COMMAND : NNC_NPU_OK;
}

static uint32_t crc_update(uint32_t crc, const uint8_t *data, size_t bytes) {
  static const uint32_t nibble[16] = {0,          0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C,
                                      0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C, 0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C};
  for (size_t i = 0; i < bytes; i++) {
    crc ^= data[i];
    crc = crc >> 4 ^ nibble[crc & 15];
    crc = crc >> 4 ^ nibble[crc & 15];
  }
  return crc;
}

uint32_t npu_stream_crc(const uint8_t *stream, uint32_t bytes) {
  static const uint8_t zeros[4] = {0};
  uint32_t crc = crc_update(0xFFFFFFFFu, stream, NPU_H_CRC * 4);
  crc = crc_update(crc, zeros, 4);
  return ~crc_update(crc, stream + (NPU_H_CRC + 1) * 4, bytes - (NPU_H_CRC + 1) * 4);
}

uint32_t npu_config_hash(void) {
  static const uint32_t words[] = {
      NPU_MACS_PER_CYCLE, NPU_ARRAY_CHANNELS, NPU_ARRAY_DEPTH, NPU_SKIPS_ZEROS,
      NPU_INT4_WEIGHTS, NPU_PACKS_ROWS, NPU_DEPTHWISE_TAPS, NPU_SUM_SCALINGS,
      NPU_SRAM_BYTES_PER_CYCLE, NPU_COMPUTE_BYTES_PER_CYCLE, NPU_FLASH_BYTES_PER_CYCLE, NPU_HOST_BYTES_PER_CYCLE, NPU_CODEC_SYMBOLS_PER_CYCLE,
      NPU_CODED_PERCENT, NPU_REQUANTIZE_LANES, NPU_INPUT_BUFFER_BYTES, NPU_WEIGHT_BUFFER_BYTES,
      NPU_ACCUMULATOR_BYTES, NPU_SWAP_CYCLES, NPU_QUEUE_DEPTH, NPU_FILL_CYCLES, NPU_JOB_CYCLES};
  uint32_t crc = 0xFFFFFFFFu;
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    uint8_t bytes[4] = {(uint8_t)words[i], (uint8_t)(words[i] >> 8), (uint8_t)(words[i] >> 16), (uint8_t)(words[i] >> 24)};
    crc = crc_update(crc, bytes, 4);
  }
  return ~crc;
}
