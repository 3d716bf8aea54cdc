// The product of a vector form. A tile is a few weight rows against a few tokens; each of its accumulators is one output,
// its lanes partial sums over the depth. So every output has one chain of operations, whatever the tile, and weights are
// read as they lie: there is no packing, only widening to f32 of quantised ones. body_panels.h has products with many tokens.

/// What a tile fetches into the second-level cache on its way: two lines, `step` bytes further with each step of the depth.
typedef struct prefetch {
  const char *at;
  size_t step;
} prefetch;

/// a[t * rows + r] += w[r] x[t] of one step: whichever there are fewer of, rows or tokens, is held, and the others pass by. Of 16 registers 12
/// sums leave four: one sum that does not fit is stored and loaded again with every step, which takes twice the time of the arithmetic.
#define MT_TILE_STEP(load_row, load_x)                                                                      \
  do {                                                                                                      \
    vf held[8];                                                                                             \
    if (tokens <= rows) {                                                                                   \
      _Pragma("clang loop unroll(full)") for (int t = 0; t < tokens; t++) { held[t] = load_x; }             \
      _Pragma("clang loop unroll(full)") for (int r = 0; r < rows; r++) {                                   \
        const vf row = load_row;                                                                            \
        _Pragma("clang loop unroll(full)") for (int t = 0; t < tokens; t++) {                               \
          a[t * rows + r] = v_fma(row, held[t], a[t * rows + r]);                                           \
        }                                                                                                   \
      }                                                                                                     \
    } else {                                                                                                \
      _Pragma("clang loop unroll(full)") for (int r = 0; r < rows; r++) { held[r] = load_row; }             \
      _Pragma("clang loop unroll(full)") for (int t = 0; t < tokens; t++) {                                 \
        const vf value = load_x;                                                                            \
        _Pragma("clang loop unroll(full)") for (int r = 0; r < rows; r++) {                                 \
          a[t * rows + r] = v_fma(held[r], value, a[t * rows + r]);                                         \
        }                                                                                                   \
      }                                                                                                     \
    }                                                                                                       \
  } while (0)

/// sums[t * rows + r] = x[t] . w[r], for rows and tokens known when compiled.
MT_INLINE void tile(const int rows, const int tokens, const mt_element_type type, const char *const *w,
                    const float *const *x, size_t depth, prefetch ahead, float *sums) {
  vf a[24];
#pragma clang loop unroll(full)
  for (int i = 0; i < rows * tokens; i++) { a[i] = v_set(0); }
  size_t i = 0;
#pragma clang loop unroll(disable)
  for (; i + lanes <= depth; i += lanes) {
    if (tokens >= 3) {
      __builtin_prefetch(ahead.at, 0, 2);
      __builtin_prefetch(ahead.at + ahead.step / 2, 0, 2);
      ahead.at += ahead.step;
    }
    MT_TILE_STEP(v_load_element(w[r], type, i), v_load(x[t] + i));
  }
  if (i < depth) { MT_TILE_STEP(v_load_element_n(w[r], type, i, depth - i), v_load_n(x[t] + i, depth - i, 0)); }
  const int count = rows * tokens;
  int done = 0;
  for (; done + 16 <= count; done += 16) { v_sums(a + done, 16, sums + done); }
  if (count - done >= 8) {
    v_sums(a + done, 8, sums + done);
    done += 8;
  }
  if (count - done >= 4) { v_sums(a + done, 4, sums + done); }
}

#define MT_TILE(name, rows, tokens, type)                                                                              \
  static __attribute__((noinline)) void name(const char *const *w, const float *const *x, size_t depth, prefetch ahead, \
                                             float *sums) {                                                            \
    tile(rows, tokens, type, w, x, depth, ahead, sums);                                                                \
  }
#define MT_TILE_43(s, type) MT_TILE(tile_43_##s, 4, 3, type)
#if MT_WIDE_TILES  // 32 registers: up to 24 accumulators
#define MT_TILES(s, type)                                                                                         \
  MT_TILE(tile_82_##s, 8, 2, type) MT_TILE_43(s, type) MT_TILE(tile_44_##s, 4, 4, type) MT_TILE(tile_45_##s, 4, 5, type) \
  MT_TILE(tile_46_##s, 4, 6, type)
#define MT_TILE_ROW(single, s) {NULL, single, tile_82_##s, tile_43_##s, tile_44_##s, tile_45_##s, tile_46_##s}
#else
#define MT_TILES(s, type) MT_TILE(tile_42_##s, 4, 2, type) MT_TILE_43(s, type)
#define MT_TILE_ROW(single, s) {NULL, single, tile_42_##s, tile_43_##s}
#endif

typedef void (*tile_function)(const char *const *w, const float *const *x, size_t depth, prefetch ahead, float *sums);

MT_TILES(f32, MT_F32)
MT_TILES(f16, MT_F16)
MT_TILES(bf16, MT_BF16)
MT_TILE(tile_81_f32, 8, 1, MT_F32)
#if MT_WIDE_TILES  // a single token meets halves in `stream_rows`
#define tile_81_f16 NULL
#define tile_81_bf16 NULL
#else
MT_TILE(tile_81_f16, 8, 1, MT_F16)
MT_TILE(tile_81_bf16, 8, 1, MT_BF16)
#endif

static const tile_function tiles_f32[] = MT_TILE_ROW(tile_81_f32, f32);
static const tile_function tiles_f16[] = MT_TILE_ROW(tile_81_f16, f16);
static const tile_function tiles_bf16[] = MT_TILE_ROW(tile_81_bf16, bf16);

/// Weight rows of the tile for so many tokens.
MT_INLINE size_t tile_rows(size_t tokens) { return tokens == 1 || (tokens == 2 && MT_WIDE_TILES) ? 8 : 4; }

MT_INLINE const tile_function *tiles_of(mt_element_type type) {
  return type == MT_F16 ? tiles_f16 : type == MT_BF16 ? tiles_bf16 : tiles_f32;
}

/// Height of the next of as few parts of at most `most` as possible, which are nearly equal.
MT_INLINE size_t even_part(size_t left, size_t most) {
  const size_t count = (left + most - 1) / most;
  return (left + count - 1) / count;
}

/// One tile: weight rows row, row + apart, ... against a few tokens. Missing rows repeat the last one.
MT_INLINE void place_tile(const mt_matmul_job *job, tile_function tile, size_t t, size_t height, const float *const *x,
                          const char *base, size_t stride, size_t row, size_t apart, size_t width, size_t count,
                          prefetch ahead) {
  const char *w[8];
  float sums[24];
  for (size_t i = 0; i < width; i++) { w[i] = base + (i < count ? i : count - 1) * apart * stride; }
  tile(w, x, job->weights.depth, ahead, sums);
  for (size_t i = 0; i < height; i++) { finish(job, t + i, row, apart, count, sums + i * width); }
}

MT_INLINE void gather_rows(const mt_matmul_job *job, size_t t, size_t height, const float **x) {
  for (size_t i = 0; i < height; i++) { x[i] = job->x + (job->x_index ? job->x_index[t + i] : t + i) * job->x_stride; }
}

/// The tokens [first, end) against the weight rows [row, row + rows), found at `base`, `stride` bytes apart. Meanwhile the
/// stretch [ahead, ahead_end) is fetched, a slice with every tile: fetching what comes next overlaps with the arithmetic,
/// which matters where an expert has few tokens.
static void panel(const mt_matmul_job *job, size_t first, size_t end, mt_element_type type, const char *base, size_t stride,
                  size_t row, size_t rows, const char *ahead, const char *ahead_end) {
  const tile_function *tiles = tiles_of(type);
  const size_t steps = job->weights.depth / lanes;
  const size_t all_steps = (rows + 3) / 4 * ((end - first + tile_tokens - 1) / tile_tokens) * steps;
  prefetch fetch = {ahead, (size_t)(ahead_end - ahead) > all_steps * 64 ? 128 : 64};
  for (size_t t = first, height; t < end; t += height) {
    height = even_part(end - t, tile_tokens);
    const float *x[tile_tokens];
    gather_rows(job, t, height, x);
    const size_t width = tile_rows(height);
    for (size_t r = 0; r < rows; r += width) {
      const char *w = base + r * stride;
      if (fetch.step > 0 && fetch.at >= ahead_end) { fetch = (prefetch){base, 0}; }
      if (width == 4 && r + 4 <= rows) {
        place_tile(job, tiles[height], t, height, x, w, stride, row + r, 1, 4, 4, fetch);
      } else {
        const size_t count = rows - r < width ? rows - r : width;
        place_tile(job, tiles[height], t, height, x, w, stride, row + r, 1, width, count, fetch);
      }
      fetch.at += fetch.step * steps;
    }
  }
}

/// sums[r] = x . row r of up to eight, missing ones like the last: one row after the other, so that memory is read as one stream, which the
/// hardware follows best. A chain of vectors of 16 still keeps up with it. Fetches what lies `ahead` bytes on; 0: nothing.
MT_INLINE void stream_eight(const mt_element_type type, const char *base, size_t stride, size_t rows, const float *x, size_t depth, size_t ahead,
                            float *sums) {
  const size_t whole = depth / lanes * lanes, rest = depth - whole, bytes = type == MT_F32 ? sizeof(float) : sizeof(uint16_t);
  vf a[8];
#pragma clang loop unroll(full)
  for (size_t r = 0; r < 8; r++) {
    const char *row = base + (r < rows ? r : rows - 1) * stride;
    a[r] = v_set(0);
    for (size_t i = 0; i < whole; i += lanes) {
      if (ahead > 0 && i * bytes % 64 == 0) { __builtin_prefetch(row + i * bytes + ahead, 0, 3); }
      a[r] = v_fma(v_load_element(row, type, i), v_load(x + i), a[r]);
    }
    if (rest > 0) { a[r] = v_fma(v_load_element_n(row, type, whole, rest), v_load_n(x + whole, rest, 0), a[r]); }
  }
  v_sums(a, 8, sums);
}

#if MT_WIDE_TILES
/// Bytes ahead that a single token fetches: the hardware stops at the end of a page, and a processor looks ahead by what it can hold of steps,
/// which is little of halves.
enum { row_ahead = 4096 };

/// One token against the rows of the job.
MT_INLINE void stream_rows(const mt_matmul_job *job, const mt_element_type type) {
  const mt_matrix w = job->weights;
  const float *x;
  gather_rows(job, 0, 1, &x);
  for (size_t row = job->row_begin; row < job->row_end; row += 8) {
    const size_t rows = job->row_end - row < 8 ? job->row_end - row : 8;
    float sums[8];
    stream_eight(type, (const char *)w.base + row * w.row_bytes, w.row_bytes, rows, x, w.depth, row_ahead, sums);
    for (size_t r = 0; r < rows; r += 4) { finish(job, 0, row + r, 1, rows - r < 4 ? rows - r : 4, sums + r); }
  }
}
static __attribute__((noinline)) void stream_bf16(const mt_matmul_job *job) { stream_rows(job, MT_BF16); }
static __attribute__((noinline)) void stream_f16(const mt_matmul_job *job) { stream_rows(job, MT_F16); }
static __attribute__((noinline)) void stream_f32(const mt_matmul_job *job) { stream_rows(job, MT_F32); }
#endif

/// One tile of tokens against all rows of the job. Every weight is read once, from memory: as many streams as a tile has
/// rows. Hardware prefetchers follow one stream a page, so the rows of a tile are taken a page apart, which is 1.5 to 2
/// times the speed where rows are short.
static void few_tokens(const mt_matmul_job *job) {
  const mt_matrix w = job->weights;
#if MT_WIDE_TILES
  if (job->tokens == 1) { return w.type == MT_BF16 ? stream_bf16(job) : w.type == MT_F16 ? stream_f16(job) : stream_f32(job); }
#endif
  const size_t height = job->tokens, width = tile_rows(height);
  const tile_function tile = tiles_of(w.type)[height];
  const prefetch nothing = {(const char *)w.base, 0};
  const float *x[tile_tokens];
  gather_rows(job, 0, height, x);
  const size_t spread = w.row_bytes > 0 && w.row_bytes < 4096 ? (4095 + w.row_bytes) / w.row_bytes : 1;
  for (size_t row = job->row_begin; row < job->row_end; row += width * spread) {
    const size_t left = job->row_end - row;
    const char *base = (const char *)w.base + row * w.row_bytes;
    if (left >= width * spread) {
      for (size_t s = 0; s < spread; s++) {
        place_tile(job, tile, 0, height, x, base + s * w.row_bytes, w.row_bytes, row + s, spread, width, width, nothing);
      }
    } else {
      const size_t apart = (left + width - 1) / width;
      for (size_t s = 0; s < apart; s++) {
        const size_t fit = (left - s + apart - 1) / apart;
        place_tile(job, tile, 0, height, x, base + s * w.row_bytes, w.row_bytes, row + s, apart, width, fit < width ? fit : width,
                   nothing);
      }
    }
  }
}

/// Types that a tile reads as they lie; all others become f32 first, a panel at a time.
MT_INLINE bool is_direct(const mt_matrix *w) {
  return (w->type == MT_F32 || w->type == MT_F16 || w->type == MT_BF16) && !w->scales.base;
}

/// Whether rows of f32 are copied for many tokens: a multiple of 8 KiB apart, those of a wide tile compete for the same cache sets.
MT_INLINE bool is_crowded(const mt_matrix *w, size_t tokens) {
  return MT_WIDE_TILES && w->type == MT_F32 && w->row_bytes % 8192 == 0 && tokens >= 16;
}

/// Tiles of tokens against a matrix whose rows lie together in the file.
static void some_tokens(const mt_matmul_job *job, float *scratch) {
  const mt_matrix w = job->weights;
  const char *base = w.base;
  const size_t begin = job->row_begin, end = job->row_end;
  const bool widen = !is_direct(&w) || is_crowded(&w, job->tokens);
  if (job->tokens <= tile_tokens && !widen) {
    if (job->tokens > 0) { few_tokens(job); }
    return;
  }
  // A panel of weight rows at home in the first or second-level cache, and small, so that the next one is soon under way. One tile of
  // tokens reads a widened panel once: it need only outlive its making.
  const size_t widened = mt_panel_stride(w.depth), many = job->tokens <= tile_tokens ? 8 : mt_panel_rows(w.depth);
  const size_t step = widen ? many : mt_small_panel_rows(w.row_bytes);
  for (size_t row = begin; row < end; row += step) {
    const size_t rows = end - row < step ? end - row : step, next = row + rows;
    const size_t after = end - next < step ? end - next : step;
    const char *source = base + row * w.row_bytes;
    const char *ahead = base + next * w.row_bytes, *ahead_end = ahead + after * w.row_bytes;
    if (!widen) {
      panel(job, 0, job->tokens, w.type, source, w.row_bytes, row, rows, ahead, ahead_end);
      continue;
    }
    for (size_t r = 0; r < rows; r++) {
      // Two rows on, as these are far apart in time and the hardware looks no further than a page.
      const char *soon = source + (r + 2) * w.row_bytes;
      for (size_t i = 0; i < w.row_bytes; i += 64) { __builtin_prefetch(soon + i, 0, 3); }
      read_row(scratch + r * widened, &w, row + r);
    }
    panel(job, 0, job->tokens, MT_F32, (const char *)scratch, widened * sizeof(float), row, rows, ahead, ahead_end);
  }
}
