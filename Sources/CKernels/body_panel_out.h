// What becomes of the sums of a panel, 2 * lanes weight rows side by side: `finish` by vectors. For panels in f32 and by blocks.

enum { panel_width = 2 * lanes };

/// Where a panel's outputs of a token will be written: rows of outputs are far apart, and none of them follows from another.
MT_INLINE void fetch_panel_out(const mt_matmul_job *job, size_t t, size_t row) {
  const float *out = out_row(job, t) + row;
  for (size_t r = 0; r < panel_width; r += 16) { __builtin_prefetch(out + r, 1, 3); }
}

/// Bias, scale, and the store of a token's outputs [row, row + rows). Nothing is fused, as in `finish`.
MT_INLINE void finish_panel(const mt_matmul_job *job, size_t t, size_t row, size_t rows, const float *sums) {
#pragma STDC FP_CONTRACT OFF
  float *out = out_row(job, t) + row;
  for (size_t r = 0; rows == panel_width && r < panel_width; r += lanes) {
    vf y = v_load(sums + r);
    if (job->bias) { y = v_add(y, v_load(job->bias + row + r)); }
    if (job->scale) { y = v_mul(y, v_set(job->scale[t])); }
    if (job->accumulate) { y = v_add(v_load(out + r), y); }
    v_store(out + r, y);
  }
  for (size_t r = 0; rows < panel_width && r < rows; r += 4) { finish(job, t, row + r, 1, rows - r < 4 ? rows - r : 4, sums + r); }
}
