// The product by blocks in plain C: what the form with units for it is held to. digits_plain.h has the weights.

#pragma STDC FP_CONTRACT OFF

/// x . w[row], depth a multiple of 32.
static float plain_block_dot(const mt_matrix *matrix, size_t row, const float *x) {
  const block_type t = block_type_of(matrix->type);
  const int smaller = t.has_least ? t.less : 0;
  float sum = 0;
  for (size_t start = 0; start < matrix->depth / 32; start += digit_run) {
    const plain_blocks_read part = plain_part(matrix, row, start);
    for (size_t block = 0; block < part.count; block++) {
      int32_t q[32], total;
      const float unit = whole_numbers(q, &total, x + 32 * (start + block));
      float exact[2], of_halves[2] = {part.factors[2 * block], part.factors[2 * block + 1]};
      for (size_t half = 0; half < t.factors; half++) {
        int32_t above = 0, lowest = 0;
        for (size_t i = half * 16; i < 32 - (t.factors - 1 - half) * 16; i++) {
          const int32_t low = ((q[i] + 0x808080) & 255) - 128, weight = part.w[32 * block + i] - smaller;
          above += weight * ((q[i] - low) / 256);
          lowest += weight * low;
        }
        exact[half] = t.is_narrow ? (float)(256 * above + lowest) : fmaf((float)above, 256, (float)lowest);
      }
      sum = t.factors == 1 ? fmaf(exact[0], of_halves[0] * unit, sum) : fmaf(fmaf(exact[1], of_halves[1], exact[0] * of_halves[0]), unit, sum);
      if (t.has_least) { sum = fmaf(-(part.leasts[block] - (float)smaller * of_halves[0]), (float)total * unit, sum); }
    }
  }
  return sum;
}

static void plain_blocks(const mt_matmul_job *job, void *scratch) {
  (void)scratch;
  plain_products(job, plain_block_dot);
}

#pragma STDC FP_CONTRACT DEFAULT
