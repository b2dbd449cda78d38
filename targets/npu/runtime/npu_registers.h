/* The register file: all that a driver sees of a device. Registers are 32 bits wide, numbered in bytes. */
#ifndef NPU_REGISTERS_H
#define NPU_REGISTERS_H

#include <stdint.h>

enum {
  NPU_REG_ID = 0x00,     /* NPU_MAGIC */
  NPU_REG_CONFIG = 0x04, /* Config.hash */
  NPU_REG_CMD_BASE = 0x08,
  NPU_REG_CMD_BYTES = 0x0C,
  NPU_REG_FLASH_BASE = 0x10,
  NPU_REG_FLASH_BYTES = 0x14,
  NPU_REG_SRAM_BASE = 0x18,
  NPU_REG_SRAM_BYTES = 0x1C,
  NPU_REG_LENT = 0x20,    /* NPU_LENT blocks of the host's memory that FETCH reads and STORE writes: base and bytes of each */
  NPU_REG_CTRL = 0x40,
  NPU_REG_STATUS = 0x44,
  NPU_REG_IRQ = 0x48,     /* 1 when a run has ended; writing 1 clears it */
  NPU_REG_COUNTERS = 0x50 /* nnc_npu_counters in order, each low word, high word */
};
enum { NPU_CTRL_START = 1 };
enum { NPU_STATUS_IDLE, NPU_STATUS_DONE, NPU_STATUS_FAULT };

/* How a driver reaches its device. map_*: the address by which the device knows memory of the host. wait_irq: 0 when the interrupt has come. */
typedef struct {
  void *context;
  uint32_t (*read32)(void *context, uint32_t number);
  void (*write32)(void *context, uint32_t number, uint32_t value);
  uint32_t (*map_read)(void *context, const void *memory, uint32_t bytes);
  uint32_t (*map_write)(void *context, void *memory, uint32_t bytes);
  int (*wait_irq)(void *context);
} npu_backend;

#endif
