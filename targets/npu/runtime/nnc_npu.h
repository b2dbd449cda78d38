/* Runs a command stream on the NNC-1. What streams, faults and counters mean is in docs/npu.md of nnc-tvm. */
#ifndef NNC_NPU_H
#define NNC_NPU_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Why a stream was refused (nothing was run) or stopped (NNC_NPU_CODEC to NNC_NPU_OVERFLOW: found by the device in data). */
enum {
  NNC_NPU_OK = 0,
  NNC_NPU_ARGUMENT,   /* a NULL pointer */
  NNC_NPU_MAGIC,      /* not a command stream */
  NNC_NPU_VERSION,    /* of another version */
  NNC_NPU_CONFIG,     /* for a device of another configuration */
  NNC_NPU_LENGTH,     /* not as long as it says */
  NNC_NPU_CHECKSUM,   /* damaged */
  NNC_NPU_SRAM,       /* needs more SRAM than there is */
  NNC_NPU_FLASH,      /* needs more flash than there is */
  NNC_NPU_COMMAND,    /* unknown operation, flag or size, or a reserved field that is not 0 */
  NNC_NPU_END,        /* no END, or something behind it */
  NNC_NPU_IMAGE,      /* extents or pitches that are not an image, or images that do not go together */
  NNC_NPU_BOUNDS,     /* an extent outside its memory */
  NNC_NPU_WAIT,       /* waits for what does not precede it */
  NNC_NPU_RANGE,      /* a number outside its range */
  NNC_NPU_BUFFER,     /* a tile or a chunk larger than its buffer */
  NNC_NPU_OVERLAP,    /* writes over what it still has to read */
  NNC_NPU_HAZARD,     /* a transfer and a job beside it use the same memory */
  NNC_NPU_CODEC,      /* compressed weights that are damaged */
  NNC_NPU_WEIGHTS,    /* masks that do not fit the weights, or weights their buffer */
  NNC_NPU_PARAMETERS, /* a multiplier or shift outside its range */
  NNC_NPU_OVERFLOW,   /* an accumulator or a left shift left int32 */
  NNC_NPU_DEVICE      /* no such device, or one that did not finish */
};

/* In the order of the device's counter registers. Times in cycles, the rest in bytes, multiplications or pieces. */
typedef struct {
  uint64_t cycles, array, stall_flash, stall_sram, overhead, sram_read, sram_written, dma_written, flash_read, host_read, host_written, macs, macs_skipped, jobs, dmas, sram_peak, fault, fault_word;
} nnc_npu_counters;

/* A block of the host's memory that the stream itself reads or, where `written` is not 0, writes. memory: its address, as a number. */
typedef struct {
  uint64_t memory;
  uint32_t bytes, written;
} nnc_npu_lent;

/* Validates the whole stream, then runs it. Returns NNC_NPU_OK or a reason of the above. `counters` may be NULL.
 * Inputs are in `sram` before, outputs afterwards, but for those that the stream itself moves from and to `lent`: four at the most, NULL where there are
 * none. Re-entrant; allocates nothing. */
int32_t nnc_npu_run(const void *stream, uint32_t stream_bytes, const void *flash, uint32_t flash_bytes, void *sram, uint32_t sram_bytes,
                    const nnc_npu_lent *lent, uint32_t lent_count, nnc_npu_counters *counters);

#ifdef __cplusplus
}
#endif

#endif
