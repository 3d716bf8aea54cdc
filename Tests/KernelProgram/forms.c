// Do all forms of the kernels that a machine has agree? A program without a test library, for processors that are only emulated where it
// is built: tools/test-kernels.sh. Each form is held to the scalar one: conversions and sums by digits bit for bit, all else within rounding.
//
// Prints what differs; exit status 1 if anything does.
#include "kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 1;
static int failures, comparisons;

static uint32_t next(void) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(state >> 33);
}
static float number(void) { return (float)next() / 1073741824.0f - 1; }
static void numbers(float *out, size_t n) {
  for (size_t i = 0; i < n; i++) { out[i] = number() + number(); }
}

static uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

/// `tolerance` 0: the same bits. Else relative to the largest of the expected.
static void compare(const char *what, const char *form, int detail, const float *found, const float *wanted, size_t n, float tolerance) {
  float largest = 0;
  for (size_t i = 0; i < n; i++) { largest = fabsf(wanted[i]) > largest ? fabsf(wanted[i]) : largest; }
  comparisons++;
  for (size_t i = 0; i < n; i++) {
    const bool equal = tolerance == 0 ? memcmp(found + i, wanted + i, 4) == 0 : fabsf(found[i] - wanted[i]) <= tolerance * largest;
    if (equal) { continue; }
    printf("%s, %s, %d: number %zu is %.9g, expected %.9g\n", form, what, detail, i, found[i], wanted[i]);
    failures++;
    return;
  }
}

enum { rows = 13, most_depth = 2304, most_tokens = 9 };
static const mt_element_type types[] = {MT_F32,    MT_F16,    MT_BF16,   MT_Q4_0,  MT_Q4_1,  MT_Q5_0,  MT_Q5_1,  MT_Q8_0,
                                        MT_Q2_K,   MT_Q3_K,   MT_Q4_K,   MT_Q5_K,  MT_Q6_K,  MT_IQ4_NL, MT_IQ4_XS, MT_TQ1_0,
                                        MT_TQ2_0,  MT_MXFP4,  MT_NVFP4,  MT_Q1_0,  MT_Q2_0,  MT_F8_E4M3, MT_F8_E5M2};
static uint8_t stored[rows * most_depth * 4 + 64];
static float x[most_tokens * most_depth], wanted[4 * most_tokens * most_depth], found[4 * most_tokens * most_depth];
static void *scratch;

/// Random blocks; the bytes of scales and halves stay below those of infinities.
static void fill(mt_element_type type, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) { stored[i] = (uint8_t)(next() % 120); }
  for (size_t i = 0; type == MT_F32 && i + 4 <= bytes; i += 4) {
    const float value = number();
    memcpy(stored + i, &value, 4);
  }
}

static void products(const mt_kernels *form, const char *name, const mt_kernels *scalar, mt_element_type type) {
  static const size_t depths[] = {256, 768, 2304};
  for (size_t d = 0; d < 3; d++) {
    const size_t depth = depths[d], row_bytes = mt_row_bytes(type, depth);
    fill(type, rows * row_bytes);
    const mt_matrix w = {.base = stored, .row_bytes = row_bytes, .rows = rows, .depth = depth, .type = type};
    for (size_t row = 0; row < rows; row += 5) {
      scalar->read_row(wanted, &w, row);
      form->read_row(found, &w, row);
      compare("read_row", name, type, found, wanted, depth, 0);
    }
    for (size_t tokens = 1; tokens <= most_tokens; tokens += 4) {
      numbers(x, tokens * depth);
      x[depth / 2] *= 1000;
      mt_matmul_job job = {.out_stride = rows, .x = x, .x_stride = depth, .tokens = tokens, .weights = w, .row_end = rows};
      job.out = wanted, scalar->matmul(&job, scratch);
      job.out = found, form->matmul(&job, scratch);
      compare("matmul", name, type, found, wanted, tokens * rows, 2e-6f);
      if (!mt_has_digits(&w)) { continue; }
      job.out = wanted, scalar->digits(&job, scratch);
      job.out = found, form->digits(&job, scratch);
      compare("digits", name, type, found, wanted, tokens * rows, 0);
      if (!form->blocks) { continue; }
      job.out = wanted, scalar->blocks(&job, scratch);
      job.out = found, form->blocks(&job, scratch);
      compare("blocks", name, type, found, wanted, tokens * rows, 0);
    }
  }
}

/// Many tokens at once and each by itself: the same bits, whether rows or inputs lie together.
static void many_tokens(const mt_kernels *form, const char *name, mt_element_type type) {
  enum { many = 61, wide = 77, deep = 2048 };
  static const size_t depths[] = {256, 597, 2048};  // rows of the last are copied where they are f32
  static float many_x[many * deep], together[many * wide], alone[many * wide];
  static uint8_t weights[wide * deep * 4];
  const size_t bytes = mt_block_bytes(type);
  for (size_t i = 0; i < sizeof weights; i++) { weights[i] = (uint8_t)(next() % 120); }
  for (size_t i = 0; type == MT_F32 && i + 4 <= sizeof weights; i += 4) {
    const float value = number();
    memcpy(weights + i, &value, 4);
  }
  numbers(many_x, many * deep);
  for (size_t d = 0; d < sizeof depths / sizeof *depths; d++) {
    const size_t depth = depths[d];
    if (depth == 2048 && type != MT_F32) { continue; }
    for (int columns = 0; columns < 2; columns++) {
      const bool plain = type == MT_F32 || type == MT_F16 || type == MT_BF16;
      if (!plain && (columns || depth % 256)) { continue; }
      mt_matrix w = {.base = weights, .row_bytes = mt_row_bytes(type, depth), .rows = wide, .depth = depth, .type = type};
      if (columns) { w.row_bytes = bytes, w.depth_bytes = wide * bytes; }
      for (size_t tokens = 15; tokens <= many; tokens += 2) {
        mt_matmul_job job = {.out = together, .out_stride = wide, .x = many_x, .x_stride = depth, .tokens = tokens, .weights = w, .row_end = wide};
        form->matmul(&job, scratch);
        job.tokens = 1;
        for (size_t t = 0; t < tokens; t++) {
          job.x = many_x + t * depth, job.out = alone + t * wide;
          form->matmul(&job, scratch);
        }
        compare(columns ? "many tokens, inputs as rows" : "many tokens", name, type, together, alone, tokens * wide, 0);
      }
    }
  }
}

/// Blocks of any bits, but scales as files have them.
static void fill_blocks(uint8_t *weights, mt_element_type type, size_t bytes) {
  const size_t block = mt_block_bytes(type);
  for (size_t i = 0; i < bytes; i++) { weights[i] = (uint8_t)(next() >> 8); }
  for (uint8_t *p = weights; p + block <= weights + bytes; p += block) {
    const uint16_t scale = (uint16_t)(0x1400 + next() % 0x0c00), least = (uint16_t)(0x2100 + next() % 0x0c00);
    const float value = number();
    const uint16_t half = (uint16_t)(bits_of(value) >> 16);
    switch (type) {
    case MT_F32: memcpy(p, &value, 4); break;
    case MT_F16: p[1] = (uint8_t)((p[1] & 0x83) | (8 + next() % 7) << 2); break;
    case MT_BF16: memcpy(p, &half, 2); break;
    case MT_F8_E4M3:
    case MT_F8_E5M2: p[0] = (uint8_t)((p[0] & 0x87) | (5 + next() % 4) << 3); break;
    case MT_MXFP4: p[0] = (uint8_t)(118 + next() % 4); break;
    case MT_Q6_K: memcpy(p + 208, &scale, 2); break;
    case MT_Q4_1:
    case MT_Q4_K:
    case MT_Q5_K: memcpy(p + 2, &least, 2);  // and as the others
    default: memcpy(p, &scale, 2);
    }
  }
}

static const mt_element_type tile_types[] = {MT_F32,  MT_F16,  MT_BF16,   MT_F8_E4M3, MT_Q4_0,  MT_Q4_1,
                                             MT_Q8_0, MT_Q4_K, MT_Q5_K, MT_Q6_K, MT_IQ4_NL, MT_IQ4_XS,  MT_MXFP4};

typedef void (*product)(const mt_matmul_job *job, void *scratch);

/// Sums by tiles or blocks near those in f32; of each token alone, of other row ranges, gathered and scattered, the same bits.
static void other_sums(const mt_kernels *form, const char *name, product product, mt_element_type type) {
  enum { high = 45, deep = 1280, many = 40 };
  static float tokens_x[many * deep], laid_x[many * deep], scaled[many], bias[high], together[many * high], apart[many * high], in_f32[many * high];
  static const size_t depths[] = {256, 1280, 32, 1, 31, 70, 95}, counts[] = {1, 16, 17, 40};
  numbers(scaled, many), numbers(bias, high);
  for (size_t d = 0; d < sizeof depths / sizeof *depths; d++) {
    const size_t depth = depths[d];
    if (depth % mt_block_elements(type)) { continue; }
    mt_matrix w = {.row_bytes = mt_row_bytes(type, depth) + d % 3, .rows = high, .depth = depth, .type = type};
    uint8_t *weights = malloc(high * w.row_bytes);  // nothing behind it
    w.base = weights;
    for (size_t r = 0; r < high; r++) { fill_blocks(weights + r * w.row_bytes, type, mt_row_bytes(type, depth)); }
    numbers(tokens_x, many * depth);
    for (size_t c = 0; c < 4; c++) {
      const size_t count = counts[c];
      mt_matmul_job job = {.out = in_f32, .out_stride = high, .x = tokens_x, .x_stride = depth, .tokens = count, .weights = w, .row_end = high};
      job.bias = bias, job.scale = scaled;
      form->matmul(&job, scratch);
      job.out = together, product(&job, scratch);
      compare("other sums", name, type, together, in_f32, count * high, 2e-6f);
      memset(apart, 0, sizeof apart);
      for (size_t t = 0; t < count; t += 5) {
        for (size_t row = 0; row < high; row += 20) {
          mt_matmul_job one = job;
          const uint32_t place = (uint32_t)t;
          one.x_index = one.out_index = &place, one.scale = scaled + t, one.accumulate = true, one.tokens = 1, one.out = apart;
          one.row_begin = row, one.row_end = row + 20 < high ? row + 20 : high;
          product(&one, scratch);
        }
        compare("other sums of one token", name, type, apart + t * high, together + t * high, high, 0);
        mt_matmul_job again = job;
        again.out = apart, again.is_laid = true;
        job.out = together, product(&job, scratch), product(&again, scratch);
        compare("other sums of tokens laid out", name, type, apart, together, count * high, 0);
        if (product == form->blocks && form->lay && depth % 256 == 0) {
          for (size_t i = 0; i < count; i++) { form->lay(memcpy(laid_x + i * depth, tokens_x + i * depth, depth * sizeof *laid_x), &w); }
          again.x = laid_x, again.x_is_laid = true, again.is_laid = false;
          product(&again, scratch);
          compare("other sums of tokens laid out in place", name, type, apart, together, count * high, 0);
        }
        memset(apart, 0, sizeof apart);
      }
    }
    free(weights);
  }
}

/// Infinities, no numbers and the ends of the range: what sums in f32 make of them, and of other rows nothing.
static void tile_extremes(const mt_kernels *form, const char *name) {
  enum { high = 3, deep = 64, count = 6 };
  static const float values[count] = {0, 0x1p-140f, 0x1p120f, INFINITY, NAN, 1};
  uint16_t weights[high * deep];
  float some_x[count * deep], out[count * high], in_f32[count * high];
  for (size_t i = 0; i < high * deep; i++) { weights[i] = (uint16_t)(bits_of(number() + 1.25f) >> 16); }
  weights[deep + 9] = 0x7f80;
  for (size_t i = 0; i < count * deep; i++) { some_x[i] = 1; }
  for (size_t t = 0; t < count; t++) {
    for (size_t i = 0; i < (t > 2 ? 1 : deep); i++) { some_x[t * deep + i] = values[t]; }
  }
  const mt_matrix w = {.base = weights, .row_bytes = deep * 2, .rows = high, .depth = deep, .type = MT_BF16};
  mt_matmul_job job = {.out = in_f32, .out_stride = high, .x = some_x, .x_stride = deep, .tokens = count, .weights = w, .row_end = high};
  form->matmul(&job, scratch);
  job.out = out, form->tiles(&job, scratch);
  for (size_t i = 0; i < count * high; i++) {
    const bool both_none = isnan(out[i]) && isnan(in_f32[i]);
    if (!both_none && isinf(in_f32[i])) { compare("extremes", name, (int)i, out + i, in_f32 + i, 1, 0); }
    if (!both_none && !isinf(in_f32[i])) { compare("extremes", name, (int)i, out + i, in_f32 + i, 1, 2e-6f); }
  }
}

/// Errors against sums in double precision, beside those of sums in f32: the largest ratio of their root mean squares. MOETOP_ERRORS in the
/// environment prints them all.
static double errors(const mt_kernels *form, const char *name, product product, mt_element_type type) {
  enum { high = 64, deep = 2048, count = 32 };
  static uint8_t weights[high * deep * 4];
  static float some_x[count * deep], row[deep], others[count * high], in_f32[count * high];
  const mt_matrix w = {.base = weights, .row_bytes = mt_row_bytes(type, deep), .rows = high, .depth = deep, .type = type};
  fill_blocks(weights, type, high * w.row_bytes);
  double worst = 0;
  for (int outlier = 1; outlier <= 1000; outlier = outlier == 1 ? 30 : outlier == 30 ? 1000 : 1001) {
    numbers(some_x, count * deep);
    for (size_t i = 5; i < count * deep; i += 97) { some_x[i] *= (float)outlier; }
    mt_matmul_job job = {.out = in_f32, .out_stride = high, .x = some_x, .x_stride = deep, .tokens = count, .weights = w, .row_end = high};
    form->matmul(&job, scratch);
    job.out = others, product(&job, scratch);
    double of_others = 0, of_f32 = 0, size = 0;
    for (size_t r = 0; r < high; r++) {
      form->read_row(row, &w, r);
      for (size_t t = 0; t < count; t++) {
        double sum = 0;
        for (size_t i = 0; i < deep; i++) { sum += (double)row[i] * (double)some_x[t * deep + i]; }
        of_others += (others[t * high + r] - sum) * (others[t * high + r] - sum);
        of_f32 += (in_f32[t * high + r] - sum) * (in_f32[t * high + r] - sum);
        size += sum * sum;
      }
    }
    const double ratio = sqrt(of_others / of_f32);
    if (getenv("MOETOP_ERRORS")) {
      printf("type %d, outliers %d: %.2e, %.2e in f32\n", type, outlier, sqrt(of_others / size), sqrt(of_f32 / size));
    }
    if (!(ratio <= 2)) { failures++, printf("%s, errors of other sums, %d: %.2f of those in f32\n", name, type, ratio); }
    worst = ratio > worst ? ratio : worst;
  }
  return worst;
}

static void row_functions(const mt_kernels *form, const char *name, const mt_kernels *scalar) {
  static float weight[most_depth], bias[most_depth];
  numbers(weight, most_depth);
  numbers(bias, most_depth);
  for (size_t n = 1; n <= 300; n += 13) {
    numbers(x, 3 * n);
    scalar->rms_norm(wanted, n, x, n, 3, n, weight, 1, 1e-5f), form->rms_norm(found, n, x, n, 3, n, weight, 1, 1e-5f);
    compare("rms_norm", name, (int)n, found, wanted, 3 * n, 2e-6f);
    scalar->layer_norm(wanted, n, x, n, 3, n, weight, bias, 1e-2f), form->layer_norm(found, n, x, n, 3, n, weight, bias, 1e-2f);
    compare("layer_norm", name, (int)n, found, wanted, 3 * n, 4e-6f);
    for (int kind = MT_SILU; kind <= MT_SILU_TOPPED; kind++) {
      scalar->activate(wanted, x, x + n, n, (mt_activation)kind, 0.7f), form->activate(found, x, x + n, n, (mt_activation)kind, 0.7f);
      compare("activate", name, kind, found, wanted, n, 4e-6f);
    }
    memcpy(wanted, x, 4 * n), memcpy(found, x, 4 * n);
    scalar->softmax(wanted, n, 1, n), form->softmax(found, n, 1, n);
    compare("softmax", name, (int)n, found, wanted, n, 2e-6f);
    mt_logits_summary a, b;
    scalar->logits_summary(&a, x, n, n / 2), form->logits_summary(&b, x, n, n / 2);
    compare("logits_summary", name, (int)n, &b.max, &a.max, 4, 4e-6f);
    if (a.argmax != b.argmax) { failures++, printf("%s, argmax of %zu: %zu, expected %zu\n", name, n, b.argmax, a.argmax); }
    scalar->exp(wanted, x, n), form->exp(found, x, n);
    compare("exp", name, (int)n, found, wanted, n, 1e-6f);
    scalar->modulate(wanted, x, x + n, x + 2 * n, n), form->modulate(found, x, x + n, x + 2 * n, n);
    compare("modulate", name, (int)n, found, wanted, n, 1e-6f);
    if (n % 2 == 0) {
      memcpy(wanted, x, 4 * n), memcpy(found, x, 4 * n);
      scalar->rope(wanted, 1, n, n, weight, bias, n % 4 == 0), form->rope(found, 1, n, n, weight, bias, n % 4 == 0);
      compare("rope", name, (int)n, found, wanted, n, 1e-6f);
    }
  }
}

static void attention(const mt_kernels *form, const char *name, const mt_kernels *scalar) {
  static float keys[150 * 64], values[150 * 64], queries[20 * 4 * 64];
  numbers(keys, 150 * 64), numbers(values, 150 * 64), numbers(queries, 20 * 4 * 64);
  for (int variant = 0; variant < 4; variant++) {
    mt_attention_job job = {.out_token_stride = 256, .out_head_stride = 64, .q = queries, .q_token_stride = 256, .q_head_stride = 64,
                            .k = keys, .k_stride = 64, .v = values, .v_stride = 64, .head_dim = 64, .value_dim = 64, .tokens = 20,
                            .group = 4, .keys = 150, .first_position = 130, .causal = variant != 1, .window = variant == 2 ? 40 : 0,
                            .scale = 0.125f, .softcap = variant == 3 ? 5 : 0, .sinks = variant == 2 ? queries : NULL};
    job.out = wanted, scalar->attention(&job, scratch);
    job.out = found, form->attention(&job, scratch);
    compare("attention", name, variant, found, wanted, 20 * 256, 4e-6f);
  }
}

/// A name as an argument: this form alone.
int main(int count, char **words) {
  const size_t need = mt_matmul_scratch_bytes(most_depth), more = mt_attention_scratch_bytes(150);
  scratch = aligned_alloc(64, need > more ? need : more);
  const mt_kernels *scalar = mt_kernels_at(MT_SCALAR);
  for (int level = MT_SCALAR + 1; level <= MT_AVX512AMX; level++) {
    const mt_kernels *form = mt_kernels_at((mt_level)level);
    const char *name = mt_simd_level_name((mt_level)level);
    if (!form || (count > 1 && strcmp(words[1], name) != 0)) { continue; }
    const int before = comparisons, bad = failures;
    // With panels and, where the form can do without, by tiles alone.
    for (int alone = 0; alone <= (form->panels && form->panels->unless_tiles_suffice); alone++) {
      mt_assume_zen_4(alone);
      for (size_t i = 0; i < sizeof types / sizeof *types; i++) { products(form, name, scalar, types[i]), many_tokens(form, name, types[i]); }
    }
    row_functions(form, name, scalar);
    attention(form, name, scalar);
    for (int by_tiles = 0; by_tiles < 2; by_tiles++) {
      const product product = by_tiles ? form->tiles : form->blocks;
      double ratio = 0;
      for (size_t i = 0; product && i < sizeof tile_types / sizeof *tile_types; i++) {
        const mt_matrix of_type = {.type = tile_types[i]};
        if (!by_tiles && !mt_has_digits(&of_type)) { continue; }
        other_sums(form, name, product, tile_types[i]);
        const double found_ratio = errors(form, name, product, tile_types[i]);
        ratio = found_ratio > ratio ? found_ratio : ratio;
      }
      if (product) { printf("%s: errors of %s are up to %.2f of those in f32\n", name, by_tiles ? "tiles" : "blocks", ratio); }
    }
    if (form->tiles) { tile_extremes(form, name); }
    printf("%s: %d comparisons, %d differ\n", name, comparisons - before, failures - bad);
  }
  return failures > 0;
}
