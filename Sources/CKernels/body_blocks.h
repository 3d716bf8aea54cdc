// The product by blocks for AVX-512 with VNNI: read tokens against quantised rows, in whole numbers; include/kernels.h defines it (Sums by
// blocks). A panel has sixteen rows side by side, four elements of a row in a lane, which four elements of a token meet at once. A weight
// takes a byte instead of the four of f32, and a step multiplies 64 of them by a digit. Two panels meet a few tokens, so that a digit that is
// loaded serves twice: a processor multiplies as fast as it loads. Of the depth a chunk at a time, whose panels stay in the first-level cache
// while tokens go by.

#include "body_panel_out.h"
#include "turn_sixteen.h"

enum {
  block_rows = 16,
  block_panels = 2,
  block_tokens = 3,
  /// A run of a panel: the weights of eight blocks, then [16, 16 rows] factors, those of leasts behind them where a type has these.
  panel_block_bytes = 32 * block_rows,
  panel_run_bytes = digit_run * panel_block_bytes + 16 * block_rows * (int)sizeof(float),
  panel_bytes = mt_chunk_blocks / digit_run * panel_run_bytes,
  panel_floats = panel_bytes / (int)sizeof(float)
};
_Static_assert(block_panels * block_rows == panel_width && block_panels * panel_bytes == mt_chunk_panel_bytes, "mt_block_layout counts with it");

/// 32 activations, two cache lines.
typedef struct laid_block {
  int8_t digits[3][32];  // the highest first
  float unit, total;
  struct {
    int32_t above, lowest;  // what is taken from the sums, whose weights are too large
  } taken[2];               // of halves, or of the block in the first
  int32_t unused[2];
} laid_block;
_Static_assert(sizeof(laid_block) == mt_laid_block_bytes, "mt_block_layout counts with it");

MT_INLINE int32_t four_at(const int8_t *digits) {
  int32_t all;
  memcpy(&all, digits, sizeof all);
  return all;
}

/// Of four blocks of bytes what the halves of each sum to: [first halves of the four, second ones].
MT_INLINE __m256i sums_of_halves(const int8_t *const *digits) {
  __m256i sums[4];
#pragma clang loop unroll(full)
  for (int b = 0; b < 4; b++) {
    sums[b] = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), _mm256_loadu_si256((const __m256i *)digits[b]));
  }
  return _mm256_hadd_epi32(_mm256_hadd_epi32(sums[0], sums[1]), _mm256_hadd_epi32(sums[2], sums[3]));
}

/// What eight blocks have to be less by, where sums of weights with more than four bits do not fit into 32 bits.
MT_INLINE void lay_taken(laid_block *out, block_type type) {
  const __m256i less = _mm256_set1_epi32(-type.less);
#pragma clang loop unroll(full)
  for (int part = 0; part < 2; part++, out += 4) {
    __m256i sums[3];
#pragma clang loop unroll(full)
    for (int d = 0; d < 3; d++) {
      const int8_t *const digits[4] = {out[0].digits[d], out[1].digits[d], out[2].digits[d], out[3].digits[d]};
      sums[d] = sums_of_halves(digits);
    }
    int32_t above[8], lowest[8];
    _mm256_storeu_si256((__m256i *)above, _mm256_mullo_epi32(less, _mm256_add_epi32(_mm256_slli_epi32(sums[0], 8), sums[1])));
    _mm256_storeu_si256((__m256i *)lowest, _mm256_mullo_epi32(less, sums[2]));
#pragma clang loop unroll(full)
    for (int b = 0; b < 4; b++) {
      const bool is_halved = type.factors == 2;
      out[b].taken[0].above = above[b] + (is_halved ? 0 : above[4 + b]), out[b].taken[1].above = above[4 + b];
      out[b].taken[0].lowest = lowest[b] + (is_halved ? 0 : lowest[4 + b]), out[b].taken[1].lowest = lowest[4 + b];
    }
  }
}

/// A token's row as the tiles want it, in whole runs; its chunks are `chunk_stride` blocks apart.
MT_INLINE void lay_row(laid_block *first, size_t chunk_stride, const float *x, size_t blocks, block_type type) {
  for (size_t run = 0; run < blocks; run += digit_run) {
    laid_block *out = first + run / mt_chunk_blocks * chunk_stride + run % mt_chunk_blocks;
    int32_t q[digit_run * 32] __attribute__((aligned(64))), sums[digit_run];
    float units[digit_run], totals[digit_run];
    if (blocks - run >= digit_run) {
      run_numbers(q, sums, units, totals, x + 32 * run);
    } else {
      memset(q, 0, sizeof q);
      for (size_t b = 0; b < digit_run; b++) {
        sums[b] = 0;
        units[b] = run + b < blocks ? whole_numbers(q + 32 * b, &sums[b], x + 32 * (run + b)) : 0;
        totals[b] = (float)sums[b] * units[b];
      }
    }
#pragma clang loop unroll(disable)
    for (size_t b = 0; b < digit_run; b++) {
      const __m512i half = _mm512_set1_epi32(0x80), *numbers = (const __m512i *)(q + 32 * b);
#pragma clang loop unroll(full)
      for (int h = 0; h < 2; h++) {
        const __m512i whole = _mm512_load_si512(numbers + h), above = _mm512_srai_epi32(_mm512_add_epi32(whole, half), 8);
        const __m512i highest = _mm512_srai_epi32(_mm512_add_epi32(above, half), 8);
        _mm_storeu_si128((__m128i *)(out[b].digits[0] + 16 * h), _mm512_cvtepi32_epi8(highest));
        _mm_storeu_si128((__m128i *)(out[b].digits[1] + 16 * h), _mm512_cvtepi32_epi8(above));
        _mm_storeu_si128((__m128i *)(out[b].digits[2] + 16 * h), _mm512_cvtepi32_epi8(whole));
      }
      out[b].unit = units[b], out[b].total = totals[b];
      if (type.is_narrow) { out[b].taken[0].lowest = -type.less * sums[b]; }
    }
    if (type.less > 0 && !type.is_narrow) { lay_taken(out, type); }
  }
}

/// The weights of the blocks s and s + 1 of a run, s even.
MT_INLINE __m512i neighbours(const mt_element_type type, const uint8_t *p, int s) {
  if (digit_type_of(type).apart == 1) { return pair_of(type, p, s / 2); }
  bytes32 a, b;
  pair_weights(type, p, s, &a, &b);
  return joined_pair(a, b);
}

/// The weights of eight blocks of sixteen rows, each run at `p[r]`.
MT_INLINE void turn_run(const mt_element_type type, uint8_t *out, const uint8_t *const *p) {
  const block_type t = block_type_of(type);
  __m512i scales[block_rows];
#pragma clang loop unroll(disable)
  for (int r = 0; r < block_rows; r++) {
    __m256 factors[2], least = _mm256_setzero_ps();
    run_factors(type, p[r], factors, &least);
    if (t.has_least && t.less > 0) { least = _mm256_sub_ps(least, _mm256_mul_ps(_mm256_set1_ps(t.less), factors[0])); }
    scales[r] = _mm512_castps_si512(_mm512_insertf32x8(_mm512_castps256_ps512(factors[0]), t.factors == 2 ? factors[1] : least, 1));
  }
  turn_sixteen(scales);
  for (int i = 0; i < block_rows; i++) { _mm512_store_si512(out + digit_run * panel_block_bytes + 64 * i, scales[i]); }
#pragma clang loop unroll(full)
  for (int s = 0; s < digit_run; s += 2, out += 2 * panel_block_bytes) {
    __m512i rows[block_rows];
#pragma clang loop unroll(full)
    for (int r = 0; r < block_rows; r++) {
      rows[r] = neighbours(type, p[r], s);
    }
    turn_sixteen(rows);
    for (int i = 0; i < block_rows; i++) { _mm512_store_si512(out + 64 * i, rows[i]); }
  }
}

/// sums[token, row] += those of a chunk of two panels, for a few tokens.
MT_INLINE void block_tile(const int tokens, const mt_element_type type, const laid_block *x, const uint8_t *panels, size_t blocks, float *sums) {
  const block_type t = block_type_of(type);
  const int steps = 8 / t.factors, count = tokens * block_panels;
  // With two factors a block there are no registers left for them.
  const bool are_held = t.factors == 1;
  vf a[block_tokens * block_panels];
#pragma clang loop unroll(full)
  for (int i = 0; are_held && i < count; i++) { a[i] = v_load(sums + i * block_rows); }
#pragma clang loop unroll(disable)
  for (size_t block = 0; block < blocks; block++, x++) {
    const uint8_t *run = panels + block / digit_run * panel_run_bytes, *weights = run + block % digit_run * panel_block_bytes;
    const float *scales = (const float *)(run + digit_run * panel_block_bytes) + block % digit_run * t.factors * block_rows;
    vf halves[block_tokens * block_panels];
#pragma clang loop unroll(full)
    for (int i = 0; i < count; i++) { halves[i] = v_set(0); }
#pragma clang loop unroll(disable)
    for (int half = 0; half < t.factors; half++, weights += 64 * steps) {
      __m512i digits[3][block_tokens * block_panels];
#pragma clang loop unroll(full)
      for (int i = 0; i < count; i++) {
        const laid_block *of = &x[i / block_panels * mt_chunk_blocks];
        digits[0][i] = _mm512_setzero_si512();
        digits[1][i] = t.less > 0 && !t.is_narrow ? _mm512_set1_epi32(of->taken[half].above) : digits[0][i];
        digits[2][i] = t.less > 0 ? _mm512_set1_epi32(of->taken[half].lowest) : digits[0][i];
      }
#pragma clang loop unroll(full)
      for (int step = 0; step < steps; step++) {
        __m512i w[block_panels];
#pragma clang loop unroll(full)
        for (int p = 0; p < block_panels; p++) { w[p] = _mm512_load_si512(weights + p * panel_bytes + 64 * step); }
#pragma clang loop unroll(full)
        for (int n = 0; n < tokens; n++) {
#pragma clang loop unroll(full)
          for (int d = 0; d < 3; d++) {
            const __m512i four = _mm512_set1_epi32(four_at(x[n * mt_chunk_blocks].digits[d] + 4 * (half * steps + step)));
#pragma clang loop unroll(full)
            for (int p = 0; p < block_panels; p++) {
              __m512i *sum = &digits[d][n * block_panels + p];
              *sum = _mm512_dpbusd_epi32(*sum, w[p], four);
            }
          }
        }
      }
#pragma clang loop unroll(full)
      for (int i = 0; i < count; i++) {
        const laid_block *of = &x[i / block_panels * mt_chunk_blocks];
        const vf factor = v_load(scales + i % block_panels * panel_floats + half * block_rows);
        const __m512i above = _mm512_add_epi32(_mm512_slli_epi32(digits[0][i], 8), digits[1][i]);
        const vf exact = t.is_narrow ? _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32(above, 8), digits[2][i]))
                                     : v_fma(_mm512_cvtepi32_ps(above), v_set(256), _mm512_cvtepi32_ps(digits[2][i]));
        if (t.factors == 1) {
          a[i] = v_fma(exact, v_mul(factor, v_set(of->unit)), a[i]);
        } else {
          halves[i] = v_fma(exact, factor, halves[i]);
        }
      }
    }
#pragma clang loop unroll(full)
    for (int i = 0; t.factors == 2 && i < count; i++) {
      v_store(sums + i * block_rows, v_fma(halves[i], v_set(x[i / block_panels * mt_chunk_blocks].unit), v_load(sums + i * block_rows)));
    }
#pragma clang loop unroll(full)
    for (int i = 0; t.has_least && i < count; i++) {
      const vf least = v_load(scales + i % block_panels * panel_floats + 8 * block_rows);
      a[i] = v_fnma(least, v_set(x[i / block_panels * mt_chunk_blocks].total), a[i]);
    }
  }
#pragma clang loop unroll(full)
  for (int i = 0; are_held && i < count; i++) { v_store(sums + i * block_rows, a[i]); }
}

typedef void (*turn_function)(uint8_t *out, const uint8_t *const *p);
typedef void (*block_function)(const laid_block *x, const uint8_t *panels, size_t blocks, float *sums);
typedef void (*lay_function)(laid_block *out, size_t chunk_stride, const float *x, size_t blocks);
typedef struct block_way {
  lay_function lay;
  turn_function turn;
  block_function tiles[block_tokens + 1];
} block_way;

#define MT_BLOCK_TILE(name, type, tokens)                                                                                      \
  static __attribute__((noinline)) void blocks_##name##_##tokens(const laid_block *x, const uint8_t *panels, size_t blocks,     \
                                                                 float *sums) {                                                 \
    block_tile(tokens, type, x, panels, blocks, sums);                                                                          \
  }
#define MT_BLOCK_WAY(name, type)                                                                                               \
  static __attribute__((noinline)) void lay_##name(laid_block *out, size_t chunk_stride, const float *x, size_t blocks) {       \
    lay_row(out, chunk_stride, x, blocks, block_type_of(type));                                                                 \
  }                                                                                                                            \
  static __attribute__((noinline)) void turn_##name(uint8_t *out, const uint8_t *const *p) { turn_run(type, out, p); }         \
  MT_BLOCK_TILE(name, type, 1) MT_BLOCK_TILE(name, type, 2) MT_BLOCK_TILE(name, type, 3)                                       \
  static const block_way way_##name = {lay_##name, turn_##name, {NULL, blocks_##name##_1, blocks_##name##_2, blocks_##name##_3}};
MT_EACH_DIGIT_TYPE(MT_BLOCK_WAY)

MT_INLINE const block_way *block_way_of(mt_element_type type) {
#define MT_BLOCK_CASE(name, type) \
  case type: return &way_##name;
  switch (type) {
    MT_EACH_DIGIT_TYPE(MT_BLOCK_CASE)
  default: return NULL;
  }
#undef MT_BLOCK_CASE
}

/// Of the rows [row, row + rows) of a matrix, and the last again, the blocks [begin, end).
static void turn_panel(uint8_t *out, const block_way *way, const mt_matrix *w, size_t row, size_t rows, size_t begin, size_t end) {
  const size_t run_bytes = digit_type_of(w->type).bytes;
  for (size_t block = begin; block < end; block += digit_run, out += panel_run_bytes) {
    uint8_t last[block_rows][digit_run * 34];
    const uint8_t *at[block_rows];
    for (size_t r = 0; r < block_rows; r++) {
      at[r] = (const uint8_t *)w->base + (row + (r < rows ? r : rows - 1)) * w->row_bytes + block / digit_run * run_bytes;
      if (end - block < digit_run) {  // zeros behind the end of the row
        memset(last[r], 0, sizeof last[r]);
        memcpy(last[r], at[r], (end - block) * run_bytes / digit_run);
        at[r] = last[r];
      }
    }
    way->turn(out, at);
  }
}

/// What is fetched meanwhile, a slice with each tile.
typedef struct fetching {
  const char *at, *end;
  size_t slice;
} fetching;

MT_INLINE void fetch_slice(fetching *ahead) {
  for (const char *stop = ahead->at + ahead->slice; ahead->at < stop && ahead->at < ahead->end; ahead->at += 64) { __builtin_prefetch(ahead->at, 0, 2); }
}

/// Two panels' rows against the tokens [begin, begin + count), which lie in the scratch.
static void block_rows_against(const mt_matmul_job *job, const block_way *way, char *scratch, size_t row, size_t rows, size_t begin, size_t count) {
  const mt_matrix *w = &job->weights;
  const mt_block_layout at = mt_block_layout_of(w->depth);
  const size_t tiles = (count + block_tokens - 1) / block_tokens, all = tiles * ((at.blocks + mt_chunk_blocks - 1) / mt_chunk_blocks);
  const size_t next = row + rows, left = job->row_end - next, after = left < panel_width ? left : panel_width;
  const char *soon = (const char *)w->base + next * w->row_bytes;
  fetching ahead = {soon, soon + after * w->row_bytes, (after * w->row_bytes / all + 64) / 64 * 64};
  const laid_block *laid = (const laid_block *)scratch;
  float *sums = (float *)(scratch + at.sums);
  uint8_t *panels = (uint8_t *)scratch + at.panels;
  memset(sums, 0, count * panel_width * sizeof *sums);
  for (size_t chunk = 0; chunk < at.blocks; chunk += mt_chunk_blocks, laid += count * mt_chunk_blocks) {
    const size_t end = at.blocks - chunk < mt_chunk_blocks ? at.blocks : chunk + mt_chunk_blocks;
    for (size_t p = 0; p < block_panels; p++) {
      const size_t first = p * block_rows < rows ? p * block_rows : rows - 1;
      turn_panel(panels + p * panel_bytes, way, w, row + first, rows - first < block_rows ? rows - first : block_rows, chunk, end);
    }
    for (size_t t = 0, height; t < count; t += height) {
      const size_t parts = (count - t + block_tokens - 1) / block_tokens;
      height = (count - t + parts - 1) / parts;
      float *of = sums + t * panel_width;
      fetch_slice(&ahead);
      for (size_t n = 0; end == at.blocks && n < height; n++) { fetch_panel_out(job, begin + t + n, row); }
      way->tiles[height](laid + t * mt_chunk_blocks, panels, end - chunk, of);
      for (size_t n = 0; end == at.blocks && n < height; n++) { finish_panel(job, begin + t + n, row, rows, of + n * panel_width); }
    }
  }
}

/// A row that is laid out already, to where the tiles want it.
MT_INLINE void place_chunks(laid_block *out, size_t chunk_stride, const laid_block *row, size_t blocks) {
  for (size_t block = 0; block < blocks; block += mt_chunk_blocks, out += chunk_stride, row += mt_chunk_blocks) {
    memcpy(out, row, (blocks - block < mt_chunk_blocks ? blocks - block : mt_chunk_blocks) * sizeof *out);
  }
}

/// Eight blocks are read before they are written, and are as large laid out as they were.
static void lay_in_place(float *row, const mt_matrix *w) {
  block_way_of(w->type)->lay((laid_block *)row, mt_chunk_blocks, row, w->depth / 32);
}

static void block_matmul(const mt_matmul_job *job, char *scratch) {
  const mt_block_layout at = mt_block_layout_of(job->weights.depth);
  const block_way *way = block_way_of(job->weights.type);
  laid_block *laid = (laid_block *)scratch;
  for (size_t begin = 0, count; begin < job->tokens; begin += count) {
    const size_t parts = (job->tokens - begin + at.tokens - 1) / at.tokens;
    count = (job->tokens - begin + parts - 1) / parts;
    for (size_t t = 0; t < count && !(job->is_laid && count == job->tokens); t++) {
      const float *x = job->x + (job->x_index ? job->x_index[begin + t] : begin + t) * job->x_stride;
      laid_block *out = laid + t * mt_chunk_blocks;
      if (job->x_is_laid) {
        place_chunks(out, count * mt_chunk_blocks, (const laid_block *)x, at.blocks);
      } else {
        way->lay(out, count * mt_chunk_blocks, x, at.blocks);
      }
    }
    for (size_t row = job->row_begin; row < job->row_end; row += panel_width) {
      const size_t rows = job->row_end - row < panel_width ? job->row_end - row : panel_width;
      block_rows_against(job, way, scratch, row, rows, begin, count);
    }
  }
}
