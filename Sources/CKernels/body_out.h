// What becomes of a sum: bias, scale, and the place it is stored or added to. Products by either kind of sum end here.

/// Four floats anywhere in memory.
typedef float four __attribute__((vector_size(16), aligned(4)));

/// Where the outputs of a token begin.
MT_INLINE float *out_row(const mt_matmul_job *job, size_t t) { return job->out + (job->out_index ? job->out_index[t] : t) * job->out_stride; }

/// Bias, scale, and the store of one token's piece of a tile: weight rows row, row + apart, ... Nothing is fused here, so
/// that a value is the same by either branch.
MT_INLINE void finish(const mt_matmul_job *job, size_t t, size_t row, size_t apart, size_t count, const float *sums) {
#pragma STDC FP_CONTRACT OFF
  float *out = out_row(job, t) + row;
  const float factor = job->scale ? job->scale[t] : 1;
  if (count == 4 && apart == 1) {
    four y = *(const four *)sums;
    if (job->bias) { y = y + *(const four *)(job->bias + row); }
    if (job->scale) { y = y * factor; }
    if (job->accumulate) { y = *(const four *)out + y; }
    *(four *)out = y;
    return;
  }
  for (size_t i = 0; i < count; i++) {
    float y = sums[i];
    if (job->bias) { y = y + job->bias[row + i * apart]; }
    if (job->scale) { y = y * factor; }
    if (job->accumulate) { y = out[i * apart] + y; }
    out[i * apart] = y;
  }
}
