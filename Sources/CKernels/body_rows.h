// Row functions of a vector form: norms, softmax, activations, logits, and the plain loops that the compiler vectorises
// by itself for the target of the including file.

MT_INLINE vf v_load_element(const char *row, const mt_element_type type, size_t i) {
  switch (type) {
  case MT_F16: return v_load_f16(row + 2 * i);
  case MT_BF16: return v_load_bf16(row + 2 * i);
  default: return v_load((const float *)(const void *)(row + 4 * i));
  }
}

MT_INLINE vf v_load_element_n(const char *row, const mt_element_type type, size_t i, size_t n) {
  switch (type) {
  case MT_F16: return v_load_f16_n(row + 2 * i, n);
  case MT_BF16: return v_load_bf16_n(row + 2 * i, n);
  default: return v_load_n((const float *)(const void *)(row + 4 * i), n, 0);
  }
}

MT_INLINE void convert_as(float *restrict out, const char *restrict src, const mt_element_type type, size_t n) {
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) { v_store(out + i, v_load_element(src, type, i)); }
  if (i < n) { v_store_n(out + i, v_load_element_n(src, type, i, n - i), n - i); }
}

static void convert(float *restrict out, const void *restrict src, mt_element_type type, const mt_lookup_tables *tables, size_t n) {
  switch (type) {
  case MT_F32: memcpy(out, src, n * sizeof(float)); return;
  case MT_F16: convert_as(out, src, MT_F16, n); return;
  case MT_BF16: convert_as(out, src, MT_BF16, n); return;
  default: dequantize(out, src, type, tables, n); return;
  }
}

static void rms_norm(float *out, size_t out_stride, const float *x, size_t x_stride, size_t rows, size_t n,
                     const float *weight, float weight_offset, float eps) {
  for (size_t row = 0; row < rows; row++, x += x_stride, out += out_stride) {
    vf sums[4] = {v_set(0), v_set(0), v_set(0), v_set(0)};
    size_t i = 0;
    for (; i + 4 * lanes <= n; i += 4 * lanes) {
      for (size_t part = 0; part < 4; part++) {
        vf value = v_load(x + i + part * lanes);
        sums[part] = v_fma(value, value, sums[part]);
      }
    }
    for (; i < n; i += lanes) {
      vf value = v_load_n(x + i, n - i < lanes ? n - i : lanes, 0);
      sums[0] = v_fma(value, value, sums[0]);
    }
    float sum = v_sum(v_add(v_add(sums[0], sums[1]), v_add(sums[2], sums[3])));
    float factor = 1 / sqrtf(sum / (float)n + eps);
    if (weight) {
      for (i = 0; i < n; i++) { out[i] = x[i] * factor * (weight[i] + weight_offset); }
    } else {
      for (i = 0; i < n; i++) { out[i] = x[i] * factor; }
    }
  }
}

static void layer_norm(float *out, size_t out_stride, const float *x, size_t x_stride, size_t rows, size_t n,
                       const float *weight, const float *bias, float eps) {
  for (size_t row = 0; row < rows; row++, x += x_stride, out += out_stride) {
    vf sums = v_set(0), squares = v_set(0);
    for (size_t i = 0; i < n; i += lanes) { sums = v_add(sums, v_load_n(x + i, n - i < lanes ? n - i : lanes, 0)); }
    float mean = v_sum(sums) / (float)n;
    for (size_t i = 0; i < n; i += lanes) {
      vf centred = v_sub(v_load_n(x + i, n - i < lanes ? n - i : lanes, mean), v_set(mean));
      squares = v_fma(centred, centred, squares);
    }
    float factor = 1 / sqrtf(v_sum(squares) / (float)n + eps);
    for (size_t i = 0; i < n; i++) { out[i] = (x[i] - mean) * factor; }
    if (weight) {
      for (size_t i = 0; i < n; i++) { out[i] *= weight[i]; }
    }
    if (bias) {
      for (size_t i = 0; i < n; i++) { out[i] += bias[i]; }
    }
  }
}

static void rope(float *x, size_t heads, size_t head_stride, size_t rotary_dim, const float *cosines, const float *sines,
                 bool interleaved) {
  size_t half = rotary_dim / 2;
  for (size_t h = 0; h < heads; h++, x += head_stride) {
    if (interleaved) {
      for (size_t i = 0; i < half; i++) {
        float a = x[2 * i], b = x[2 * i + 1];
        x[2 * i] = a * cosines[i] - b * sines[i];
        x[2 * i + 1] = b * cosines[i] + a * sines[i];
      }
    } else {
      float *restrict low = x, *restrict high = x + half;
      for (size_t i = 0; i < half; i++) {
        float a = low[i], b = high[i];
        low[i] = a * cosines[i] - b * sines[i];
        high[i] = b * cosines[i] + a * sines[i];
      }
    }
  }
}

MT_INLINE vf v_relu(vf u) { return v_if_less(u, v_set(0), v_set(0), u); }

MT_INLINE vf v_activate(vf u, vf v, const mt_activation kind, float limit) {
  const vf one = v_set(1), half = v_set(0.5f);
  switch (kind) {
  case MT_SILU: return v_mul(v_mul(u, v_sigmoid(u)), v);
  case MT_GELU_TANH: {
    vf inner = v_fma(v_mul(v_mul(v_set(0.044715f), u), u), u, u);
    return v_mul(v_mul(v_mul(half, u), v_add(one, v_tanh(v_mul(v_set(0.7978845608028654f), inner)))), v);
  }
  case MT_GELU_ERF: return v_mul(v_mul(v_mul(half, u), v_add(one, v_erf(v_mul(u, v_set(0.7071067811865476f))))), v);
  case MT_RELU: return v_mul(v_relu(u), v);
  case MT_RELU_SQUARED: return v_mul(v_mul(v_relu(u), v_relu(u)), v);
  case MT_SILU_TOPPED: return v_mul(v_clamp(v_mul(u, v_sigmoid(u)), -INFINITY, limit), v_clamp(v, -limit, limit));
  case MT_SWIGLU_CLAMPED:
    u = v_clamp(u, -INFINITY, limit);
    return v_mul(v_mul(u, v_sigmoid(v_mul(v_set(1.702f), u))), v_add(v_clamp(v, -limit, limit), one));
  case MT_SILU_CLAMPED:
    u = v_clamp(u, -INFINITY, limit);
    return v_mul(v_mul(u, v_sigmoid(u)), v_clamp(v, -limit, limit));
  }
  return u;
}

MT_INLINE void activate_as(float *out, const float *u, const float *v, size_t n, const mt_activation kind, float limit) {
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) { v_store(out + i, v_activate(v_load(u + i), v ? v_load(v + i) : v_set(1), kind, limit)); }
  if (i < n) {
    vf rest = v ? v_load_n(v + i, n - i, 0) : v_set(1);
    v_store_n(out + i, v_activate(v_load_n(u + i, n - i, 0), rest, kind, limit), n - i);
  }
}

static void activate(float *out, const float *u, const float *v, size_t n, mt_activation kind, float limit) {
  switch (kind) {
  case MT_SILU: activate_as(out, u, v, n, MT_SILU, limit); return;
  case MT_GELU_TANH: activate_as(out, u, v, n, MT_GELU_TANH, limit); return;
  case MT_GELU_ERF: activate_as(out, u, v, n, MT_GELU_ERF, limit); return;
  case MT_RELU: activate_as(out, u, v, n, MT_RELU, limit); return;
  case MT_RELU_SQUARED: activate_as(out, u, v, n, MT_RELU_SQUARED, limit); return;
  case MT_SILU_TOPPED: activate_as(out, u, v, n, MT_SILU_TOPPED, limit); return;
  case MT_SWIGLU_CLAMPED: activate_as(out, u, v, n, MT_SWIGLU_CLAMPED, limit); return;
  case MT_SILU_CLAMPED: activate_as(out, u, v, n, MT_SILU_CLAMPED, limit); return;
  }
}

MT_INLINE float largest(const float *x, size_t n) {
  vf max = v_set(-INFINITY);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) { max = v_max_number(v_load(x + i), max); }
  if (i < n) { max = v_max_number(v_load_n(x + i, n - i, -INFINITY), max); }
  return v_largest(max);
}

/// x = e^(x - max) over n values; answers their sum.
MT_INLINE float exponentials(float *x, size_t n, float max) {
  vf sums = v_set(0);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    vf e = v_exp(v_sub(v_load(x + i), v_set(max)));
    v_store(x + i, e);
    sums = v_add(sums, e);
  }
  if (i < n) {
    vf e = v_exp(v_sub(v_load_n(x + i, n - i, -INFINITY), v_set(max)));
    v_store_n(x + i, e, n - i);
    sums = v_add(sums, e);
  }
  return v_sum(sums);
}

static void softmax(float *x, size_t stride, size_t rows, size_t n) {
  for (size_t row = 0; row < rows; row++, x += stride) {
    float sum = exponentials(x, n, largest(x, n));
    for (size_t i = 0; i < n; i++) { x[i] /= sum; }
  }
}

/// Whether n values are all finite: x * 0 is 0 for a finite x and NaN for any other.
MT_INLINE int all_finite(const float *x, size_t n) {
  vf sum = v_set(0);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) { sum = v_fma(v_load(x + i), v_set(0), sum); }
  if (i < n) { sum = v_fma(v_load_n(x + i, n - i, 0), v_set(0), sum); }
  return v_sum(sum) == 0;
}

static void logits_summary(mt_logits_summary *out, const float *logits, size_t n, size_t target) {
  out->is_finite = all_finite(logits, n);
  if (!out->is_finite) {
    for (size_t i = 0; i < n; i++) {
      if (logits[i] < INFINITY) { continue; }  // -infinity is a probability of 0
      *out = (mt_logits_summary){ .max = NAN, .log_sum_exp = NAN, .entropy = NAN, .surprisal = NAN };
      return;
    }
  }
  float max = largest(logits, n);
  double sum = 0, weighted = 0;
  for (size_t start = 0; start < n; start += 2048) {  // f32 within a stretch, f64 from stretch to stretch
    vf sums = v_set(0), products = v_set(0);
    size_t end = n - start < 2048 ? n : start + 2048;
    for (size_t i = start; i < end; i += lanes) {
      vf value = v_load_n(logits + i, end - i < lanes ? end - i : lanes, -INFINITY);
      vf d = v_clamp(v_sub(value, v_set(max)), -104.0f, 0.0f);  // finite, so that 0 * d is 0
      vf e = v_exp(d);
      sums = v_add(sums, e);
      products = v_fma(e, d, products);
    }
    sum += (double)v_sum(sums);
    weighted += (double)v_sum(products);
  }
  size_t best = 0;
  while (best + 1 < n && logits[best] != max) { best++; }
  double log_sum = log(sum);
  out->max = max;
  out->argmax = n > 0 && logits[best] == max ? best : 0;
  out->log_sum_exp = (float)((double)max + log_sum);
  out->entropy = (float)(log_sum - weighted / sum);
  out->surprisal = target < n ? (float)(log_sum - (double)(logits[target] - max)) : NAN;
}

static void exp_row(float *out, const float *x, size_t n) {
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) { v_store(out + i, v_exp(v_load(x + i))); }
  if (i < n) { v_store_n(out + i, v_exp(v_load_n(x + i, n - i, 0)), n - i); }
}

static void sigmoid(float *out, const float *x, size_t n) {
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) { v_store(out + i, v_sigmoid(v_load(x + i))); }
  if (i < n) { v_store_n(out + i, v_sigmoid(v_load_n(x + i, n - i, 0)), n - i); }
}

static void add(float *out, const float *a, const float *b, size_t n) {
  for (size_t i = 0; i < n; i++) { out[i] = a[i] + b[i]; }
}

static void multiply(float *out, const float *a, const float *b, size_t n) {
  for (size_t i = 0; i < n; i++) { out[i] = a[i] * b[i]; }
}

static void scale(float *out, const float *x, float factor, size_t n) {
  for (size_t i = 0; i < n; i++) { out[i] = x[i] * factor; }
}

static void axpy(float *out, const float *x, float factor, size_t n) {
  for (size_t i = 0; i < n; i++) { out[i] += x[i] * factor; }
}

static void modulate(float *out, const float *x, const float *scales, const float *shifts, size_t n) {
  for (size_t i = 0; i < n; i++) { out[i] = x[i] * (1 + scales[i]) + shifts[i]; }
}
