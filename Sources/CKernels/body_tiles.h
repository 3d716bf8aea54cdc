// The product by tiles: tokens, as three digits of bf16, against a panel of weights at a time; include/kernels.h defines it (Sums by tiles).
// tile_panels.h lays out both sides. Rows and tokens of a panel that the job does not have are whatever lies there: no element of a tile takes
// part in the sums of another row or token.

/// What is fetched meanwhile, some with every step.
typedef struct fetching {
  const char *at, *end;
  size_t slice;
} fetching;

MT_INLINE void fetch_some(fetching *ahead) {
  for (const char *stop = ahead->at + ahead->slice; ahead->at < stop && ahead->at < ahead->end; ahead->at += 64) {
    __builtin_prefetch(ahead->at, 0, 2);
  }
}

/// Which digits of weights and of tokens are multiplied, the smallest products first. What is left out is below 2^-26 of the whole.
typedef struct digit_pairs {
  int count, small;  // the first `small` are summed over the whole depth before the others are, by which these round as seldom as a sum in f32
  struct {
    uint8_t weight, token;
  } at[6];
} digit_pairs;
static const digit_pairs pairs_by_digits[] = {
    {0, 0, {{0}}},
    {3, 0, {{0, 2}, {0, 1}, {0, 0}}},
    {5, 4, {{0, 2}, {1, 1}, {0, 1}, {1, 0}, {0, 0}}},
    {6, 5, {{0, 2}, {1, 1}, {2, 0}, {0, 1}, {1, 0}, {0, 0}}},
};

/// Adds some products of digits over the whole depth to tiles 0 to 3; `wide` for more than 16 tokens. `x` has `token_bytes` a tile of tokens.
static void add_pairs(const tile_panel *w, const char *x, size_t token_bytes, size_t steps, bool wide, const digit_pairs *pairs, int begin,
                      int end, fetching *ahead) {
  for (size_t step = 0; step < steps; step++, x += token_digits * tile_halves * 2) {
    fetch_some(ahead);
    const bool is_whole = step < w->whole;
    const char *rows = is_whole ? w->base + step * 64 : w->tail;
    const size_t stride = is_whole ? w->row_bytes : 64;
    for (int i = begin; i < end; i++) {
      const char *weights = rows + pairs->at[i].weight * w->digit_bytes, *tokens = x + pairs->at[i].token * tile_halves * 2;
      tile_load(4, weights, stride);
      tile_load(5, weights + tile_side * stride, stride);
      tile_load(6, tokens, 64);
      tile_multiply(0, 4, 6);
      tile_multiply(1, 5, 6);
      if (wide) {
        tile_load(7, tokens + token_bytes, 64);
        tile_multiply(2, 4, 7);
        tile_multiply(3, 5, 7);
      }
    }
  }
}

/// sums[row, token] of a panel of digits.
static void add_digits(const tile_panel *w, const char *x, size_t token_bytes, size_t steps, bool wide, const digit_pairs *pairs,
                       fetching *ahead, float *sums) {
  tile_clear(0);
  tile_clear(1);
  tile_clear(2);
  tile_clear(3);
  if (pairs->small > 0) { add_pairs(w, x, token_bytes, steps, wide, pairs, 0, pairs->small, ahead); }
  add_pairs(w, x, token_bytes, steps, wide, pairs, pairs->small, pairs->count, ahead);
  tile_store(sums, tile_pair * 4, 0);
  tile_store(sums + tile_side * tile_pair, tile_pair * 4, 1);
  tile_store(sums + tile_side, tile_pair * 4, 2);
  tile_store(sums + tile_side * tile_pair + tile_side, tile_pair * 4, 3);
}

/// sums[row, token] of 16 rows of whole numbers: of each block exact products, summed by tiles, times the block's factor, less its least times
/// the token's sum. `block` is 32 or 16.
MT_INLINE void add_blocks(const tile_panel *w, size_t row, const char *x, size_t token_bytes, const float *totals, size_t total_floats,
                          size_t steps, const size_t block, const bool has_least, const bool wide, fetching *ahead, float *sums) {
  enum { low = 0, high = tile_side };
  float parts[2][2 * tile_side * tile_side] __attribute__((aligned(64)));
  vf a[2 * tile_side];
#pragma clang loop unroll(full)
  for (int i = 0; i < (wide ? 2 : 1) * tile_side; i++) { a[i] = v_set(0); }
  const char *rows = w->base + row * w->row_bytes;
  const float *factors = w->factors + row, *leasts = w->leasts + row;
  const size_t halves = step_elements / block;
  for (size_t step = 0; step < steps * halves; step++, rows += 2 * block, factors += tile_pair) {
    if (step % halves == 0) { fetch_some(ahead); }
    const char *tokens = x + step / halves * (token_digits * tile_halves * 2) + step % halves * (block * tile_side * 2);
    float *part = parts[step % 2];
    tile_load(4, rows, w->row_bytes);
    tile_clear(0);
    tile_clear(1);
    for (int d = token_digits - 1; d >= 0; d--) {
      tile_load(5, tokens + d * tile_halves * 2, 64);
      tile_multiply(0, 4, 5);
      if (wide) {
        tile_load(6, tokens + token_bytes + d * tile_halves * 2, 64);
        tile_multiply(1, 4, 6);
      }
    }
    tile_store(part, 64, 0);
    if (wide) { tile_store(part + tile_side * tile_side, 64, 1); }
#pragma clang loop unroll(full)
    for (int i = 0; i < tile_side; i++) {
      const vf factor = v_set(factors[i]);
      a[i] = v_fma(v_load(part + i * tile_side), factor, a[i]);
      if (wide) { a[high + i] = v_fma(v_load(part + (tile_side + i) * tile_side), factor, a[high + i]); }
    }
    if (has_least) {
      const vf total = v_load(totals + step * tile_side), other = wide ? v_load(totals + total_floats + step * tile_side) : total;
#pragma clang loop unroll(full)
      for (int i = 0; i < tile_side; i++) {
        const vf least = v_set(leasts[step * tile_pair + (size_t)i]);
        a[i] = v_fnma(total, least, a[i]);
        if (wide) { a[high + i] = v_fnma(other, least, a[high + i]); }
      }
    }
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < tile_side; i++) {
    v_store(sums + i * tile_pair, a[i]);
    if (wide) { v_store(sums + i * tile_pair + high, a[high + i]); }
  }
}

#define MT_ADD_BLOCKS(name, block, has_least, wide)                                                                                       \
  static __attribute__((noinline)) void name(const tile_panel *w, size_t row, const char *x, size_t token_bytes, const float *totals,   \
                                             size_t total_floats, size_t steps, fetching *ahead, float *sums) {                         \
    add_blocks(w, row, x, token_bytes, totals, total_floats, steps, block, has_least, wide, ahead, sums);                                \
  }
MT_ADD_BLOCKS(blocks_16, 16, false, false)
MT_ADD_BLOCKS(blocks_16_wide, 16, false, true)
MT_ADD_BLOCKS(blocks_32, 32, false, false)
MT_ADD_BLOCKS(blocks_32_wide, 32, false, true)
MT_ADD_BLOCKS(blocks_less, 32, true, false)
MT_ADD_BLOCKS(blocks_less_wide, 32, true, true)
typedef void (*blocks_function)(const tile_panel *w, size_t row, const char *x, size_t token_bytes, const float *totals,
                                size_t total_floats, size_t steps, fetching *ahead, float *sums);

/// One output in f32, without bias and scale: by the form's other product.
static float output_in_f32(const mt_matmul_job *job, size_t token, size_t row, void *scratch) {
  float out;
  mt_matmul_job one = {.out = &out, .x = job->x + (job->x_index ? job->x_index[token] : token) * job->x_stride, .tokens = 1, .row_end = 1};
  one.weights = job->weights;
  one.weights.rows = 1;
  one.weights.base = (const char *)job->weights.base + row * job->weights.row_bytes;
  one.weights.scales.first_row += row * job->weights.scales.row_step;
  mt_avx512_kernels.matmul(&one, scratch);
  return out;
}

/// The sums of up to 32 rows and 32 tokens become outputs. One that is no number is summed in f32: digits of infinities are none, and sums of
/// digits may be beyond the largest number where those of f32 are not.
static void finish_panel(const mt_matmul_job *job, const float *sums, const float *units, size_t token, size_t tokens, size_t row, size_t rows,
                         void *scratch) {
  for (size_t begin = 0; begin < tokens; begin += tile_side) {
    const size_t some = tokens - begin < tile_side ? tokens - begin : tile_side;
    __m512i parts[2][tile_side];
    for (size_t part = 0; part < 2; part++) {
      const float *from = sums + part * tile_side * tile_pair + begin;
      for (size_t r = 0; r < tile_side; r++) { parts[part][r] = _mm512_castps_si512(v_load(from + r * tile_pair)); }
      turn_sixteen(parts[part]);
    }
    for (size_t t = 0; t < some; t++) {
      const vf unit = v_set(units[begin + t]);
      float all[tile_pair] __attribute__((aligned(64)));
      for (size_t part = 0; part < 2; part++) {
        const vf values = v_mul(_mm512_castsi512_ps(parts[part][t]), unit);
        v_store(all + part * tile_side, values);
        const __mmask16 none = _mm512_fpclass_ps_mask(values, 0x99);  // NaN or infinite
        for (size_t r = 0; none && r < tile_side && part * tile_side + r < rows; r++) {
          if (none >> r & 1) { all[part * tile_side + r] = output_in_f32(job, token + begin + t, row + part * tile_side + r, scratch); }
        }
      }
      for (size_t r = 0; r < rows; r += 4) { finish(job, token + begin + t, row + r, 1, rows - r < 4 ? rows - r : 4, all + r); }
    }
  }
}

/// How a matrix meets tiles: as digits, or as whole numbers of blocks.
typedef struct tile_way {
  int digits;                   // of a weight, one as it lies in the file; 0 for whole numbers
  blocks_function narrow, wide;  // of whole numbers
} tile_way;

static tile_way tile_way_of(const mt_matrix *w) {
  const digit_type whole = digit_type_of(w->type);
  if (!w->scales.base && whole.has_least) { return (tile_way){.narrow = blocks_less, .wide = blocks_less_wide}; }
  if (!w->scales.base && whole.factors == 2) { return (tile_way){.narrow = blocks_16, .wide = blocks_16_wide}; }
  if (!w->scales.base && whole.bytes > 0) { return (tile_way){.narrow = blocks_32, .wide = blocks_32_wide}; }
  if (!w->scales.base && w->type == MT_BF16) { return (tile_way){.digits = 1}; }
  if (!w->scales.base && w->type == MT_F16) { return (tile_way){.digits = 2}; }
  return (tile_way){.digits = 3};
}

/// The product with a matrix whose rows lie together.
static void tile_matmul(const mt_matmul_job *job, char *scratch) {
  const mt_matrix *w = &job->weights;
  const mt_tile_layout at = mt_tile_layout_of(w->depth);
  const tile_way way = tile_way_of(w);
  const size_t token_bytes = at.steps * token_digits * tile_halves * 2, total_floats = at.steps * tile_side;
  const bool halved = !way.digits && digit_type_of(w->type).factors == 2;
  const tile_shapes shapes = shapes_of(halved ? 8 : 16);
  float sums[tile_pair * tile_pair] __attribute__((aligned(64)));
  tiles_begin(&shapes);
  for (size_t first = 0, count; first < job->tokens; first += count) {
    count = job->tokens - first < at.tokens ? job->tokens - first : at.tokens;
    if (!job->is_laid || count < job->tokens) {
      lay_tokens(scratch, &at, job, first, count, !way.digits && digit_type_of(w->type).has_least);
    }
    for (size_t row = job->row_begin; row < job->row_end; row += tile_pair) {
      const size_t rows = job->row_end - row < tile_pair ? job->row_end - row : tile_pair, next = row + rows;
      const size_t after = job->row_end - next < tile_pair ? job->row_end - next : tile_pair;
      fetching ahead = {(const char *)w->base + next * w->row_bytes, (const char *)w->base + (next + after) * w->row_bytes, 0};
      ahead.slice = ((size_t)(ahead.end - ahead.at) / (at.steps ? at.steps : 1) + 64) / 64 * 64;
      const tile_panel panel = way.digits == 0   ? whole_panel(scratch, &at, w, row, rows)
                               : way.digits == 1 ? direct_panel(scratch, &at, w, row, rows)
                                                 : split_panel(scratch, &at, w, row, rows, way.digits);
      for (size_t t = 0; t < count; t += tile_pair) {
        const size_t tokens = count - t < tile_pair ? count - t : tile_pair;
        const bool wide = tokens > tile_side;
        const char *x = scratch + t / tile_side * token_bytes;
        if (way.digits > 0) {
          add_digits(&panel, x, token_bytes, at.steps, wide, &pairs_by_digits[way.digits], &ahead, sums);
        } else {
          const float *totals = (const float *)(scratch + at.totals) + t / tile_side * total_floats;
          const blocks_function blocks = wide ? way.wide : way.narrow;
          blocks(&panel, 0, x, token_bytes, totals, total_floats, at.steps, &ahead, sums);
          if (rows > tile_side) {
            blocks(&panel, tile_side, x, token_bytes, totals, total_floats, at.steps, &ahead, sums + tile_side * tile_pair);
          }
        }
        finish_panel(job, sums, (const float *)(scratch + at.units) + t, first + t, tokens, row, rows, scratch + at.row);
      }
    }
  }
  tiles_end();
}
