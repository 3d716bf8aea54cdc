// The product by digits of a vector form: few tokens against quantised rows, in whole numbers. include/kernels.h defines it (Sums by
// digits); digits.h has the tokens' half. The words are digits_*.h's: `place_digits`, `pair_of`, `add_pair` and `run_factors`.

MT_INLINE eight eight_at(const float *p) {
  eight values;
  memcpy(&values, p, sizeof values);
  return values;
}

/// A row of activations: 64 at a time in whole numbers, and by block what 1 stands for and what the numbers sum to.
typedef struct digit_row {
  const uint8_t *places;
  float *units, *totals;
} digit_row;

/// Blocks of a row, up to whole runs.
MT_INLINE size_t run_blocks(size_t depth) { return (depth / 32 + digit_run - 1) / digit_run * digit_run; }

/// Bytes of a row of activations, whole cache lines.
MT_INLINE size_t digit_row_bytes(size_t depth) { return run_blocks(depth) / 2 * places_bytes + 2 * run_blocks(depth) * sizeof(float); }

/// The row that lies at a place.
MT_INLINE digit_row row_at(uint8_t *place, size_t depth) {
  const size_t blocks = run_blocks(depth);
  float *units = (float *)(place + blocks / 2 * places_bytes);
  return (digit_row){place, units, units + blocks};
}

typedef int32_t wholes __attribute__((vector_size(32)));
MT_INLINE wholes wholes_at(const void *p) {
  wholes values;
  memcpy(&values, p, sizeof values);
  return values;
}

/// Lane b of the result is what the lanes of vector b come to.
#define MT_FOLD_EIGHT(name, joined)                                                                                            \
  MT_INLINE wholes name##_two(wholes s, wholes t) { return joined; }                                                           \
  MT_INLINE wholes name(const wholes *v) {                                                                                     \
    wholes twos[4], fours[2];                                                                                                  \
    for (int i = 0; i < 4; i++) {                                                                                              \
      twos[i] = name##_two(__builtin_shufflevector(v[2 * i], v[2 * i + 1], 0, 8, 2, 10, 4, 12, 6, 14),                          \
                           __builtin_shufflevector(v[2 * i], v[2 * i + 1], 1, 9, 3, 11, 5, 13, 7, 15));                         \
    }                                                                                                                          \
    for (int i = 0; i < 2; i++) {                                                                                              \
      fours[i] = name##_two(__builtin_shufflevector(twos[2 * i], twos[2 * i + 1], 0, 1, 8, 9, 4, 5, 12, 13),                    \
                            __builtin_shufflevector(twos[2 * i], twos[2 * i + 1], 2, 3, 10, 11, 6, 7, 14, 15));                 \
    }                                                                                                                          \
    return name##_two(__builtin_shufflevector(fours[0], fours[1], 0, 1, 2, 3, 8, 9, 10, 11),                                    \
                      __builtin_shufflevector(fours[0], fours[1], 4, 5, 6, 7, 12, 13, 14, 15));                                 \
  }
MT_FOLD_EIGHT(largest_of, __builtin_elementwise_max(s, t))
MT_FOLD_EIGHT(sum_of, s + t)

/// `whole_numbers` of the eight blocks of a run at once, q [8, 32]: units, and what the numbers of a block sum to, in whole and in all.
static inline void run_numbers(int32_t *restrict q, int32_t *sums, float *units, float *totals, const float *restrict x) {
  wholes found[8];
#pragma clang loop unroll(full)
  for (int b = 0; b < 8; b++) {
    const wholes magnitude = (wholes){0} + 0x7fffffff;
    found[b] = __builtin_elementwise_max(
        __builtin_elementwise_max(wholes_at(x + 32 * b) & magnitude, wholes_at(x + 32 * b + 8) & magnitude),
        __builtin_elementwise_max(wholes_at(x + 32 * b + 16) & magnitude, wholes_at(x + 32 * b + 24) & magnitude));
  }
  const wholes largest = largest_of(found);
  if (__builtin_reduce_max(largest) >= 0x7f800000) {
    for (int b = 0; b < 8; b++) {
      units[b] = whole_numbers(q + 32 * b, &sums[b], x + 32 * b);
      totals[b] = (float)sums[b] * units[b];
    }
    return;
  }
  wholes power = __builtin_elementwise_min(149 - (largest >> 23), (wholes){0} + 126);
  power += (eight)largest * (eight)((power + 127) << 23) >= largest_digit_number + 0.5f;
  const eight up = (eight)((power + 127) << 23), unit = (eight)((127 - power) << 23);
#pragma clang loop unroll(full)
  for (int b = 0; b < 8; b++) {
    wholes sum = {0};
    for (int i = 0; i < 32; i += 8) {
      const eight scaled = (eight)wholes_at(x + 32 * b + i) * up[b];
      const wholes whole = __builtin_convertvector(__builtin_elementwise_rint(scaled), wholes);
      memcpy(q + 32 * b + i, &whole, sizeof whole);
      sum += whole;
    }
    found[b] = sum;
  }
  const wholes all = sum_of(found);
  const eight total = __builtin_convertvector(all, eight) * unit;
  memcpy(sums, &all, sizeof all);
  memcpy(units, &unit, sizeof unit);
  memcpy(totals, &total, sizeof total);
}

/// Lays out a row for a type, depth a multiple of 32; blocks behind its end are zeros.
static void split_row(uint8_t *place, const float *x, size_t depth, digit_type type) {
  const digit_row row = row_at(place, depth);
  const size_t stored = depth / 32, blocks = run_blocks(depth);
  for (size_t run = 0; run < blocks; run += digit_run) {
    int32_t q[digit_run * 32] __attribute__((aligned(64))), sums[digit_run];
    if (run + digit_run <= stored) {
      run_numbers(q, sums, row.units + run, row.totals + run, x + 32 * run);
    } else {
      memset(q, 0, sizeof q);
      for (size_t b = 0; b < digit_run; b++) {
        int32_t sum = 0;
        const float unit = run + b < stored ? whole_numbers(q + 32 * b, &sum, x + 32 * (run + b)) : 0;
        row.units[run + b] = unit;
        row.totals[run + b] = (float)sum * unit;
      }
    }
    for (size_t v = 0; v < digit_run / 2; v++, place += places_bytes) {
      const int32_t *first = q + 32 * first_block(v, type.apart);
      place_digits(place, first, first + 32 * type.apart, type.less);
    }
  }
}

enum {
  digit_rows = 4,
  /// Bytes ahead in a row that are fetched: what comes next where the hardware stops, at the end of a page.
  digit_ahead = 4096
};

/// Adds the eight blocks at p to what a row has come to.
MT_INLINE void add_run(const mt_element_type type, const uint8_t *p, const uint8_t *places, eight units, eight totals, digit_sums *sums,
                       eight *leasts) {
  const digit_type t = digit_type_of(type);
  eight factors[2], least;
  run_factors(type, p, factors, &least);
  if (t.has_least) { *leasts = __builtin_elementwise_fma(least, totals, *leasts); }
  const run_scale scale = t.factors == 1
                              ? one_a_block(factors[0] * units)
                              : two_a_block(factors[0] * __builtin_shufflevector(units, units, 0, 0, 1, 1, 2, 2, 3, 3),
                                            factors[1] * __builtin_shufflevector(units, units, 4, 4, 5, 5, 6, 6, 7, 7));
  digit_sums of_row = *sums;
#pragma clang loop unroll(full)
  for (int v = 0; v < digit_run / 2; v++) { add_pair(&of_row, pair_of(type, p, v), t, places + v * places_bytes, &scale, v); }
  *sums = of_row;
}

/// out[r] = x . w[r], one row after the other: so memory is read as one stream, which the hardware follows twice as fast as four in a page.
MT_INLINE void digit_tile(const mt_element_type type, const uint8_t *const *w, digit_row x, size_t blocks, bool is_fetched, float *out) {
  const size_t run_bytes = digit_type_of(type).bytes;
#pragma clang loop unroll(disable)
  for (int r = 0; r < digit_rows; r++) {
    digit_sums sums = no_sums();
    eight leasts = {0};
    const uint8_t *p = w[r], *places = x.places;
    size_t block = 0;
#pragma clang loop unroll(disable)
    for (; block + digit_run <= blocks; block += digit_run, p += run_bytes, places += digit_run / 2 * places_bytes) {
      for (size_t line = 0; is_fetched && line < run_bytes; line += 64) { __builtin_prefetch(p + digit_ahead + line, 0, 3); }
      add_run(type, p, places, eight_at(x.units + block), eight_at(x.totals + block), &sums, &leasts);
    }
    if (block < blocks) {  // zeros behind the end of the row
      uint8_t last[digit_run * 34] = {0};
      memcpy(last, p, (blocks - block) * run_bytes / digit_run);
      add_run(type, last, places, eight_at(x.units + block), eight_at(x.totals + block), &sums, &leasts);
    }
    const eight all = both(sums);
    out[r] = fold_eight((const float *)&all) - fold_eight((const float *)&leasts);
  }
}

typedef void (*digit_function)(const uint8_t *const *w, digit_row x, size_t blocks, bool is_fetched, float *out);

#define MT_DIGIT_TILE(name, type)                                                                                        \
  static __attribute__((noinline)) void digits_##name(const uint8_t *const *w, digit_row x, size_t blocks, bool is_fetched, float *out) { \
    digit_tile(type, w, x, blocks, is_fetched, out);                                                                     \
  }
MT_EACH_DIGIT_TYPE(MT_DIGIT_TILE)

MT_INLINE digit_function digit_function_of(mt_element_type type) {
#define MT_DIGITS_CASE(name, type) \
  case type: return digits_##name;
  switch (type) {
    MT_EACH_DIGIT_TYPE(MT_DIGITS_CASE)
  default: return NULL;
  }
#undef MT_DIGITS_CASE
}

static void digit_matmul(const mt_matmul_job *job, void *scratch) {
  const mt_matrix w = job->weights;
  const digit_function tile = digit_function_of(w.type);
  // Rows that are read in three places at a time every hardware follows late.
  const bool is_fetched = w.type == MT_Q6_K || !mt_rows_are_followed();
  const size_t row_bytes = digit_row_bytes(w.depth), fit = mt_matmul_scratch_bytes(w.depth) / row_bytes;
  for (size_t first = 0; first < job->tokens; first += fit) {
    const size_t count = job->tokens - first < fit ? job->tokens - first : fit;
    for (size_t t = 0; t < count; t++) {
      const float *x = job->x + (job->x_index ? job->x_index[first + t] : first + t) * job->x_stride;
      split_row((uint8_t *)scratch + t * row_bytes, x, w.depth, digit_type_of(w.type));
    }
    for (size_t row = job->row_begin; row < job->row_end; row += digit_rows) {
      const size_t rows = job->row_end - row < digit_rows ? job->row_end - row : digit_rows;
      const uint8_t *at[digit_rows];
      for (size_t r = 0; r < digit_rows; r++) { at[r] = (const uint8_t *)w.base + (row + (r < rows ? r : rows - 1)) * w.row_bytes; }
      for (size_t t = 0; t < count; t++) {
        float sums[digit_rows];
        tile(at, row_at((uint8_t *)scratch + t * row_bytes, w.depth), w.depth / 32, is_fetched, sums);
        finish(job, first + t, row, 1, rows, sums);
      }
    }
  }
}
