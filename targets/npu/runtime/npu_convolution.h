/* What CONV and DWCONV share. */
#ifndef NPU_CONVOLUTION_H
#define NPU_CONVOLUTION_H

#include "npu_array.h"

/* Finishes the accumulators of the group of channels from `first` of one pixel. */
void npu_finish(npu_array *array, const npu_command *c, const int32_t *acc, int32_t first, const int8_t *residual, int8_t *out);

/* The rows of output and residual; 0 where there is a fault */
int npu_output_row(npu_array *array, const npu_command *c, int32_t y, int8_t **out, const int8_t **residual);

#endif
