// The product with a matrix whose inputs are rows in the file, so that the elements of one weight row lie far apart. The file is read in
// the order it has: a stretch of a stored row is one input's weights of neighbouring outputs. A few tokens add such stretches to partial
// sums that lie in memory; for many tokens a panel is turned over into scratch first, and becomes rows. Either way an output is the chain
// of operations that body_matmul.h has for it: a partial sum a lane, the inputs in rising order, the lanes folded alike.

enum {
  /// Partial sums that lie in the first-level cache at once: so many for each lane.
  sums_at_once = 384,
  /// Up to so many tokens the partial sums cost less than turning a panel over.
  few_column_tokens = 4,
  /// Stored rows that are fetched ahead: their pages lie apart, where the hardware does not look.
  rows_ahead = 16
};

MT_INLINE void fetch_column(const mt_matrix *w, size_t i, size_t row, size_t count) {
  const char *soon = (const char *)w->base + (i + rows_ahead) * w->depth_bytes + row * w->row_bytes;
  for (size_t at = 0; at < count * w->row_bytes; at += 64) { __builtin_prefetch(soon + at, 0, 2); }
}

/// A few tokens against the rows [row, row + count) of the job, count <= sums_at_once / tokens.
static void column_sums(const mt_matmul_job *job, size_t row, size_t count, const float *const *x) {
  const mt_matrix w = job->weights;
  const size_t width = (count + lanes - 1) / lanes * lanes;
  float sums[lanes * sums_at_once] __attribute__((aligned(64)));  // [tokens, lanes, width]
  float column[sums_at_once] __attribute__((aligned(64))) = {0};
  memset(sums, 0, job->tokens * lanes * width * sizeof(float));
  for (size_t i = 0; i < w.depth; i++) {
    fetch_column(&w, i, row, count);
    read_column(column, &w, i, row, count);
    for (size_t t = 0; t < job->tokens; t++) {
      float *lane = sums + (t * lanes + i % lanes) * width;
      const vf value = v_set(x[t][i]);
      for (size_t r = 0; r < width; r += lanes) { v_store(lane + r, v_fma(v_load(column + r), value, v_load(lane + r))); }
    }
  }
  for (size_t t = 0; t < job->tokens; t++) {
    float *all = sums + t * lanes * width;
    // Rows that lie together end with whole vectors, zeros behind their last element: what that does to the sign of a zero.
    for (size_t r = w.depth % lanes * width; w.depth % lanes > 0 && r < lanes * width; r += lanes) {
      v_store(all + r, v_add(v_load(all + r), v_set(0)));
    }
    for (size_t r = 0; r < width; r += lanes) { v_store(all + r, v_fold_lanes(all + r, width)); }
    finish(job, t, row, 1, count, all);
  }
}

/// Four outputs of four inputs.
MT_INLINE void turn_four(float *out, size_t out_stride, const float *in, size_t in_stride) {
  const four a = *(const four *)in, b = *(const four *)(in + in_stride);
  const four c = *(const four *)(in + 2 * in_stride), d = *(const four *)(in + 3 * in_stride);
  const four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const four ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7), cd2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  *(four *)out = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
  *(four *)(out + out_stride) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
  *(four *)(out + 2 * out_stride) = __builtin_shufflevector(ab2, cd2, 0, 1, 4, 5);
  *(four *)(out + 3 * out_stride) = __builtin_shufflevector(ab2, cd2, 2, 3, 6, 7);
}

/// The rows [row, row + rows) as rows of f32, `stride` floats apart; rows <= 256.
static void turn_panel(float *restrict out, size_t stride, const mt_matrix *w, size_t row, size_t rows) {
  enum { inputs = 16, width = 256 + 16 };
  float columns[inputs * width];
  for (size_t i = 0; i < w->depth; i += inputs) {
    const size_t count = w->depth - i < inputs ? w->depth - i : inputs;
    for (size_t k = 0; k < count; k++) {
      fetch_column(w, i + k, row, rows);
      read_column(columns + k * width, w, i + k, row, rows);
    }
    const size_t whole_rows = rows / 4 * 4, whole_inputs = count / 4 * 4;
    for (size_t r = 0; r < whole_rows; r += 4) {
      for (size_t k = 0; k < whole_inputs; k += 4) { turn_four(out + r * stride + i + k, stride, columns + k * width + r, width); }
    }
    for (size_t r = 0; r < rows; r++) {
      for (size_t k = r < whole_rows ? whole_inputs : 0; k < count; k++) { out[r * stride + i + k] = columns[k * width + r]; }
    }
  }
}

static void column_matmul(const mt_matmul_job *job, void *scratch) {
  const mt_matrix w = job->weights;
  const size_t end = job->row_end;
  if (job->tokens <= few_column_tokens) {
    if (job->tokens == 0) { return; }
    const float *x[few_column_tokens];
    gather_rows(job, 0, job->tokens, x);
    const size_t step = sums_at_once / job->tokens / lanes * lanes;
    for (size_t row = job->row_begin; row < end; row += step) { column_sums(job, row, end - row < step ? end - row : step, x); }
    return;
  }
  // Rows are turned over in stretches of whole cache lines, more of them than the tiles want at a time, and once for all tokens.
  const size_t block = mt_token_block(w.depth), stride = mt_panel_stride(w.depth), step = mt_panel_rows(w.depth);
  const size_t turned = mt_turned_rows(w.depth);
  for (size_t start = job->row_begin; start < end; start += turned) {
    const size_t rows = end - start < turned ? end - start : turned;
    turn_panel(scratch, stride, &w, start, rows);
    for (size_t first = 0; first < job->tokens; first += block) {
      const size_t last = job->tokens - first < block ? job->tokens : first + block;
      for (size_t row = 0; row < rows; row += step) {
        const char *base = (const char *)scratch + row * stride * sizeof(float);
        panel(job, first, last, MT_F32, base, stride * sizeof(float), start + row, rows - row < step ? rows - row : step, base, base);
      }
    }
  }
}

static void matmul(const mt_matmul_job *job, void *scratch) {
  if (job->weights.depth_bytes) {
    column_matmul(job, scratch);
  } else {
    row_matmul(job, scratch);
  }
}
