// What is laid out for tiles? Tokens, each number as three bf16 digits that sum to it exactly, and weights: as they lie, as whole numbers of a
// block, or as digits too. Where a digit of 8 bits is rounded to even, what is left has 8 bits less.

MT_INLINE vf wide_of(__m256i halves) { return v_from_bf16(halves); }

/// The digits of 32 numbers, the largest first.
MT_INLINE void split_step(vf low, vf high, const int count, __m512i *digits) {
#pragma clang loop unroll(full)
  for (int d = 0; d < count; d++) {
    digits[d] = tile_round(low, high);
    low = v_sub(low, wide_of(_mm512_castsi512_si256(digits[d])));
    high = v_sub(high, wide_of(_mm512_extracti64x4_epi64(digits[d], 1)));
  }
}

/// Up to 16 of the n numbers that are left at p, zeros behind them.
MT_INLINE vf load_left(const float *p, size_t begin, size_t n) {
  return begin >= n ? v_set(0) : n - begin >= lanes ? v_load(p + begin) : v_load_n(p + begin, n - begin, 0);
}

// Tokens

/// The power of two that brings the largest of n numbers to 1 ... 2, as far as there is one; by which digits and products lose nothing but what
/// is 2^-126 of it. `unit` is its reciprocal.
static float power_of(const float *x, size_t n, float *unit) {
  __m512i largest = _mm512_setzero_si512();
  for (size_t i = 0; i < n; i += lanes) { largest = _mm512_max_epu32(largest, _mm512_castps_si512(v_abs(load_left(x, i, n)))); }
  const uint32_t exponent = _mm512_reduce_max_epu32(largest) >> 23, wanted = exponent < 254 ? 254 - exponent : 1;
  const uint32_t power = exponent == 255 ? 127 : wanted > 253 ? 253 : wanted;
  *unit = float_from_bits((254 - power) << 23);
  return float_from_bits(power << 23);
}

/// The tokens [first, first + count) of the job: digits, the sums of their steps where a type has leasts, and units.
static void lay_tokens(char *scratch, const mt_tile_layout *at, const mt_matmul_job *job, size_t first, size_t count, bool sums) {
  const size_t depth = job->weights.depth;
  float *units = (float *)(scratch + at->units);
  for (size_t tile = 0; tile * tile_side < count; tile++) {
    const size_t begin = first + tile * tile_side, some = first + count - begin < tile_side ? first + count - begin : tile_side;
    const float *x[tile_side];
    float powers[tile_side];
    for (size_t t = 0; t < tile_side; t++) {
      const size_t token = begin + (t < some ? t : some - 1);
      x[t] = job->x + (job->x_index ? job->x_index[token] : token) * job->x_stride;
      powers[t] = power_of(x[t], depth, &units[tile * tile_side + t]);
    }
    char *digits = scratch + tile * at->steps * token_digits * tile_halves * 2;
    float *totals = (float *)(scratch + at->totals) + tile * at->steps * tile_side;
    for (size_t step = 0; step < at->steps; step++, totals += tile_side) {
      __m512i rows[token_digits][tile_side];
      vf both[tile_side];
      for (size_t t = 0; t < tile_side; t++) {
        const vf low = v_mul(load_left(x[t], step * step_elements, depth), v_set(powers[t]));
        const vf high = v_mul(load_left(x[t], step * step_elements + lanes, depth), v_set(powers[t]));
        __m512i split[token_digits];
        split_step(low, high, token_digits, split);
        for (int d = 0; d < token_digits; d++) { rows[d][t] = split[d]; }
        both[t] = v_add(low, high);
      }
      for (int d = 0; d < token_digits; d++, digits += tile_halves * 2) {
        turn_sixteen(rows[d]);
        for (int pair = 0; pair < tile_side; pair++) { _mm512_store_si512(digits + pair * 64, rows[d][pair]); }
      }
      if (sums) { v_sums(both, tile_side, totals); }
    }
  }
}

// Weights

/// Up to 32 rows, as a tile reads them: the step `whole` and any behind it from `tail`, rows of 64 bytes.
typedef struct tile_panel {
  const char *base;
  size_t row_bytes, digit_bytes, whole;
  const char *tail;
  const float *factors, *leasts;  // by block, then by row
} tile_panel;

/// Rows of bf16 where they lie. A last step that the depth does not fill is copied, with zeros behind it, and so is a panel of fewer rows.
static tile_panel direct_panel(char *scratch, const mt_tile_layout *at, const mt_matrix *w, size_t row, size_t rows) {
  const char *source = (const char *)w->base + row * w->row_bytes;
  const size_t stored = w->depth * 2, rest = stored % 64, from = rows < tile_pair ? 0 : stored - rest;
  const size_t stride = rows < tile_pair ? at->row_bytes : 64;
  char *copy = scratch + at->panel;
  for (size_t r = 0; from < stored && r < rows; r++) {
    if (rest > 0) { memset(copy + r * stride + (stored - rest - from), 0, 64); }
    memcpy(copy + r * stride, source + r * w->row_bytes + from, stored - from);
  }
  if (rows < tile_pair) { return (tile_panel){.base = copy, .row_bytes = stride, .whole = at->steps}; }
  return (tile_panel){.base = source, .row_bytes = w->row_bytes, .whole = stored / 64, .tail = copy};
}

/// Numbers of any type as `digits` of bf16.
static tile_panel split_panel(char *scratch, const mt_tile_layout *at, const mt_matrix *w, size_t row, size_t rows, int digits) {
  const size_t digit_bytes = tile_pair * at->row_bytes;
  float *numbers = (float *)(scratch + at->row);
  for (size_t r = 0; r < rows; r++) {
    mt_avx512_kernels.read_row(numbers, w, row + r);
    char *place = scratch + at->panel + r * at->row_bytes;
    for (size_t i = 0; i < w->depth; i += step_elements, place += 64) {
      __m512i split[token_digits];
      split_step(load_left(numbers, i, w->depth), load_left(numbers, i + lanes, w->depth), token_digits, split);
      for (int d = 0; d < digits; d++) { _mm512_storeu_si512(place + (size_t)d * digit_bytes, split[d]); }
    }
  }
  return (tile_panel){.base = scratch + at->panel, .row_bytes = at->row_bytes, .digit_bytes = digit_bytes, .whole = at->steps};
}

/// The whole numbers of one row as bf16, and the factors of its blocks.
MT_INLINE void whole_row(const mt_element_type type, const uint8_t *p, size_t blocks, char *place, float *factors, float *leasts) {
  const digit_type t = digit_type_of(type);
  for (size_t block = 0; block < blocks; block += digit_run, p += t.bytes) {
    const uint8_t *run = p;
    uint8_t last[digit_run * 34];
    if (blocks - block < digit_run) {  // zeros behind the end of the row
      memset(last, 0, sizeof last);
      memcpy(last, p, (blocks - block) * (t.bytes / digit_run));
      run = last;
    }
    __m256 of_run[2], less = _mm256_setzero_ps();
    float numbers[2 * digit_run], taken[digit_run];
    run_factors(type, run, of_run, &less);
    _mm256_storeu_ps(numbers, of_run[0]);
    if (t.factors == 2) { _mm256_storeu_ps(numbers + digit_run, of_run[1]); }
    for (int i = 0; i < digit_run * t.factors; i++, factors += tile_pair) { *factors = numbers[i]; }
    if (t.has_least) {
      _mm256_storeu_ps(taken, less);
      for (int i = 0; i < digit_run; i++, leasts += tile_pair) { *leasts = taken[i]; }
    }
#pragma clang loop unroll(full)
    for (int s = 0; s < digit_run; s += 2) {
      bytes32 pair[2];
      pair_weights(type, run, s, pair, pair + 1);
      for (int i = 0; i < 2; i++, place += 64) {
        const vf low = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_castsi256_si128(pair[i])));
        const vf high = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_extracti128_si256(pair[i], 1)));
        _mm512_storeu_si512(place, tile_round(low, high));
      }
    }
  }
}

typedef void (*whole_function)(const uint8_t *p, size_t blocks, char *place, float *factors, float *leasts);

#define MT_WHOLE_ROW(name, type)                                                                                                    \
  static __attribute__((noinline)) void whole_##name(const uint8_t *p, size_t blocks, char *place, float *factors, float *leasts) { \
    whole_row(type, p, blocks, place, factors, leasts);                                                                             \
  }
MT_EACH_DIGIT_TYPE(MT_WHOLE_ROW)

MT_INLINE whole_function whole_function_of(mt_element_type type) {
#define MT_WHOLE_CASE(name, type) \
  case type: return whole_##name;
  switch (type) {
    MT_EACH_DIGIT_TYPE(MT_WHOLE_CASE)
  default: return NULL;
  }
#undef MT_WHOLE_CASE
}

/// Rows of whole numbers, with factors apart.
static tile_panel whole_panel(char *scratch, const mt_tile_layout *at, const mt_matrix *w, size_t row, size_t rows) {
  const whole_function whole = whole_function_of(w->type);
  float *factors = (float *)(scratch + at->factors), *leasts = (float *)(scratch + at->leasts);
  for (size_t r = 0; r < rows; r++) {
    whole((const uint8_t *)w->base + (row + r) * w->row_bytes, w->depth / 32, scratch + at->panel + r * at->row_bytes, factors + r, leasts + r);
  }
  return (tile_panel){.base = scratch + at->panel, .row_bytes = at->row_bytes, .whole = at->steps, .factors = factors, .leasts = leasts};
}
