/* nnc_npu_run, a job at a time: what each has written is recorded. Part of a file that has record(). */
#include <string.h>

#include "nnc_npu.h"
#include "npu_stream.h"

int32_t __real_nnc_npu_run(const void *, uint32_t, const void *, uint32_t, void *, uint32_t, const nnc_npu_lent *, uint32_t, nnc_npu_counters *);
int32_t __wrap_nnc_npu_run(const void *, uint32_t, const void *, uint32_t, void *, uint32_t, const nnc_npu_lent *, uint32_t, nnc_npu_counters *);

static void put_word(uint8_t *stream, uint32_t index, uint32_t value)
{
    uint32_t i;
    for (i = 0; i < 4; i++) stream[index * 4 + i] = (uint8_t)(value >> 8 * i);
}

static void record_image(const npu_image *image, const uint8_t *sram)
{
    int32_t y, x;
    for (y = 0; y < image->h; y++)
        for (x = 0; x < image->w; x++) {
            const uint32_t row = (uint32_t)(image->wrap ? (image->first + y) % image->wrap : y);
            record(sram + image->base + (size_t)row * image->row_pitch + (size_t)x * image->pixel_pitch, (unsigned long)image->c);
        }
}

int32_t __wrap_nnc_npu_run(const void *stream, uint32_t stream_bytes, const void *flash, uint32_t flash_bytes, void *sram, uint32_t sram_bytes,
                           const nnc_npu_lent *lent, uint32_t lent_count, nnc_npu_counters *counters)
{
    /* a job and the transfers before it make a stream of their own, and so do those behind the last job; what they wait for beyond that has happened */
    uint8_t *part = malloc((size_t)stream_bytes + 4);
    uint32_t at = NPU_HEADER_WORDS, length = NPU_HEADER_WORDS, loads = 0;
    int32_t reason = part == NULL ? NNC_NPU_ARGUMENT : NNC_NPU_OK;
    npu_command c;
    c.op = NPU_OPERATIONS;
    if (reason == NNC_NPU_OK) memcpy(part, stream, NPU_HEADER_WORDS * 4);
    for (; reason == NNC_NPU_OK && c.op != NPU_END; at += c.words) {
        reason = npu_decode(stream, stream_bytes / 4, at, &c);
        if (reason != NNC_NPU_OK) break;
        if (c.op != NPU_END) {
            memcpy(part + (size_t)length * 4, (const uint8_t *)stream + (size_t)at * 4, (size_t)c.words * 4);
            put_word(part, length + 1, npu_is_transfer(&c) ? 0 : loads);
            length += c.words;
        }
        if (npu_is_transfer(&c)) {
            loads++;
            continue;
        }
        put_word(part, length, (uint32_t)1 << 16); /* END */
        put_word(part, NPU_H_WORDS, length + 1);
        put_word(part, NPU_H_CRC, npu_stream_crc(part, (length + 1) * 4));
        reason = __real_nnc_npu_run(part, (length + 1) * 4, flash, flash_bytes, sram, sram_bytes, lent, lent_count, counters);
        if (reason == NNC_NPU_OK && c.op != NPU_END) record_image(&c.out, sram);
        length = NPU_HEADER_WORDS;
        loads = 0;
    }
    free(part);
    return reason;
}
