// Which numbers are a row, or a column, of a matrix in memory? By type, the words of body_dequant.h that its blocks are read with, then
// the scales that a file keeps beside the rows. What f32, f16 and bf16 are is the forms' own: `convert`. Nothing is fused here either.

#pragma STDC FP_CONTRACT OFF

/// n elements of any type but the three that the forms read themselves.
static void dequantize(float *restrict out, const void *restrict src, mt_element_type type, const mt_lookup_tables *tables, size_t n) {
  const uint8_t *p = src;
  switch (type) {
  case MT_Q4_0: dequant_q4_0(out, p, n / 32); return;
  case MT_Q4_1: dequant_q4_1(out, p, n / 32); return;
  case MT_Q5_0: dequant_q5_0(out, p, n / 32); return;
  case MT_Q5_1: dequant_q5_1(out, p, n / 32); return;
  case MT_Q8_0: dequant_q8_0(out, p, n / 32); return;
  case MT_Q2_K: dequant_q2_k(out, p, n / 256); return;
  case MT_Q3_K: dequant_q3_k(out, p, n / 256); return;
  case MT_Q4_K: dequant_q4_k(out, p, n / 256); return;
  case MT_Q5_K: dequant_q5_k(out, p, n / 256); return;
  case MT_Q6_K: dequant_q6_k(out, p, n / 256); return;
  case MT_IQ1_S: dequant_iq1_s(out, p, tables, n / 256); return;
  case MT_IQ1_M: dequant_iq1_m(out, p, tables, n / 256); return;
  case MT_IQ2_XXS: dequant_iq2_xxs(out, p, tables, n / 256); return;
  case MT_IQ2_XS: dequant_iq2_xs(out, p, tables, n / 256); return;
  case MT_IQ2_S: dequant_iq2_s(out, p, tables, n / 256); return;
  case MT_IQ3_XXS: dequant_iq3_xxs(out, p, tables, n / 256); return;
  case MT_IQ3_S: dequant_iq3_s(out, p, tables, n / 256); return;
  case MT_IQ4_NL: dequant_iq4_nl(out, p, n / 32); return;
  case MT_IQ4_XS: dequant_iq4_xs(out, p, n / 256); return;
  case MT_TQ1_0: dequant_tq1_0(out, p, n / 256); return;
  case MT_TQ2_0: dequant_tq2_0(out, p, n / 256); return;
  case MT_MXFP4: dequant_mxfp4(out, p, n / 32); return;
  case MT_NVFP4: dequant_nvfp4(out, p, n / 64); return;
  case MT_Q1_0: dequant_q1_0(out, p, n / 128); return;
  case MT_Q2_0: dequant_q2_0(out, p, n / 64); return;
  case MT_F64:
    for (size_t i = 0; i < n; i++) {
      double value;
      memcpy(&value, p + 8 * i, sizeof value);
      out[i] = (float)value;
    }
    return;
  case MT_F8_E4M3:
    for (size_t i = 0; i < n; i++) { out[i] = float_from_e4m3(p[i]); }
    return;
  case MT_F8_E5M2:  // the upper half of an f16
    for (size_t i = 0; i < n; i++) { out[i] = float_from_half((uint16_t)(p[i] << 8)); }
    return;
  case MT_F8_E8M0:
    for (size_t i = 0; i < n; i++) { out[i] = float_from_e8m0(p[i]); }
    return;
  case MT_F4_E2M1: dequant_e2m1(out, p, n); return;
  case MT_U4B8: dequant_u4b8(out, p, n); return;
  case MT_F32:
  case MT_F16:
  case MT_BF16: return;
  }
}

static inline float scale_at(const uint8_t *row, mt_element_type type, size_t i) {
  uint16_t half;
  float value;
  switch (type) {
  case MT_F8_E8M0: return float_from_e8m0(row[i]);
  case MT_F16: return half_at(row + 2 * i);
  case MT_BF16:
    memcpy(&half, row + 2 * i, sizeof half);
    return float_from_bits((uint32_t)half << 16);
  default:
    memcpy(&value, row + 4 * i, sizeof value);
    return value;
  }
}

/// Multiplies elements [start, start + count) of one row by the scales its file keeps beside it.
static void apply_scales(float *restrict out, const mt_matrix *w, size_t row, size_t start, size_t count) {
  const mt_scales s = w->scales;
  const uint8_t *scales = (const uint8_t *)s.base + (s.first_row + row * s.row_step) / s.rows * s.row_bytes;
  for (size_t j = 0; j < count;) {
    const size_t i = (start + j) / s.columns, left = (i + 1) * s.columns - start;
    const size_t end = left < count ? left : count;
    const float factor = scale_at(scales, s.type, i);
    for (; j < end; j++) { out[j] = out[j] * factor; }
  }
}

static void convert(float *restrict out, const void *restrict src, mt_element_type type, const mt_lookup_tables *tables, size_t n);

/// Element i of the rows [row, row + count), of a matrix whose inputs are rows in the file.
static void read_column(float *restrict out, const mt_matrix *w, size_t i, size_t row, size_t count) {
  const char *src = (const char *)w->base + i * w->depth_bytes + row * w->row_bytes;
  if (w->row_bytes == mt_block_bytes(w->type)) {
    convert(out, src, w->type, NULL, count);
  } else {  // every other column, say: rare, as two projections that share stored rows are best read together
    for (size_t j = 0; j < count; j++) { convert(out + j, src + j * w->row_bytes, w->type, NULL, 1); }
  }
}

/// Elements [start, start + count) of one row of a matrix whose rows lie together; whole blocks of its type.
static void read_part(float *restrict out, const mt_matrix *w, size_t row, size_t start, size_t count) {
  convert(out, (const char *)w->base + row * w->row_bytes + mt_row_bytes(w->type, start), w->type, w->tables, count);
  if (w->scales.base) { apply_scales(out, w, row, start, count); }
}

/// One row of a matrix as f32.
static void read_row(float *restrict out, const mt_matrix *w, size_t row) {
  if (w->depth_bytes) {
    for (size_t i = 0; i < w->depth; i++) { read_column(out + i, w, i, row, 1); }
    return;
  }
  read_part(out, w, row, 0, w->depth);
}

#pragma STDC FP_CONTRACT DEFAULT
