// The product with a matrix whose inputs are rows in the file, so that the elements of one weight row lie far apart. The file is read in
// the order it has: a stretch of a stored row is one input's weights of neighbouring outputs. A few tokens add such stretches to partial
// sums that lie in memory; for many tokens stretches become panels (body_panels.h). Either way an output is the chain
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

/// More than few_column_tokens tokens: rows are turned over into panels, in stretches of whole cache lines, once for a block of tokens.
static void many_tokens_columns(const mt_matmul_job *job, float *scratch) {
  enum { width = 64 + 16 };
  const mt_matrix *w = &job->weights;
  const size_t steps = steps_of(w->depth), floats = lanes * lane_stride(panel_width, steps), end = job->row_end, turned = mt_turned_rows(w->depth);
  float *x = scratch + turned / panel_width * floats;
  float column[width];
  for (size_t first = 0, block; first < job->tokens; first += block) {
    block = next_block(job, first);
    make_tiles(x, job, first, first + block);
    for (size_t row = job->row_begin; row < end; row += turned) {
      const size_t rows = end - row < turned ? end - row : turned;
      memset(column, 0, sizeof column);
      for (size_t i = 0; i < w->depth; i++) {
        fetch_column(w, i, row, rows);
        read_column(column, w, i, row, rows);
        float *at = place_of(scratch, panel_width, steps, i);
        for (size_t r = 0; r < rows; r += panel_width, at += floats) { memcpy(at, column + r, panel_width * sizeof(float)); }
      }
      const float *panel = scratch;
      for (size_t r = 0; r < rows; r += panel_width, panel += floats) {
        clear_rest(scratch + r / panel_width * floats, panel_width, w->depth);
        const size_t some = rows - r < panel_width ? rows - r : panel_width;
        multiply_panel(job, panel, x, first, first + block, row + r, some, (const char *)w->base, (const char *)w->base);
      }
    }
  }
}

static void column_matmul(const mt_matmul_job *job, float *scratch) {
  if (job->tokens > few_column_tokens) {
    many_tokens_columns(job, scratch);
  } else if (job->tokens > 0) {
    const float *x[few_column_tokens];
    gather_rows(job, 0, job->tokens, x);
    const size_t step = sums_at_once / job->tokens / lanes * lanes;
    for (size_t row = job->row_begin; row < job->row_end; row += step) {
      column_sums(job, row, job->row_end - row < step ? job->row_end - row : step, x);
    }
  }
}

static void matmul(const mt_matmul_job *job, void *scratch) {
  if (job->weights.depth_bytes) {
    column_matmul(job, scratch);
  } else if (mt_panels_pay(&panel_limits, job->weights.type, job->tokens)) {
    many_tokens_rows(job, scratch);
  } else {
    some_tokens(job, scratch);
  }
}
