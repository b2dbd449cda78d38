/* The sizes of the device: targets/npu/config.py in C, which says what they mean. Other devices are built by defining them on the command line. */
#ifndef NPU_CONFIG_H
#define NPU_CONFIG_H

#ifndef NPU_MACS_PER_CYCLE
#define NPU_MACS_PER_CYCLE 128
#endif
#ifndef NPU_ARRAY_CHANNELS
#define NPU_ARRAY_CHANNELS 4
#endif
#ifndef NPU_ARRAY_DEPTH
#define NPU_ARRAY_DEPTH 4
#endif
#ifndef NPU_SKIPS_ZEROS
#define NPU_SKIPS_ZEROS 1
#endif
#ifndef NPU_INT4_WEIGHTS
#define NPU_INT4_WEIGHTS 1
#endif
#ifndef NPU_PACKS_ROWS
#define NPU_PACKS_ROWS 1
#endif
#ifndef NPU_DEPTHWISE_TAPS
#define NPU_DEPTHWISE_TAPS 1
#endif
#ifndef NPU_SUM_SCALINGS
#define NPU_SUM_SCALINGS 3
#endif
#ifndef NPU_SRAM_BYTES_PER_CYCLE
#define NPU_SRAM_BYTES_PER_CYCLE 8
#endif
#ifndef NPU_COMPUTE_BYTES_PER_CYCLE
#define NPU_COMPUTE_BYTES_PER_CYCLE 7
#endif
#ifndef NPU_FLASH_BYTES_PER_CYCLE
#define NPU_FLASH_BYTES_PER_CYCLE 1
#endif
#ifndef NPU_HOST_BYTES_PER_CYCLE
#define NPU_HOST_BYTES_PER_CYCLE 1
#endif
#ifndef NPU_CODEC_SYMBOLS_PER_CYCLE
#define NPU_CODEC_SYMBOLS_PER_CYCLE 2
#endif
#ifndef NPU_CODED_PERCENT
#define NPU_CODED_PERCENT 100
#endif
#ifndef NPU_REQUANTIZE_LANES
#define NPU_REQUANTIZE_LANES 4
#endif
#ifndef NPU_INPUT_BUFFER_BYTES
#define NPU_INPUT_BUFFER_BYTES 16384
#endif
#ifndef NPU_WEIGHT_BUFFER_BYTES
#define NPU_WEIGHT_BUFFER_BYTES 8192
#endif
#ifndef NPU_ACCUMULATOR_BYTES
#define NPU_ACCUMULATOR_BYTES 2048
#endif
#ifndef NPU_SWAP_CYCLES
#define NPU_SWAP_CYCLES 2
#endif
#ifndef NPU_QUEUE_DEPTH
#define NPU_QUEUE_DEPTH 16
#endif
#ifndef NPU_FILL_CYCLES
#define NPU_FILL_CYCLES 12
#endif
#ifndef NPU_JOB_CYCLES
#define NPU_JOB_CYCLES 16
#endif

enum {
  NPU_DEPTH = 4,       /* elements of a block of weights */
  NPU_CHANNELS = 4,    /* output channels of a group; of INT4 weights twice as many */
  NPU_MOST_CHANNELS = 8,
  NPU_BLOCK = NPU_DEPTH * NPU_CHANNELS, /* bytes of a block */
  NPU_PIXELS = NPU_MACS_PER_CYCLE / (NPU_ARRAY_CHANNELS * NPU_ARRAY_DEPTH),
  NPU_ACCUMULATORS = NPU_ACCUMULATOR_BYTES / 4,
  NPU_MAX_SUM = 1 << 16, /* products of an accumulator: more may leave int32 */
  NPU_MAX_TILE_ROWS = 1024
};

#endif
