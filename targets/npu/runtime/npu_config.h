/* The sizes of the device: targets/npu/config.py in C. Other devices are built by defining them on the command line. */
#ifndef NPU_CONFIG_H
#define NPU_CONFIG_H

#ifndef NPU_MACS_PER_CYCLE
#define NPU_MACS_PER_CYCLE 128
#endif
#ifndef NPU_INPUT_BUFFER_BYTES
#define NPU_INPUT_BUFFER_BYTES 16384
#endif
#ifndef NPU_WEIGHT_BUFFER_BYTES
#define NPU_WEIGHT_BUFFER_BYTES 8192
#endif

enum {
  NPU_SRAM_BYTES_PER_CYCLE = 8,
  NPU_COMPUTE_BYTES_PER_CYCLE = 7,
  NPU_FLASH_BYTES_PER_CYCLE = 1,
  NPU_CODEC_SYMBOLS_PER_CYCLE = 2,
  NPU_REQUANTIZE_LANES = 4,
  NPU_QUEUE_DEPTH = 16,
  NPU_FILL_CYCLES = 12,
  NPU_JOB_CYCLES = 16,
  NPU_DEPTH = 4,    /* elements of a dot product */
  NPU_CHANNELS = 4, /* output channels side by side */
  NPU_BLOCK = NPU_DEPTH * NPU_CHANNELS,
  NPU_PIXELS = NPU_MACS_PER_CYCLE / NPU_BLOCK,
  NPU_MAX_TILE_ROWS = 1024
};

#endif
