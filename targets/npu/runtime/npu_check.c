#include "npu_check.h"

#include "nnc_npu.h"
#include "npu_config.h"
#include "npu_geometry.h"

enum { MAX_DMA_BYTES = 1 << 24, MAX_LEFT_SHIFT = 20 };

static int is_int8(int32_t value) { return value >= -128 && value <= 127; }

static npu_range span(uint32_t base, int64_t bytes) {
  npu_range range = {base, base + (uint64_t)bytes};
  return range;
}

static npu_range image_range(const npu_image *i) {
  uint64_t rows = (uint64_t)(i->wrap ? i->wrap : i->h);
  npu_range range = {i->base, i->base + (rows - 1) * i->row_pitch + (uint64_t)(i->w - 1) * i->pixel_pitch + (uint64_t)i->c};
  return range;
}

static int32_t check_image(const npu_image *i, uint32_t sram_bytes) {
  if (i->h < 1 || i->w < 1 || i->c < 1 || i->pixel_pitch < (uint32_t)i->c || i->row_pitch < (uint64_t)i->w * i->pixel_pitch) return NNC_NPU_IMAGE;
  if (i->wrap ? i->h > i->wrap || i->first >= i->wrap : i->first) return NNC_NPU_IMAGE;
  if (!is_int8(i->zero)) return NNC_NPU_RANGE;
  return image_range(i).to > sram_bytes ? NNC_NPU_BOUNDS : NNC_NPU_OK;
}

static int same_shape(const npu_image *a, const npu_image *b) { return a->h == b->h && a->w == b->w && a->c == b->c; }

static int same_place(const npu_image *a, const npu_image *b) {
  return a->base == b->base && a->pixel_pitch == b->pixel_pitch && a->row_pitch == b->row_pitch && a->first == b->first && a->wrap == b->wrap;
}

static int scales(const npu_scaling *s) {
  return s->multiplier >= 0 && s->shift >= -31 && s->shift <= 30 && s->low <= s->high && is_int8(s->zero);
}

static int sums(const npu_sum *s) {
  for (int i = 0; i < 2; i++)
    if (s->factor[i] == INT32_MIN || s->shift[i] > 0 || s->shift[i] < -31 || !is_int8(s->zero[i])) return 0;
  return s->left <= MAX_LEFT_SHIFT && scales(&s->result);
}

npu_range npu_transfer_range(const npu_command *c) { return span(c->op == NPU_STORE ? c->source : c->destination, c->sram_bytes); }

static int32_t check_transfer(const npu_command *c, const npu_sizes *sizes) {
  uint64_t other = c->op == NPU_DMA     ? span(c->source, c->flash_bytes).to
                   : c->op == NPU_FETCH ? span(c->source, c->sram_bytes).to
                                        : span(c->destination, c->sram_bytes).to;
  uint32_t size = c->op == NPU_DMA ? sizes->flash : (c->op == NPU_FETCH ? sizes->readable : sizes->writable)[c->flags & NPU_LENT_NUMBER];
  if (!c->sram_bytes || c->sram_bytes > MAX_DMA_BYTES) return NNC_NPU_RANGE;
  if (c->op == NPU_DMA && (!c->flash_bytes || c->flash_bytes > MAX_DMA_BYTES)) return NNC_NPU_RANGE;
  if (c->op == NPU_DMA && !(c->flags & NPU_RICE) && c->flash_bytes != c->sram_bytes) return NNC_NPU_RANGE;
  return other > size || npu_transfer_range(c).to > sizes->sram ? NNC_NPU_BOUNDS : NNC_NPU_OK;
}

/* Of the largest tile and chunk */
static int64_t accumulators(const npu_command *c) {
  int64_t rows = c->tile_rows < c->out.h ? c->tile_rows : c->out.h;
  return rows * c->out.w * npu_chunk_groups(c) * npu_group_channels(c);
}

/* Whether the input buffer holds every tile's rows of the first slice and of the last, and the elements of a window. */
static int32_t tiles_fit(const npu_command *c) {
  npu_command slices[2] = {npu_slice_at(c, 0), npu_slice_at(c, npu_slices(c) - 1)};
  int64_t row = 0;
  for (int i = 0; i < 2; i++) {
    if (c->op == NPU_CONV && npu_group_blocks(&slices[i]) * NPU_DEPTH > NPU_INPUT_BUFFER_BYTES) return NNC_NPU_BUFFER;
    if (npu_buffer_row(&slices[i]) > row) row = npu_buffer_row(&slices[i]);
  }
  for (int32_t t = 0; t < npu_tiles(c); t++)
    if (npu_tile_at(c, t).count * row > NPU_INPUT_BUFFER_BYTES) return NNC_NPU_BUFFER;
  return NNC_NPU_OK;
}

static int32_t check_tiles(const npu_command *c) {
  const npu_window *w = &c->window;
  if (!w->kh || !w->kw || !w->sh || !w->sw || !w->dh || !w->dw) return NNC_NPU_RANGE;
  if (c->tile_rows < 1 || c->tile_rows > NPU_MAX_TILE_ROWS || c->chunk < 1 || c->chunk % npu_group_channels(c)) return NNC_NPU_RANGE;
  if (c->op != NPU_CONV && c->in.c != c->out.c) return NNC_NPU_IMAGE;
  if (c->slice ? c->slice % NPU_DEPTH || c->slice >= c->in.c || c->flags & NPU_CHUNKS_OUTER : c->op == NPU_CONV && c->flags & NPU_SLICED) return NNC_NPU_RANGE;
  if (c->op == NPU_CONV && npu_group_blocks(c) * NPU_DEPTH > NPU_MAX_SUM) return NNC_NPU_RANGE;
  if (c->slice && accumulators(c) > NPU_ACCUMULATORS) return NNC_NPU_BUFFER;
  return tiles_fit(c);
}

static int32_t check_weights(const npu_command *c, uint32_t sram_bytes) {
  int64_t dense = npu_groups(c) * npu_group_bytes(c), mask = npu_mask_bytes(c), blocks = (int64_t)c->weight_bytes - mask;
  if (c->flags & NPU_SPARSE ? blocks < 0 || blocks > dense || blocks % NPU_BLOCK : blocks != dense) return NNC_NPU_RANGE;
  npu_command slice = npu_slice_at(c, 0); /* none is larger */
  if (!(c->flags & NPU_SPARSE) && npu_chunk_groups(c) * npu_group_bytes(&slice) > NPU_WEIGHT_BUFFER_BYTES) return NNC_NPU_BUFFER;
  if (span(c->weights, c->weight_bytes).to > sram_bytes) return NNC_NPU_BOUNDS;
  return span(c->parameters, (int64_t)c->out.c * NPU_PARAMETER_BYTES).to > sram_bytes ? NNC_NPU_BOUNDS : NNC_NPU_OK;
}

static uint64_t row_end(const npu_image *i, int32_t row) {
  return i->base + (uint64_t)row * i->row_pitch + (uint64_t)(i->w - 1) * i->pixel_pitch + (uint64_t)i->c;
}

/* Row-chasing: what a tile writes lies on the side of what later tiles read that they have come from, and with several chunks that read other channels
 * of its input, or all again, so of what the tile itself reads. */
static int chases(const npu_command *c) {
  int own = (c->op != NPU_CONV || c->slice) && npu_chunks(c) > 1, up = (c->flags & NPU_UPWARD) != 0;
  uint64_t written = up ? UINT64_MAX : 0;
  int32_t last = up ? c->in.h : 0; /* where the tiles before have got to: their input's end, or its beginning */
  if (c->in.wrap || c->out.wrap || c->flags & NPU_CHUNKS_OUTER) return 0;
  for (int32_t t = 0; t < npu_tiles(c); t++) {
    npu_tile tile = npu_tile_at(c, t);
    uint64_t writes = up ? c->out.base + (uint64_t)tile.from * c->out.row_pitch : row_end(&c->out, tile.to - 1);
    if (own) written = writes;
    if (tile.count) {
      if (up ? tile.end > last || written < row_end(&c->in, tile.end - 1) : tile.first < last || written > c->in.base + (uint64_t)tile.first * c->in.row_pitch) return 0;
      last = up ? tile.end : tile.first;
    }
    written = writes;
  }
  return 1;
}

/* A depthwise convolution of one tile exactly over its input: a chunk reads its own channels before it writes them, and no others. */
static int keeps_channels(const npu_command *c) {
  return c->op == NPU_DWCONV && npu_tiles(c) == 1 && same_place(&c->in, &c->out);
}

static int32_t check_overlap(const npu_command *c) {
  npu_range out = image_range(&c->out);
  const npu_image *read[2] = {&c->in, npu_has_second(c) ? &c->second : &c->in};
  for (int i = 0; i < 2; i++) {
    int tiled = npu_has_tiles(c) && read[i] == &c->in;
    if (npu_meet(image_range(read[i]), out) && !(tiled ? chases(c) || keeps_channels(c) : same_place(read[i], &c->out) && same_shape(read[i], &c->out))) return NNC_NPU_OVERLAP;
  }
  if (c->op == NPU_LUT) return npu_meet(span(c->table, NPU_TABLE_BYTES), out) ? NNC_NPU_OVERLAP : NNC_NPU_OK;
  if (c->op != NPU_CONV && c->op != NPU_DWCONV) return NNC_NPU_OK;
  return npu_meet(span(c->weights, c->weight_bytes), out) || npu_meet(span(c->parameters, (int64_t)c->out.c * NPU_PARAMETER_BYTES), out) ? NNC_NPU_OVERLAP : NNC_NPU_OK;
}

static int32_t check_numbers(const npu_command *c) {
  if (c->out.zero || !scales(&c->scaling) || c->scaling.low > c->scaling.high) return NNC_NPU_RANGE;
  if ((c->op == NPU_ADD || c->flags & NPU_RESIDUAL) && !sums(&c->sum)) return NNC_NPU_RANGE;
  if (c->op == NPU_POOL && c->mode > NPU_POOL_SUM) return NNC_NPU_RANGE;
  return c->op == NPU_SOFTMAX && (c->diff_min > 0 || c->scaling.shift < 0 || c->out.c > 4096) ? NNC_NPU_RANGE : NNC_NPU_OK;
}

static int32_t check_job(const npu_command *c, uint32_t sram_bytes) {
  int pair = npu_has_second(c);
  int32_t fault = check_image(&c->in, sram_bytes);
  if (!fault && pair) fault = check_image(&c->second, sram_bytes);
  if (!fault) fault = check_image(&c->out, sram_bytes);
  if (!fault) fault = check_numbers(c);
  if (fault) return fault;
  if (pair && !same_shape(&c->second, &c->out) && !(npu_second_spreads(c) && c->second.c == c->out.c)) return NNC_NPU_IMAGE;
  if (!npu_has_tiles(c) && !same_shape(&c->in, &c->out)) return NNC_NPU_IMAGE;
  if (c->op == NPU_LUT && span(c->table, NPU_TABLE_BYTES).to > sram_bytes) return NNC_NPU_BOUNDS;
  if (npu_has_tiles(c)) fault = check_tiles(c);
  if (!fault && (c->op == NPU_CONV || c->op == NPU_DWCONV)) fault = check_weights(c, sram_bytes);
  return fault ? fault : check_overlap(c);
}

int32_t npu_check_command(const npu_command *c, const npu_sizes *sizes) {
  if (c->op == NPU_END) return NNC_NPU_OK;
  return npu_is_transfer(c) ? check_transfer(c, sizes) : check_job(c, sizes->sram);
}

int npu_job_ranges(const npu_command *c, npu_range ranges[NPU_JOB_RANGES]) {
  int count = 0;
  ranges[count++] = image_range(&c->in);
  ranges[count++] = image_range(&c->out);
  if (npu_has_second(c)) ranges[count++] = image_range(&c->second);
  if (c->op == NPU_LUT) ranges[count++] = span(c->table, NPU_TABLE_BYTES);
  if (c->op == NPU_CONV || c->op == NPU_DWCONV) {
    ranges[count++] = span(c->weights, c->weight_bytes);
    ranges[count++] = span(c->parameters, (int64_t)c->out.c * NPU_PARAMETER_BYTES);
  }
  return count;
}
