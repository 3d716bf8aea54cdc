// Attention of a vector form: a tile of query rows (tokens and the heads that share a KV head) at a time. Scores are dot
// products as in the matmul, softmax sums over lanes by key index, values are summed key after key; a key that a row does
// not see has weight 0 exactly. So a row's result does not depend on which rows share its tile.

/// accumulators[t][d] over keys [begin, end): out[t] = sum_j p[t][j] v[j], for `vectors` vectors at `v`.
MT_INLINE void weigh_values(const int tokens, const int vectors, size_t last, const float *p, size_t p_stride, const float *v,
                            size_t v_stride, size_t begin, size_t end, float *const *out, const float *divisor) {
  vf a[tile_tokens * 4];
#pragma clang loop unroll(full)
  for (int i = 0; i < tokens * vectors; i++) { a[i] = v_set(0); }
  const bool whole = last == lanes;
  for (size_t j = begin; j < end; j++) {
    const float *row = v + j * v_stride;
    vf value[4];
#pragma clang loop unroll(full)
    for (int d = 0; d < vectors; d++) {
      value[d] = d + 1 < vectors || whole ? v_load(row + d * lanes) : v_load_n(row + d * lanes, last, 0);
    }
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) {
      vf weight = v_set(p[(size_t)t * p_stride + j]);
#pragma clang loop unroll(full)
      for (int d = 0; d < vectors; d++) { a[t * vectors + d] = v_fma(weight, value[d], a[t * vectors + d]); }
    }
  }
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) {
#pragma clang loop unroll(full)
    for (int d = 0; d < vectors; d++) {
      v_store_n(out[t] + d * lanes, v_div(a[t * vectors + d], v_set(divisor[t])), d + 1 < vectors ? lanes : last);
    }
  }
}

typedef void (*values_function)(size_t last, const float *p, size_t p_stride, const float *v, size_t v_stride, size_t begin,
                                size_t end, float *const *out, const float *divisor);
#define MT_VALUES(tokens, vectors)                                                                                         \
  static __attribute__((noinline)) void values_##tokens##vectors(                                                         \
      size_t last, const float *p, size_t p_stride, const float *v, size_t v_stride, size_t begin, size_t end,           \
      float *const *out, const float *divisor) {                                                                           \
    weigh_values(tokens, vectors, last, p, p_stride, v, v_stride, begin, end, out, divisor);                              \
  }
#define MT_VALUES_OF(tokens) MT_VALUES(tokens, 1) MT_VALUES(tokens, 2) MT_VALUES(tokens, 4)
#define MT_VALUES_ROW(tokens) {values_##tokens##1, values_##tokens##2, values_##tokens##4}
MT_VALUES_OF(1) MT_VALUES_OF(2) MT_VALUES_OF(3)
#if MT_WIDE_TILES
MT_VALUES_OF(4) MT_VALUES_OF(5) MT_VALUES_OF(6)
static const values_function values[][3] = {{NULL}, MT_VALUES_ROW(1), MT_VALUES_ROW(2), MT_VALUES_ROW(3),
                                            MT_VALUES_ROW(4), MT_VALUES_ROW(5), MT_VALUES_ROW(6)};
#else
static const values_function values[][3] = {{NULL}, MT_VALUES_ROW(1), MT_VALUES_ROW(2), MT_VALUES_ROW(3)};
#endif

/// Scores of one row into weights over the keys [begin, end), 0 from `from` to `to` elsewhere; answers their sum.
MT_INLINE float weights_of(const mt_attention_job *job, float *scores, size_t from, size_t to, size_t begin, size_t end,
                           const float *sink) {
  // Whole vectors, counted from key 0, so that the lane of a key is the same in every call.
  const size_t first_vector = begin / lanes * lanes, last_vector = (end + lanes - 1) / lanes * lanes;
  for (size_t j = first_vector; j < begin; j++) { scores[j] = -INFINITY; }
  for (size_t j = end; j < last_vector; j++) { scores[j] = -INFINITY; }
  vf max = v_set(sink ? *sink : -INFINITY);
  for (size_t j = first_vector; j < last_vector; j += lanes) {
    vf s = v_mul(v_load(scores + j), v_set(job->scale));
    if (job->softcap > 0) { s = v_mul(v_tanh(v_div(s, v_set(job->softcap))), v_set(job->softcap)); }
    v_store(scores + j, s);
    max = v_max_number(s, max);
  }
  for (size_t j = first_vector; j < begin; j++) { scores[j] = -INFINITY; }  // again: a cap would have made them finite
  for (size_t j = end; j < last_vector; j++) { scores[j] = -INFINITY; }
  const float largest_score = v_largest(max);
  float sum = exponentials(scores + first_vector, last_vector - first_vector, largest_score);
  if (sink) { sum += expf(*sink - largest_score); }
  for (size_t j = from; j < begin; j++) { scores[j] = 0; }
  for (size_t j = end; j < to; j++) { scores[j] = 0; }
  return sum;
}

static void attention(const mt_attention_job *job, void *scratch) {
  float *scores = scratch;
  const size_t stride = mt_score_stride(job->keys), count = job->tokens * job->group;
  for (size_t row = 0, height; row < count; row += height) {
    height = next_tile(count - row);
    const float *q[tile_tokens];
    float *out[tile_tokens], divisor[tile_tokens];
    size_t begins[tile_tokens], ends[tile_tokens], from = job->keys, to = 0;
    for (size_t i = 0; i < height; i++) {
      const size_t t = (row + i) / job->group, h = (row + i) % job->group;
      q[i] = job->q + t * job->q_token_stride + h * job->q_head_stride;
      out[i] = job->out + t * job->out_token_stride + h * job->out_head_stride;
      mt_visible_keys(job, t, &begins[i], &ends[i]);
      if (begins[i] < from) { from = begins[i]; }
      if (ends[i] > to) { to = ends[i]; }
    }
    const size_t width = tile_rows(height);
    for (size_t j = from; j < to; j += width) {
      const size_t keys = to - j < width ? to - j : width;
      const char *k[8];
      for (size_t i = 0; i < width; i++) { k[i] = (const char *)(job->k + (j + (i < keys ? i : keys - 1)) * job->k_stride); }
      float sums[24];
      tiles_f32[height](k, q, job->head_dim, sums);
      for (size_t i = 0; i < height; i++) {
        for (size_t n = 0; n < keys; n++) { scores[i * stride + j + n] = sums[i * width + n]; }
      }
    }
    for (size_t i = 0; i < height; i++) {
      const float *sink = job->sinks ? job->sinks + (row + i) % job->group : NULL;
      const bool sees = ends[i] > begins[i];
      float sum = sees ? weights_of(job, scores + i * stride, from, to, begins[i], ends[i], sink) : 1;
      for (size_t j = from; !sees && j < to; j++) { scores[i * stride + j] = 0; }
      divisor[i] = sum;
    }
    for (size_t d = 0; d < job->value_dim;) {
      const size_t rest = job->value_dim - d;
      const size_t vectors = rest >= 4 * lanes ? 4 : rest >= 2 * lanes ? 2 : 1;
      const size_t last = rest < lanes ? rest : lanes;
      float *piece[tile_tokens];
      for (size_t i = 0; i < height; i++) { piece[i] = out[i] + d; }
      values[height][vectors / 2](last, scores, stride, job->v + d, job->v_stride, from, to, piece, divisor);
      d += vectors == 1 ? last : vectors * lanes;
    }
  }
}
