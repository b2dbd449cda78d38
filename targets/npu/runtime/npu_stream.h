/* Command streams as structures. */
#ifndef NPU_STREAM_H
#define NPU_STREAM_H

#include <stdint.h>

enum { NPU_MAGIC = 0x31434E4E, NPU_VERSION = 2, NPU_HEADER_WORDS = 8, NPU_PARAMETER_BYTES = 10, NPU_TABLE_BYTES = 256 };
enum { NPU_H_MAGIC, NPU_H_VERSION, NPU_H_CONFIG, NPU_H_WORDS, NPU_H_SRAM, NPU_H_FLASH, NPU_H_CRC, NPU_H_RESERVED };
enum { NPU_END, NPU_DMA, NPU_CONV, NPU_DWCONV, NPU_POOL, NPU_ADD, NPU_LUT, NPU_SOFTMAX, NPU_MUL, NPU_FETCH, NPU_STORE, NPU_OPERATIONS };
enum { NPU_RICE = 1, NPU_CHUNKS_OUTER = 1, NPU_SPARSE = 2, NPU_SINGLE_ROUNDING = 4, NPU_RESIDUAL = 8, NPU_INT4 = 16, NPU_SLICED = 32, NPU_UPWARD = 64 };
enum { NPU_LENT = 4, NPU_LENT_NUMBER = NPU_LENT - 1 }; /* blocks of the host's memory; the flags of FETCH and STORE say which */
enum { NPU_POOL_MAX, NPU_POOL_MEAN, NPU_POOL_SUM };

typedef struct {
  uint32_t base, pixel_pitch, row_pitch;
  int32_t h, w, c, zero, first, wrap;
} npu_image;

typedef struct {
  int32_t multiplier, shift, low, high, zero;
} npu_scaling;

/* factors, shifts and zero points of a and b */
typedef struct {
  int32_t factor[2], shift[2], zero[2], left;
  npu_scaling result;
} npu_sum;

typedef struct {
  int32_t kh, kw, sh, sw, top, left, dh, dw;
} npu_window;

/* One command. Of the fields after `wait`, those that its operation has; the others are 0. `second` is b of ADD and MUL, or the residual. */
typedef struct {
  uint32_t op, flags, words, wait, reserved; /* reserved: all reserved bits or-ed */
  npu_image in, second, out;
  npu_window window;
  npu_scaling scaling;
  npu_sum sum;
  uint32_t weights, weight_bytes, parameters, table;
  int32_t tile_rows, chunk, slice, mode, diff_min;
  uint32_t source, destination, flash_bytes, sram_bytes; /* of transfers */
} npu_command;

/* DMA, FETCH and STORE: what the DMA does beside the array's jobs */
static inline int npu_is_transfer(const npu_command *c) { return c->op == NPU_DMA || c->op == NPU_FETCH || c->op == NPU_STORE; }

/* Word `index` of a stream of any alignment. */
uint32_t npu_word(const uint8_t *stream, uint32_t index);

/* The command at word `at` of a stream of `words` words. Returns NNC_NPU_OK, or NNC_NPU_COMMAND where it has an unknown operation or flag, another
 * length than its operation, a reserved bit that is not 0, or does not end within the stream. */
int32_t npu_decode(const uint8_t *stream, uint32_t words, uint32_t at, npu_command *command);

/* CRC-32 of the whole stream with its checksum as 0. */
uint32_t npu_stream_crc(const uint8_t *stream, uint32_t bytes);

/* Config.hash of this device. */
uint32_t npu_config_hash(void);

#endif
