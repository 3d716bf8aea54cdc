// Attention of a vector form. Query rows (tokens times the heads that share a KV head) are taken in blocks, rows of a block
// in tiles, and keys in blocks that stay in the first-level cache while every tile uses them. Scores are dot products as in
// the matmul, softmax sums over lanes by key index, values are summed key after key; a key that a row does not see has
// weight 0 exactly. So a row's result does not depend on which rows share its tile, nor on the blocks.

MT_INLINE size_t least(size_t a, size_t b) { return a < b ? a : b; }
MT_INLINE size_t most_of(size_t a, size_t b) { return a > b ? a : b; }

/// How far ahead the first tile of a block fetches keys and values: rows of one page are followed late by the hardware.
enum { bytes_ahead = 8192 };

MT_INLINE size_t keys_ahead(size_t row_floats) { return (bytes_ahead / sizeof(float) + row_floats - 1) / row_floats; }

MT_INLINE void fetch_row(const float *row, size_t floats) {
  for (size_t i = 0; i < floats; i += 64 / sizeof(float)) { __builtin_prefetch(row + i, 0, 3); }
}

/// scores[t * stride + j] = q[t] . k[j] for j < keys, and up to 7 more that mean nothing. Fetches keys that many rows ahead; 0: none.
MT_INLINE void score_tile(const int rows, const int tokens, const float *const *q, const float *k, size_t k_stride, size_t keys,
                          size_t depth, size_t ahead, float *scores, size_t stride) {
  for (size_t j = 0; j < keys; j += (size_t)rows) {
    const char *w[8];
    for (size_t i = 0; i < (size_t)rows; i++) { w[i] = (const char *)(k + (j + i < keys ? j + i : keys - 1) * k_stride); }
    for (size_t i = 0; ahead > 0 && i < (size_t)rows; i++) { fetch_row(k + (j + i + ahead) * k_stride, depth); }
    float sums[24];
    tile(rows, tokens, MT_F32, w, q, depth, (prefetch){w[0], 0}, sums);
    for (size_t t = 0; t < (size_t)tokens; t++) {
      memcpy(scores + t * stride + j, sums + t * (size_t)rows, (size_t)rows * sizeof(float));
    }
  }
}

/// The same of one token, key after key.
static void scores_1(const float *const *q, const float *k, size_t k_stride, size_t keys, size_t depth, size_t ahead, float *scores,
                     size_t stride) {
  (void)stride;
  for (size_t j = 0; j < keys; j += 8) {
    stream_eight(MT_F32, (const char *)(k + j * k_stride), k_stride * sizeof(float), least(8, keys - j), q[0], depth,
                 ahead * k_stride * sizeof(float), scores + j);
  }
}

/// out[t] += sum over keys of p[t * p_stride + j] * v[j], for `vectors` vectors, the last of `last` values. Fetches as `score_tile` does.
MT_INLINE void value_tile(const int tokens, const int vectors, size_t last, const float *p, size_t p_stride, const float *v,
                          size_t v_stride, size_t keys, size_t ahead, float *const *out) {
  vf a[tile_tokens * 8];
  const bool whole = last == lanes;
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) {
#pragma clang loop unroll(full)
    for (int d = 0; d < vectors; d++) {
      a[t * vectors + d] = d + 1 < vectors || whole ? v_load(out[t] + d * lanes) : v_load_n(out[t] + d * lanes, last, 0);
    }
  }
  for (size_t j = 0; j < keys; j++, v += v_stride) {
    if (ahead > 0) { fetch_row(v + ahead * v_stride, (size_t)vectors * lanes); }
    // As in a tile of a product: the fewer are held.
    if (tokens <= vectors) {
      vf weight[tile_tokens];
#pragma clang loop unroll(full)
      for (int t = 0; t < tokens; t++) { weight[t] = v_set(p[(size_t)t * p_stride + j]); }
#pragma clang loop unroll(full)
      for (int d = 0; d < vectors; d++) {
        const vf value = d + 1 < vectors || whole ? v_load(v + d * lanes) : v_load_n(v + d * lanes, last, 0);
#pragma clang loop unroll(full)
        for (int t = 0; t < tokens; t++) { a[t * vectors + d] = v_fma(weight[t], value, a[t * vectors + d]); }
      }
    } else {
      vf value[8];
#pragma clang loop unroll(full)
      for (int d = 0; d < vectors; d++) {
        value[d] = d + 1 < vectors || whole ? v_load(v + d * lanes) : v_load_n(v + d * lanes, last, 0);
      }
#pragma clang loop unroll(full)
      for (int t = 0; t < tokens; t++) {
        const vf weight = v_set(p[(size_t)t * p_stride + j]);
#pragma clang loop unroll(full)
        for (int d = 0; d < vectors; d++) { a[t * vectors + d] = v_fma(weight, value[d], a[t * vectors + d]); }
      }
    }
  }
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) {
#pragma clang loop unroll(full)
    for (int d = 0; d < vectors; d++) {
      if (d + 1 < vectors || whole) {
        v_store(out[t] + d * lanes, a[t * vectors + d]);
      } else {
        v_store_n(out[t] + d * lanes, a[t * vectors + d], last);
      }
    }
  }
}

typedef void (*score_function)(const float *const *q, const float *k, size_t k_stride, size_t keys, size_t depth, size_t ahead,
                               float *scores, size_t stride);
typedef void (*value_function)(size_t last, const float *p, size_t p_stride, const float *v, size_t v_stride, size_t keys, size_t ahead,
                               float *const *out);

#define MT_SCORES(rows, tokens)                                                                                             \
  static __attribute__((noinline)) void scores_##tokens(const float *const *q, const float *k, size_t k_stride, size_t keys, \
                                                        size_t depth, size_t ahead, float *scores, size_t stride) {         \
    score_tile(rows, tokens, q, k, k_stride, keys, depth, ahead, scores, stride);                                           \
  }
#define MT_VALUES(tokens, vectors)                                                                                           \
  static __attribute__((noinline)) void values_##tokens##vectors(size_t last, const float *p, size_t p_stride, const float *v, \
                                                                 size_t v_stride, size_t keys, size_t ahead,                 \
                                                                 float *const *out) {                                        \
    value_tile(tokens, vectors, last, p, p_stride, v, v_stride, keys, ahead, out);                                           \
  }
#define MT_VALUES_OF(tokens) MT_VALUES(tokens, 1) MT_VALUES(tokens, 2) MT_VALUES(tokens, 4)
#define MT_ROWS_OF(width, tokens) MT_SCORES(width, tokens) MT_VALUES_OF(tokens)
// As many sums as registers hold.
#define MT_VALUES_ROW(tokens) {values_##tokens##1, values_##tokens##2, values_##tokens##4}
#define MT_BROAD_ROW(tokens) {values_##tokens##1, values_##tokens##2, values_##tokens##4, values_##tokens##8}
enum { value_widths = 4 };

MT_VALUES_OF(1)
MT_VALUES(1, 8)
MT_ROWS_OF(4, 3)
#if MT_WIDE_TILES
MT_ROWS_OF(8, 2)
MT_VALUES(2, 8)
MT_VALUES(3, 8)
MT_ROWS_OF(4, 4)
MT_ROWS_OF(4, 5)
MT_ROWS_OF(4, 6)
static const score_function scores_of[] = {NULL, scores_1, scores_2, scores_3, scores_4, scores_5, scores_6};
static const value_function values_of[][value_widths] = {{NULL},           MT_BROAD_ROW(1),  MT_BROAD_ROW(2), MT_BROAD_ROW(3),
                                                         MT_VALUES_ROW(4), MT_VALUES_ROW(5), MT_VALUES_ROW(6)};
#else
MT_ROWS_OF(4, 2)
static const score_function scores_of[] = {NULL, scores_1, scores_2, scores_3};
static const value_function values_of[][value_widths] = {{NULL}, MT_BROAD_ROW(1), MT_VALUES_ROW(2), MT_VALUES_ROW(3)};
#endif

/// A tile of query rows: what they read, where they write, and which keys any of them sees.
typedef struct query_tile {
  size_t row, height, from, to;
  const float *q[tile_tokens];
  float *out[tile_tokens];
  float sum[tile_tokens];
} query_tile;

MT_INLINE query_tile tile_of_queries(const mt_attention_job *job, size_t row, size_t height) {
  query_tile tile = {.row = row, .height = height, .from = job->keys};
  for (size_t i = 0; i < height; i++) {
    const size_t t = (row + i) / job->group, h = (row + i) % job->group;
    size_t begin, end;
    mt_visible_keys(job, t, &begin, &end);
    tile.q[i] = job->q + t * job->q_token_stride + h * job->q_head_stride;
    tile.out[i] = job->out + t * job->out_token_stride + h * job->out_head_stride;
    if (begin < tile.from) { tile.from = begin; }
    if (end > tile.to) { tile.to = end; }
  }
  return tile;
}

MT_INLINE void fill(float *x, size_t from, size_t to, float value) {
  for (size_t j = from; j < to; j++) { x[j] = value; }
}

/// Scores of one row into weights over the keys [begin, end), and 0 in the rest of [from, to); answers their sum.
static float weights_of(const mt_attention_job *job, float *scores, size_t from, size_t to, size_t begin, size_t end,
                        const float *sink, const float *bias) {
  if (begin == end) {
    fill(scores, from, to, 0);
    return 1;
  }
  // Whole vectors, counted from key 0, so that the lane of a key is the same in every call.
  const size_t first_vector = begin / lanes * lanes, last_vector = (end + lanes - 1) / lanes * lanes;
  const vf factor = v_set(job->scale), cap = v_set(job->softcap);
  vf max = v_set(sink ? *sink : -INFINITY);
  if (job->softcap > 0) {
    for (size_t j = first_vector; j < last_vector; j += lanes) {
      v_store(scores + j, v_mul(v_tanh(v_div(v_mul(v_load(scores + j), factor), cap)), cap));
    }
  } else {
    for (size_t j = first_vector; j < last_vector; j += lanes) { v_store(scores + j, v_mul(v_load(scores + j), factor)); }
  }
  if (bias) {
    for (size_t j = begin; j < end; j++) { scores[j] += bias[j]; }
  }
  fill(scores, first_vector, begin, -INFINITY);
  fill(scores, end, last_vector, -INFINITY);
  for (size_t j = first_vector; j < last_vector; j += lanes) { max = v_max_number(v_load(scores + j), max); }
  const float most = v_largest(max);
  float sum = exponentials(scores + first_vector, last_vector - first_vector, most);
  if (sink) { sum += expf(*sink - most); }
  if (from < begin) { fill(scores, from, begin, 0); }
  if (end < to) { fill(scores, end, to, 0); }
  return sum;
}

/// out += weights . values for the keys [begin, end) of one tile, a few vectors of the values at a time.
MT_INLINE void add_values(const mt_attention_job *job, const query_tile *tile, const float *p, size_t stride, size_t begin, size_t end,
                          size_t ahead) {
  const value_function *functions = values_of[tile->height];
  for (size_t d = 0, done; d < job->value_dim; d += done) {
    const size_t rest = job->value_dim - d, last = rest < lanes ? rest : lanes;
    int width = value_widths - 1;
    while (width > 0 && (!functions[width] || rest < lanes << width)) { width--; }
    float *piece[tile_tokens];
    for (size_t i = 0; i < tile->height; i++) { piece[i] = tile->out[i] + d; }
    functions[width](last, p + begin, stride, job->v + begin * job->v_stride + d, job->v_stride, end - begin, ahead, piece);
    done = width == 0 ? last : (size_t)lanes << width;
  }
}

/// The query rows [first, last), whose scores fit into the scratch together.
static void query_block(const mt_attention_job *job, size_t first, size_t last, float *scores) {
  const size_t stride = mt_score_stride(job->keys);
  query_tile tiles[(mt_most_query_rows + tile_tokens - 1) / tile_tokens];
  size_t count = 0, from = job->keys, to = 0;
  for (size_t row = first; row < last; row += tiles[count - 1].height) {
    tiles[count] = tile_of_queries(job, row, even_part(last - row, tile_tokens));
    from = least(from, tiles[count].from);
    to = most_of(to, tiles[count].to);
    count++;
  }
  // About 32 KiB of keys (then of values) at a time.
  const size_t dim = most_of(most_of(job->head_dim, job->value_dim), 1), block = most_of(8192 / dim / 8 * 8, 8);
  const size_t ahead = keys_ahead(dim);
  for (size_t j = from; j < to; j += block) {
    for (size_t n = 0; n < count; n++) {
      const query_tile *tile = &tiles[n];
      const size_t begin = most_of(j, tile->from), end = least(j + block, tile->to);
      if (begin >= end) { continue; }
      scores_of[tile->height](tile->q, job->k + begin * job->k_stride, job->k_stride, end - begin, job->head_dim,
                              n == 0 ? ahead : 0, scores + (tile->row - first) * stride + begin, stride);
    }
  }
  for (size_t n = 0; n < count; n++) {
    query_tile *tile = &tiles[n];
    for (size_t i = 0; i < tile->height; i++) {
      const size_t row = tile->row + i;
      size_t begin, end;
      mt_visible_keys(job, row / job->group, &begin, &end);
      const float *sink = job->sinks ? job->sinks + row % job->group : NULL;
      tile->sum[i] = weights_of(job, scores + (row - first) * stride, tile->from, tile->to, begin, end, sink,
                                mt_bias_row(job, row / job->group, row % job->group));
      fill(tile->out[i], 0, job->value_dim, 0);
    }
  }
  for (size_t j = from; j < to; j += block) {
    for (size_t n = 0; n < count; n++) {
      const query_tile *tile = &tiles[n];
      const size_t begin = most_of(j, tile->from), end = least(j + block, tile->to);
      if (begin < end) { add_values(job, tile, scores + (tile->row - first) * stride, stride, begin, end, n == 0 ? ahead : 0); }
    }
  }
  for (size_t n = 0; n < count; n++) {
    for (size_t i = 0; i < tiles[n].height; i++) {
      float *out = tiles[n].out[i];
      for (size_t d = 0; d < job->value_dim; d++) { out[d] /= tiles[n].sum[i]; }
    }
  }
}

static void attention(const mt_attention_job *job, void *scratch) {
  const size_t rows = job->tokens * job->group, block = mt_query_rows(job->keys);
  for (size_t row = 0; row < rows; row += block) { query_block(job, row, least(row + block, rows), scratch); }
}
