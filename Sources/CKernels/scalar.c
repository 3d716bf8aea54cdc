// The scalar form: plain C, the one the others are tested against. Where a vector form sums over lanes, so does this
// one, over 16 partial sums folded by halves, so that the forms differ by rounding of single operations only.
#include "forms.h"

#define MT_INLINE static inline __attribute__((always_inline, unused))

#include "body_dequant.h"
#include "body_read.h"
#include "body_out.h"
#include "digits.h"
#include "digits_plain.h"
#include "blocks_plain.h"

#pragma STDC FP_CONTRACT OFF

enum { lanes = 16 };

static float fold(float *sums) {
  for (size_t width = lanes / 2; width > 0; width /= 2) {
    for (size_t lane = 0; lane < width; lane++) { sums[lane] += sums[lane + width]; }
  }
  return sums[0];
}

static float dot(const float *restrict a, const float *restrict b, size_t n) {
  float sums[lanes] = {0};
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    for (size_t lane = 0; lane < lanes; lane++) { sums[lane] += a[i + lane] * b[i + lane]; }
  }
  for (; i < n; i++) { sums[i % lanes] += a[i] * b[i]; }
  return fold(sums);
}

static void convert(float *restrict out, const void *restrict src, mt_element_type type, const mt_lookup_tables *tables, size_t n) {
  const uint8_t *p = src;
  switch (type) {
  case MT_F32: memcpy(out, p, 4 * n); return;
  case MT_F16:
  case MT_BF16:
    for (size_t i = 0; i < n; i++) { out[i] = scale_at(p, type, i); }
    return;
  default: dequantize(out, p, type, tables, n); return;
  }
}

static void matmul(const mt_matmul_job *job, void *scratch) {
  mt_matrix w = job->weights;
  float *row = scratch;
  for (size_t r = job->row_begin; r < job->row_end; r++) {
    read_row(row, &w, r);
    for (size_t t = 0; t < job->tokens; t++) {
      const float *x = job->x + (job->x_index ? job->x_index[t] : t) * job->x_stride;
      float *out = job->out + (job->out_index ? job->out_index[t] : t) * job->out_stride + r;
      float y = dot(x, row, w.depth);
      if (job->bias) { y += job->bias[r]; }
      if (job->scale) { y *= job->scale[t]; }
      *out = job->accumulate ? *out + y : y;
    }
  }
}

static void attention(const mt_attention_job *job, void *scratch) {
  float *scores = scratch;
  for (size_t t = 0; t < job->tokens; t++) {
    size_t begin, end;
    mt_visible_keys(job, t, &begin, &end);
    for (size_t h = 0; h < job->group; h++) {
      const float *q = job->q + t * job->q_token_stride + h * job->q_head_stride;
      float *out = job->out + t * job->out_token_stride + h * job->out_head_stride;
      float max = job->sinks ? job->sinks[h] : -INFINITY;
      const float *bias = mt_bias_row(job, t, h);
      for (size_t j = begin; j < end; j++) {
        float s = dot(q, job->k + j * job->k_stride, job->head_dim) * job->scale;
        if (job->softcap > 0) { s = job->softcap * tanhf(s / job->softcap); }
        if (bias) { s += bias[j]; }
        scores[j] = s;
        max = s > max ? s : max;
      }
      float sums[lanes] = {0};
      for (size_t j = begin; j < end; j++) {
        scores[j] = expf(scores[j] - max);
        sums[j % lanes] += scores[j];
      }
      float sum = fold(sums) + (job->sinks ? expf(job->sinks[h] - max) : 0);
      for (size_t d = 0; d < job->value_dim; d++) { out[d] = 0; }
      for (size_t j = begin; j < end; j++) {
        for (size_t d = 0; d < job->value_dim; d++) { out[d] += scores[j] * job->v[j * job->v_stride + d]; }
      }
      for (size_t d = 0; d < job->value_dim && end > begin; d++) { out[d] /= sum; }
    }
  }
}

static void rms_norm(float *out, size_t out_stride, const float *x, size_t x_stride, size_t rows, size_t n,
                     const float *weight, float weight_offset, float eps) {
  for (size_t row = 0; row < rows; row++, x += x_stride, out += out_stride) {
    float factor = 1 / sqrtf(dot(x, x, n) / (float)n + eps);
    for (size_t i = 0; i < n; i++) { out[i] = x[i] * factor * (weight ? weight[i] + weight_offset : 1); }
  }
}

static void layer_norm(float *out, size_t out_stride, const float *x, size_t x_stride, size_t rows, size_t n,
                       const float *weight, const float *bias, float eps) {
  for (size_t row = 0; row < rows; row++, x += x_stride, out += out_stride) {
    float sums[lanes] = {0}, squares[lanes] = {0};
    for (size_t i = 0; i < n; i++) { sums[i % lanes] += x[i]; }
    float mean = fold(sums) / (float)n;
    for (size_t i = 0; i < n; i++) { squares[i % lanes] += (x[i] - mean) * (x[i] - mean); }
    float factor = 1 / sqrtf(fold(squares) / (float)n + eps);
    for (size_t i = 0; i < n; i++) {
      out[i] = (x[i] - mean) * factor * (weight ? weight[i] : 1) + (bias ? bias[i] : 0);
    }
  }
}

static void rope(float *x, size_t heads, size_t head_stride, size_t rotary_dim, const float *cosines, const float *sines,
                 bool interleaved) {
  size_t half = rotary_dim / 2;
  for (size_t h = 0; h < heads; h++, x += head_stride) {
    for (size_t i = 0; i < half; i++) {
      float *first = x + (interleaved ? 2 * i : i), *second = x + (interleaved ? 2 * i + 1 : i + half);
      float a = *first, b = *second;
      *first = a * cosines[i] - b * sines[i];
      *second = b * cosines[i] + a * sines[i];
    }
  }
}

static inline float sigmoid_of(float x) { return 1 / (1 + expf(-x)); }

static inline float activate_one(float u, float v, mt_activation kind, float limit) {
  switch (kind) {
  case MT_SILU: return u * sigmoid_of(u) * v;
  case MT_GELU_TANH: return 0.5f * u * (1 + tanhf(0.7978845608028654f * (u + 0.044715f * u * u * u))) * v;
  case MT_GELU_ERF: return 0.5f * u * (1 + erff(u * 0.7071067811865476f)) * v;
  case MT_RELU: return (u > 0 || u != u ? u : 0) * v;
  case MT_RELU_SQUARED: return (u > 0 || u != u ? u * u : 0) * v;
  case MT_SILU_TOPPED:
    u = u * sigmoid_of(u);
    return (u > limit ? limit : u) * (v > limit ? limit : v < -limit ? -limit : v);
  case MT_SWIGLU_CLAMPED:
    u = u > limit ? limit : u;
    v = v > limit ? limit : v < -limit ? -limit : v;
    return u * sigmoid_of(1.702f * u) * (v + 1);
  case MT_SILU_CLAMPED:
    u = u > limit ? limit : u;
    v = v > limit ? limit : v < -limit ? -limit : v;
    return u * sigmoid_of(u) * v;
  }
  return 0;
}

static void activate(float *out, const float *u, const float *v, size_t n, mt_activation kind, float limit) {
  for (size_t i = 0; i < n; i++) { out[i] = activate_one(u[i], v ? v[i] : 1, kind, limit); }
}

static void softmax(float *x, size_t stride, size_t rows, size_t n) {
  for (size_t row = 0; row < rows; row++, x += stride) {
    float max = -INFINITY, sums[lanes] = {0};
    for (size_t i = 0; i < n; i++) { max = x[i] > max ? x[i] : max; }
    for (size_t i = 0; i < n; i++) {
      x[i] = expf(x[i] - max);
      sums[i % lanes] += x[i];
    }
    float sum = fold(sums);
    for (size_t i = 0; i < n; i++) { x[i] /= sum; }
  }
}

static void logits_summary(mt_logits_summary *out, const float *logits, size_t n, size_t target) {
  float max = -INFINITY;
  size_t best = 0;
  int finite = 1;
  for (size_t i = 0; i < n; i++) {
    if (!(logits[i] < INFINITY)) {  // NaN or +infinity; -infinity is a probability of 0
      *out = (mt_logits_summary){ .max = NAN, .log_sum_exp = NAN, .entropy = NAN, .surprisal = NAN };
      return;
    }
    finite &= logits[i] > -INFINITY;
    if (logits[i] > max) { max = logits[i], best = i; }
  }
  double sum = 0, weighted = 0;
  for (size_t i = 0; i < n; i++) {
    float d = logits[i] - max, e = expf(d);
    sum += e;
    weighted += e == 0 ? 0 : (double)e * d;
  }
  double log_sum = log(sum);
  out->is_finite = finite;
  out->max = max;
  out->argmax = best;
  out->log_sum_exp = (float)(max + log_sum);
  out->entropy = (float)(log_sum - weighted / sum);
  out->surprisal = target < n ? (float)(log_sum - (double)(logits[target] - max)) : NAN;
}

static void exp_row(float *out, const float *x, size_t n) {
  for (size_t i = 0; i < n; i++) { out[i] = expf(x[i]); }
}

static void sigmoid(float *out, const float *x, size_t n) {
  for (size_t i = 0; i < n; i++) { out[i] = sigmoid_of(x[i]); }
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

const mt_kernels mt_scalar_kernels = {
    .level = MT_SCALAR,
    .matmul = matmul,
    .digits = plain_digits,
    .blocks = plain_blocks,
    .attention = attention,
    .convert = convert,
    .read_row = read_row,
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .rope = rope,
    .activate = activate,
    .softmax = softmax,
    .logits_summary = logits_summary,
    .exp = exp_row,
    .sigmoid = sigmoid,
    .add = add,
    .multiply = multiply,
    .scale = scale,
    .axpy = axpy,
    .modulate = modulate,
};
