// The weights' half of a product by digits in plain C: what scalar.c multiplies, and any form that has no words of its own for it.

#pragma STDC FP_CONTRACT OFF

/// The whole numbers of the eight blocks of a run at p, the factors of each half block, and what is taken from each product of a block.
static void plain_run(mt_element_type type, const uint8_t *p, int16_t *restrict w, float *restrict factors, float *restrict leasts) {
  float of_block[8] = {0};
  memset(leasts, 0, 8 * sizeof *leasts);
  switch (type) {
  case MT_Q4_K:
  case MT_Q5_K:
    group_scales(p + 4, half_at(p), half_at(p + 2), of_block, leasts);
    for (int i = 0; i < 256; i++) {
      const uint8_t byte = (type == MT_Q4_K ? p + 16 : p + 48)[i / 64 * 32 + i % 32];
      const int fifth = type == MT_Q4_K ? 0 : p[16 + i % 32] >> i / 32 & 1;
      w[i] = (int16_t)((i % 64 < 32 ? byte & 15 : byte >> 4) | fifth << 4);
    }
    break;
  case MT_Q6_K:
    for (int i = 0; i < 256; i++) {
      const uint8_t low = p[i / 128 * 64 + i % 64], high = p[128 + i / 128 * 32 + i % 32];
      w[i] = (int16_t)(((i % 128 < 64 ? low & 15 : low >> 4) | (high >> i % 128 / 32 * 2 & 3) << 4) - 32);
    }
    for (int g = 0; g < 16; g++) { factors[g] = half_at(p + 208) * (float)(int8_t)p[192 + g]; }
    return;
  case MT_IQ4_XS:
    for (int g = 0; g < 8; g++) {
      of_block[g] = half_at(p) * (float)iq4_xs_scale(p, g);
      for (int i = 0; i < 32; i++) { w[32 * g + i] = iq4_values[p[8 + 16 * g + i % 16] >> i / 16 * 4 & 15]; }
    }
    break;
  case MT_Q8_0:
    for (int g = 0; g < 8; g++, p += 34) {
      of_block[g] = half_at(p);
      for (int i = 0; i < 32; i++) { w[32 * g + i] = (int8_t)p[2 + i]; }
    }
    break;
  default:  // blocks whose halves of bytes are whole numbers or places in a table
    for (int g = 0; g < 8; g++, p += type == MT_MXFP4 ? 17 : 18) {
      of_block[g] = type == MT_MXFP4 ? half_power(*p) : half_at(p);
      for (int i = 0; i < 32; i++) {
        const int at = p[(type == MT_MXFP4 ? 1 : 2) + i % 16] >> i / 16 * 4 & 15;
        w[32 * g + i] = type == MT_Q4_0 ? (int16_t)(at - 8) : (type == MT_MXFP4 ? twice_e2m1 : iq4_values)[at];
      }
    }
  }
  for (int g = 0; g < 16; g++) { factors[g] = of_block[g / 2]; }
}

/// Eight blocks of a row, or those that are left.
typedef struct plain_blocks_read {
  int16_t w[256];
  float factors[16], leasts[8];
  size_t count;
} plain_blocks_read;

/// The blocks of a row from `start` on, a multiple of eight.
static plain_blocks_read plain_part(const mt_matrix *matrix, size_t row, size_t start) {
  const size_t run_bytes = digit_type_of(matrix->type).bytes, left = matrix->depth / 32 - start;
  plain_blocks_read part = {.count = left < digit_run ? left : digit_run};
  uint8_t stored[digit_run * 34] = {0};
  memcpy(stored, (const uint8_t *)matrix->base + row * matrix->row_bytes + start / digit_run * run_bytes, part.count * run_bytes / digit_run);
  plain_run(matrix->type, stored, part.w, part.factors, part.leasts);
  return part;
}

/// x . w[row], depth a multiple of 32.
static float plain_digit_dot(const mt_matrix *matrix, size_t row, const float *x) {
  const digit_type type = digit_type_of(matrix->type);
  float sums[2][8] = {{0}}, least_sums[8] = {0};
  for (size_t start = 0; start < matrix->depth / 32; start += digit_run) {
    const plain_blocks_read part = plain_part(matrix, row, start);
    for (size_t block = 0; block < part.count; block++) {
      int32_t q[32], total;
      const float unit = whole_numbers(q, &total, x + 32 * (start + block));
      for (int lane = 0; lane < 8; lane++) {
        int64_t sum = 0;
        for (int i = 4 * lane; i < 4 * lane + 4; i++) { sum += (int64_t)part.w[32 * block + (size_t)i] * q[i]; }
        float *at = &sums[block / type.apart % 2][lane];
        *at = fmaf((float)sum, part.factors[2 * block + (size_t)lane / 4] * unit, *at);
      }
      least_sums[block] = fmaf(part.leasts[block], (float)total * unit, least_sums[block]);
    }
  }
  for (int lane = 0; lane < 8; lane++) { sums[0][lane] = sums[0][lane] + sums[1][lane]; }
  return fold_eight(sums[0]) - fold_eight(least_sums);
}

static void plain_products(const mt_matmul_job *job, float (*dot)(const mt_matrix *matrix, size_t row, const float *x)) {
  for (size_t t = 0; t < job->tokens; t++) {
    const float *x = job->x + (job->x_index ? job->x_index[t] : t) * job->x_stride;
    for (size_t row = job->row_begin; row < job->row_end; row++) {
      const float sum = dot(&job->weights, row, x);
      finish(job, t, row, 1, 1, &sum);
    }
  }
}

static void plain_digits(const mt_matmul_job *job, void *scratch) {
  (void)scratch;
  plain_products(job, plain_digit_dot);
}

#pragma STDC FP_CONTRACT DEFAULT
