// Many tokens against weights that become f32 first, once for all of them. What a tile of body_matmul.h keeps side by side, the partial sums
// of one output by lane, is computed here one lane after the other: a panel holds the elements i = lane, lane + lanes, ... of two vectors of
// weight rows, row beside row, and a token's element meets them all at once. So a step loads two vectors and a number a token, where a tile
// loads a vector for each row and each token. The chain of every output is that of a tile.

#include "body_panel_out.h"

enum {
  panel_tokens = MT_WIDE_TILES ? 12 : 6,
  /// How often half of the lanes are added to the other half.
  panel_folds = lanes == 16 ? 4 : lanes == 8 ? 3 : 2,
  /// Elements of the rows of a panel that are read at a time: whole blocks of every type, in the first-level cache.
  stretch = 256,
  stretch_stride = stretch + 16
};

/// kept[token, row] = sum over k of w[k, row] x[k, token], for tokens known when compiled.
MT_INLINE void phase(const int tokens, const float *w, const float *x, size_t steps, float *kept) {
  vf a[2 * panel_tokens];
#pragma clang loop unroll(full)
  for (int i = 0; i < 2 * tokens; i++) { a[i] = v_set(0); }
#pragma clang loop unroll(disable)
  for (size_t k = 0; k < steps; k++, w += panel_width, x += tokens) {
    const vf low = v_load(w), high = v_load(w + lanes);
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) {
      const vf value = v_set(x[t]);
      a[2 * t] = v_fma(low, value, a[2 * t]);
      a[2 * t + 1] = v_fma(high, value, a[2 * t + 1]);
    }
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < 2 * tokens; i++) { v_store(kept + i * lanes, a[i]); }
}

#define MT_PHASE(tokens)                                                                                         \
  static __attribute__((noinline)) void phase_##tokens(const float *w, const float *x, size_t steps, float *kept) { \
    phase(tokens, w, x, steps, kept);                                                                            \
  }
typedef void (*phase_function)(const float *w, const float *x, size_t steps, float *kept);

MT_PHASE(1)
MT_PHASE(2)
MT_PHASE(3)
MT_PHASE(4)
MT_PHASE(5)
MT_PHASE(6)
#if MT_WIDE_TILES  // 32 registers: up to 24 accumulators
MT_PHASE(7)
MT_PHASE(8)
MT_PHASE(9)
MT_PHASE(10)
MT_PHASE(11)
MT_PHASE(12)
static const phase_function phases[] = {NULL,    phase_1, phase_2, phase_3, phase_4,  phase_5, phase_6,
                                        phase_7, phase_8, phase_9, phase_10, phase_11, phase_12};
#else
static const phase_function phases[] = {NULL, phase_1, phase_2, phase_3, phase_4, phase_5, phase_6};
#endif

MT_INLINE size_t steps_of(size_t depth) { return (depth + lanes - 1) / lanes; }

/// Four outputs of four inputs, `out_stride` apart.
MT_INLINE void turn_four(float *out, size_t out_stride, const float *in_a, const float *in_b, const float *in_c, const float *in_d) {
  const four a = *(const four *)in_a, b = *(const four *)in_b, c = *(const four *)in_c, d = *(const four *)in_d;
  const four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const four ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7), cd2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  *(four *)out = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
  *(four *)(out + out_stride) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
  *(four *)(out + 2 * out_stride) = __builtin_shufflevector(ab2, cd2, 0, 1, 4, 5);
  *(four *)(out + 3 * out_stride) = __builtin_shufflevector(ab2, cd2, 2, 3, 6, 7);
}

/// Floats from one lane to the next, `width` rows or tokens a step: a cache line more than there are, or those that are written side by
/// side would compete for the same cache sets where the depth is a power of two.
MT_INLINE size_t lane_stride(size_t width, size_t steps) { return steps * width + mt_lane_gap; }

/// Where element i of all rows or tokens lies: by lane, then by step.
MT_INLINE float *place_of(float *out, size_t width, size_t steps, size_t i) {
  return out + i % lanes * lane_stride(width, steps) + i / lanes * width;
}

/// The elements that a last step has behind the depth.
MT_INLINE void clear_rest(float *out, size_t width, size_t depth) {
  const size_t steps = steps_of(depth);
  for (size_t i = depth; i < steps * lanes; i++) { memset(place_of(out, width, steps, i), 0, width * sizeof(float)); }
}

/// Elements [0, count) of as many rows as a vector has lanes become column r of the panel's elements from `start` on.
MT_INLINE void turn_part(float *out, size_t steps, size_t start, size_t count, const mt_element_type type, const char *const *rows) {
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    vf m[lanes];
#pragma clang loop unroll(full)
    for (size_t r = 0; r < lanes; r++) { m[r] = v_load_element(rows[r], type, i); }
    v_turn(m);
#pragma clang loop unroll(full)
    for (size_t k = 0; k < lanes; k++) { v_store(place_of(out, panel_width, steps, start + i + k), m[k]); }
  }
  for (; i < count; i++) {
    float *at = place_of(out, panel_width, steps, start + i);
    for (size_t r = 0; r < lanes; r++) { convert(at + r, rows[r] + i * mt_block_bytes(type), type, NULL, 1); }
  }
}

/// As many rows as a vector has lanes, from `row` on: `rows` of them, and the last again.
static void turn_rows(float *out, const mt_matrix *w, size_t row, size_t rows) {
  const size_t steps = steps_of(w->depth);
  const char *at[lanes];
  if (is_direct(w)) {
    for (size_t r = 0; r < lanes; r++) { at[r] = (const char *)w->base + (row + (r < rows ? r : rows - 1)) * w->row_bytes; }
    switch (w->type) {
    case MT_F16: turn_part(out, steps, 0, w->depth, MT_F16, at); return;
    case MT_BF16: turn_part(out, steps, 0, w->depth, MT_BF16, at); return;
    default: turn_part(out, steps, 0, w->depth, MT_F32, at); return;
    }
  }
  float part[lanes * stretch_stride] __attribute__((aligned(64)));
  for (size_t r = 0; r < lanes; r++) { at[r] = (const char *)(part + (r < rows ? r : rows - 1) * stretch_stride); }
  for (size_t start = 0; start < w->depth; start += stretch) {
    const size_t count = w->depth - start < stretch ? w->depth - start : stretch;
    for (size_t r = 0; r < rows; r++) { read_part(part + r * stretch_stride, w, row + r, start, count); }
    turn_part(out, steps, start, count, MT_F32, at);
  }
}

#if MT_HAS_WHOLE_NUMBERS
#include "body_whole.h"
#endif

/// A panel of the rows [row, row + rows) of a matrix whose rows lie together.
static void make_panel(float *restrict out, const mt_matrix *w, size_t row, size_t rows) {
#if MT_HAS_WHOLE_NUMBERS
  if (mt_has_digits(w)) {
    whole_panel(out, w, row, rows);
    return;
  }
#endif
  for (size_t r = 0; r < panel_width; r += lanes) {
    const size_t left = rows > r ? rows - r : 1;
    turn_rows(out + r, w, row + (rows > r ? r : 0), left < lanes ? left : lanes);
  }
  clear_rest(out, panel_width, w->depth);
}

/// The tokens [first, first + count) of the job by lane, step and token.
static void make_tile(float *restrict out, const mt_matmul_job *job, size_t first, size_t count) {
  const size_t depth = job->weights.depth, steps = steps_of(depth), whole = count < 4 ? 0 : depth / 4 * 4;
  const float *x[panel_tokens];
  gather_rows(job, first, count, x);
  for (size_t i = 0; i < whole; i += 4) {
    float *at = place_of(out, count, steps, i);
    for (size_t done = 0; done < count; done += 4) {
      const size_t t = done + 4 <= count ? done : count - 4;  // of the last four some may have been written once
      turn_four(at + t, lane_stride(count, steps), x[t] + i, x[t + 1] + i, x[t + 2] + i, x[t + 3] + i);
    }
  }
  for (size_t i = whole; i < depth; i++) {
    float *at = place_of(out, count, steps, i);
    for (size_t t = 0; t < count; t++) { at[t] = x[t][i]; }
  }
  clear_rest(out, count, depth);
}

MT_INLINE void add_to(float *sums, const float *more, size_t count) {
  for (size_t i = 0; i < count; i += lanes) { v_store(sums + i, v_add(v_load(sums + i), v_load(more + i))); }
}

/// The rows [row, row + rows) of the job, in `panel`, against the tokens [first, end), in `x`. Meanwhile [ahead, ahead_end) is fetched, some
/// with every lane.
static void multiply_panel(const mt_matmul_job *job, const float *panel, const float *x, size_t first, size_t end, size_t row,
                           size_t rows, const char *ahead, const char *ahead_end) {
  // What lanes have come to, two folded into one as soon as both are there, so that few lie here at a time.
  float kept[panel_folds + 1][panel_width * panel_tokens] __attribute__((aligned(64)));
  const size_t steps = steps_of(job->weights.depth), by_lane = lane_stride(panel_width, steps);
  const size_t parts = lanes * ((end - first + panel_tokens - 1) / panel_tokens);
  const size_t slice = ((size_t)(ahead_end - ahead) / parts + 64) / 64 * 64;
  for (size_t t = first, height; t < end; t += height) {
    height = even_part(end - t, panel_tokens);
    for (size_t n = 0, top = 0; n < lanes; n++, top++) {
      const size_t lane = fold_order(n);
      for (const char *stop = ahead + slice; ahead < stop && ahead < ahead_end; ahead += 64) { __builtin_prefetch(ahead, 0, 2); }
      for (size_t i = 0; n + 1 == lanes && i < height; i++) { fetch_panel_out(job, t + i, row); }
      phases[height](panel + lane * by_lane, x + lane * lane_stride(height, steps), steps, kept[top]);
      for (size_t folds = n; folds % 2 == 1; folds /= 2, top--) { add_to(kept[top - 1], kept[top], height * panel_width); }
    }
    x += lanes * lane_stride(height, steps);
    for (size_t i = 0; i < height; i++) { finish_panel(job, t + i, row, rows, kept[0] + i * panel_width); }
  }
}

/// Tokens that are multiplied before the weights are read again.
MT_INLINE size_t next_block(const mt_matmul_job *job, size_t first) {
  return even_part(job->tokens - first, mt_token_block(job->weights.depth));
}

static void make_tiles(float *x, const mt_matmul_job *job, size_t first, size_t end) {
  const size_t steps = steps_of(job->weights.depth);
  for (size_t t = first, height; t < end; t += height, x += lanes * lane_stride(height, steps)) {
    height = even_part(end - t, panel_tokens);
    make_tile(x, job, t, height);
  }
}

/// Many tokens against a matrix whose rows lie together.
static void many_tokens_rows(const mt_matmul_job *job, float *scratch) {
  const mt_matrix *w = &job->weights;
  float *x = scratch + lanes * lane_stride(panel_width, steps_of(w->depth));
  for (size_t first = 0, block; first < job->tokens; first += block) {
    block = next_block(job, first);
    make_tiles(x, job, first, first + block);
    for (size_t row = job->row_begin; row < job->row_end; row += panel_width) {
      const size_t rows = job->row_end - row < panel_width ? job->row_end - row : panel_width, next = row + rows;
      const size_t after = job->row_end - next < panel_width ? job->row_end - next : panel_width;
      const char *ahead = (const char *)w->base + next * w->row_bytes;
      make_panel(scratch, w, row, rows);
      multiply_panel(job, scratch, x, first, first + block, row, rows, ahead, ahead + after * w->row_bytes);
    }
  }
}
