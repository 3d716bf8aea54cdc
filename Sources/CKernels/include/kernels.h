// CKernels: the arithmetic of a forward pass, as pure functions of pointers and sizes.
//
// Who may call what, in one page:
//
//   mt_matmul          out[t, r] (+)= scale[t] * (sum_i x[t, i] * W[r, i] + bias[r]) for a range of rows r;
//                      token rows may be gathered (x_index) and results scattered (out_index), so that one
//                      call serves a projection, an expert's tokens, and the weighted sum of expert outputs
//   mt_attention       one KV head against a block of query rows: scores, softmax, weighted sum of values
//   mt_rms_norm, mt_layer_norm, mt_rope, mt_activate, mt_softmax, mt_logits_stats, mt_convert, ...
//                      row functions
//
// Every function exists in several forms (scalar, AVX2, AVX-512, NEON; some with integer units of their own), gathered in one table a form, `mt_kernels`.
// The free functions call the table chosen at start; tests call each table directly through `mt_kernels_at`.
//
// What holds within one form, and is tested (of sums in f32; the others are below):
//   - An output element depends only on its own token row, its own weight row (and its own keys and values). It does
//     not depend on the number of tokens in the call, on the row range, on gather or scatter lists, or on threads.
//     Prefill and decode therefore agree bit for bit where they are summed alike.
//   - A dot product keeps one partial sum a lane (16 lanes in scalar and AVX-512, 8 in AVX2, 4 in NEON), adds to it once
//     every `lanes` elements, in rising order (fused; scalar: multiply, then add), and folds the lanes in one fixed order.
//   - bf16 and f16 weights are widened to f32 exactly; there is no rounding but that of f32 accumulation. Quantised weights
//     become the f32 numbers that their format defines, the same bits in every form, and only then take part in a product;
//     activations are never quantised. A product with a quantised matrix has the bits of one with that f32 matrix, and so has one
//     with a matrix whose inputs are rows in the file.
// Between forms the last bits differ (fused or not, number of lanes), but for sums by digits and by blocks.
//
// Sums by digits (`mt_sums`), for quantised types whose weights are whole numbers w times a factor a for each block of 32 (or 16), less,
// where the type has it, a least l: Q4_0, Q8_0, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS, MXFP4. Nothing is widened, and of an activation only
// what is below 2^-23 of the largest of its block is rounded away:
//   - A block of 32 activations becomes whole numbers q = x / u, rounded to even. The unit u is the power of two that brings the largest
//     to 2^22 ... 2^23 (half of that where it would exceed 8355711 = three signed digits of 8 bits), at least 2^-126. A block with a number
//     that is not finite has u = NaN.
//   - Lane j of a block, j = 0 ... 7, is the exact whole number S = sum of w q over its elements 4 j ... 4 j + 3, rounded once to f32; the units
//     of a machine may take q in pieces (digits) as they like, since S is exact.
//   - Lane j of the blocks with even numbers is a chain of fused additions of S times f32(a u), in rising order, and so is that of the blocks
//     with odd numbers; of Q4_K and Q5_K that of the blocks 0, 1, 4, 5, ... and that of 2, 3, 6, 7, ..., as halves of the same bytes are two
//     blocks. So is, for each place of a block among eight, that of f32(l) times f32(f32(sum of q) u).
//   - The result is the sum of the lanes (first + second chain; then j + 4, j + 2, j + 1) less that of the leasts, folded alike.
// So these sums have the same bits in every form, on every machine, for any number of tokens; those in f32 have other last bits.
//
// Sums by blocks (`mt_sums`), of the same types, in forms with fast products of bytes (`mt_kernels.blocks`): for tokens that are read. Whole
// numbers q and units u are those of sums by digits.
//   - Of a block, or of each half that has a factor of its own, the whole numbers A = sum of w above(q) and L = sum of w lowest(q) are exact,
//     q = 256 above + lowest with a lowest of -128 ... 127. S = fma(f32(A), 256, f32(L)); where weights have four bits (Q4_0, Q4_K), S is
//     256 A + L rounded once. Q4_K's w are taken 8 smaller, and its leasts are f32(l - 8 a) instead.
//   - The blocks are one chain in rising order: sum = fma(S, f32(a u), sum), or with two halves sum = fma(fma(S', a', f32(S a)), u, sum); a
//     least follows its block: sum = fma(-l, f32(f32(sum of q) u), sum).
// An output element has the same bits for any number of tokens and in every form that has them; other last bits than by digits and in f32.
//
// Sums by tiles (`mt_sums`), in forms with a matrix unit (`mt_kernels.tiles`), of matrices whose rows lie together. The unit multiplies bf16
// numbers exactly and adds products in f32; digits, products and sums below 2^-126 it counts as zero.
//   - A token row is multiplied by the power of two that brings its largest number to 1 ... 2, and its results by the reciprocal, so that what
//     counts as zero is that small beside the row. An activation then is three bf16 digits, which sum to it exactly.
//   - bf16 weights are multiplied as they lie. Other numbers are digits too, two of f16 and three of all else; of a product what is below 2^-26
//     of it is left out.
//   - Weights that are whole numbers w times a factor a, less a least l, as above: a times the sum of a block's w x, less l times the sum of x,
//     fused, in rising order.
//   - A sum that is infinite or no number is that in f32 instead.
// An output element depends on its own rows only here too, for any number of tokens; its last bits are the unit's, and others than in f32.
//
// No function allocates, keeps state, or checks its arguments: sizes are the caller's promise. Pointers to f32 are
// aligned to 4 bytes; weights may have any alignment. `scratch` is the caller's, aligned to 64 bytes, one a thread.

#ifndef MOETOP_KERNELS_H
#define MOETOP_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma clang assume_nonnull begin

// ---------------------------------------------------------------------------------------------------------------
// Types

/// How a weight is stored. The ids are those of GGUF where it has the type. Layouts are described in body_dequant.h.
typedef enum mt_element_type {
  MT_F32 = 0,
  MT_F16 = 1,
  MT_Q4_0 = 2,
  MT_Q4_1 = 3,
  MT_Q5_0 = 6,
  MT_Q5_1 = 7,
  MT_Q8_0 = 8,
  MT_Q2_K = 10,
  MT_Q3_K = 11,
  MT_Q4_K = 12,
  MT_Q5_K = 13,
  MT_Q6_K = 14,
  MT_IQ2_XXS = 16,
  MT_IQ2_XS = 17,
  MT_IQ3_XXS = 18,
  MT_IQ1_S = 19,
  MT_IQ4_NL = 20,
  MT_IQ3_S = 21,
  MT_IQ2_S = 22,
  MT_IQ4_XS = 23,
  MT_F64 = 28,
  MT_IQ1_M = 29,
  MT_BF16 = 30,
  MT_TQ1_0 = 34,
  MT_TQ2_0 = 35,
  MT_MXFP4 = 39,
  MT_NVFP4 = 40,
  MT_Q1_0 = 41,
  MT_Q2_0 = 42,
  MT_F8_E4M3 = 100,
  MT_F8_E5M2 = 101,
  MT_F8_E8M0 = 102,
  MT_F4_E2M1 = 103,  // two elements a byte, the first in the low bits
  MT_U4B8 = 104,     // 4-bit whole numbers, stored 8 too large; two a byte, the first in the low bits
} mt_element_type;

/// What types whose numbers are entries of tables look them up in: mt_lookup_tables_bytes() bytes, any alignment, one form for all.
typedef struct mt_lookup_tables mt_lookup_tables;

/// A form of the kernels. Higher is preferred where the machine has it, but for tiles, which are only taken when asked for.
typedef enum mt_level {
  MT_SCALAR = 0,
  MT_NEON = 1,
  MT_AVX2 = 2,
  MT_AVXVNNI = 3,
  MT_AVX512 = 4,
  MT_AVX512VNNI = 5,
  MT_NEONDOT = 6,
  MT_AVX512AMX = 7,
} mt_level;

/// Scales that a file keeps beside its elements: row r, element i of the matrix is multiplied by the scale in row
/// (first_row + r * row_step) / rows, column i / columns. `base` NULL: there are none.
typedef struct mt_scales {
  const void *_Nullable base;
  size_t row_bytes;
  mt_element_type type;  // MT_F32, MT_BF16, MT_F16 or MT_F8_E8M0
  size_t rows, columns;
  size_t first_row, row_step;
} mt_scales;

/// Weights as they lie in the mapped file: [rows, depth], row r at `base + r * row_bytes`, its elements one behind the other.
///
/// `depth_bytes` not 0: the file has inputs as rows, and the elements of a row lie so many bytes apart; types of single elements
/// only, and no scales. `tables` is for types that need them, and then not NULL.
typedef struct mt_matrix {
  const void *base;
  size_t row_bytes;
  size_t rows;
  size_t depth;
  mt_element_type type;
  mt_scales scales;
  size_t depth_bytes;
  const mt_lookup_tables *_Nullable tables;
} mt_matrix;

/// How a product adds up. By digits where the matrix allows it (`mt_has_digits`), by tiles (or else by blocks) where form and matrix do, else in
/// f32 all the same.
typedef enum mt_sums { MT_SUMS_F32 = 0, MT_SUMS_DIGITS = 1, MT_SUMS_TILES = 2 } mt_sums;

/// One product; all pointers but `out`, `x` and `weights.base` may be NULL.
typedef struct mt_matmul_job {
  float *out;                             // [tokens or more, out_stride]; column r belongs to weight row r
  size_t out_stride;                      // in floats
  const uint32_t *_Nullable out_index;    // [tokens] row of `out` for each token; NULL: token t writes row t
  const float *x;                         // [tokens or more, x_stride]
  size_t x_stride;                        // in floats
  const uint32_t *_Nullable x_index;      // [tokens] row of `x` for each token; NULL: token t reads row t
  size_t tokens;
  mt_matrix weights;
  size_t row_begin, row_end;              // weight rows to compute: the split over threads
  const float *_Nullable bias;            // [weights.rows], added before the scale
  const float *_Nullable scale;           // [tokens], multiplies the result
  bool accumulate;                        // out += instead of out =; an out row may appear once in a call
  mt_sums sums;
  bool is_laid;                           // the call before, with this scratch, was of these tokens and a matrix of this depth and type
  bool x_is_laid;                         // rows of x are what `mt_lay` made of them
} mt_matmul_job;

/// One KV head against the query heads that share it. Query row (t, h) sits at q + t * q_token_stride + h * q_head_stride.
///
/// Token t sees key j when j < keys, and, if causal, j <= first_position + t, and, if window > 0,
/// j + window > first_position + t. A token that sees no key gets zeros.
typedef struct mt_attention_job {
  float *out;                             // [tokens, group, value_dim] by the two strides
  size_t out_token_stride, out_head_stride;
  const float *q;                         // [tokens, group, head_dim] by the two strides
  size_t q_token_stride, q_head_stride;
  const float *k;                         // [keys, head_dim], stride k_stride
  size_t k_stride;
  const float *v;                         // [keys, value_dim], stride v_stride
  size_t v_stride;
  size_t head_dim, value_dim;
  size_t tokens, group, keys;
  size_t first_position;                  // index among the keys of the first token's own key
  bool causal;
  size_t window;                          // 0: unlimited
  float scale;                            // usually 1 / sqrt(head_dim)
  float softcap;                          // 0: none; otherwise s = softcap * tanh(s / softcap) after scaling
  const float *_Nullable sinks;           // [group] extra logit a query head in the denominator, or NULL
  // Added to the score of key j by its distance from the token: distance_bias[h * bias_head_stride + j - (first_position + t)],
  // distances below zero before the pointer; after softcap; NULL: nothing
  const float *_Nullable distance_bias;
  size_t bias_head_stride;
} mt_attention_job;

/// Activation of a gated or plain MLP. `u` is the gate projection, `v` the up projection (1 where there is none).
typedef enum mt_activation {
  MT_SILU = 0,          // u * sigmoid(u) * v
  MT_GELU_TANH = 1,     // 0.5 u (1 + tanh(sqrt(2/pi) (u + 0.044715 u^3))) * v
  MT_GELU_ERF = 2,      // 0.5 u (1 + erf(u / sqrt 2)) * v
  MT_RELU = 3,          // max(u, 0) * v
  MT_RELU_SQUARED = 4,  // max(u, 0)^2 * v
  MT_SWIGLU_CLAMPED = 5, // gpt-oss: u = min(u, limit), v = clamp(v, +-limit): u * sigmoid(1.702 u) * (v + 1)
  MT_SILU_CLAMPED = 6,  // DeepSeek-V4: u = min(u, limit), v = clamp(v, +-limit): u * sigmoid(u) * v
  MT_SILU_TOPPED = 7    // Step: min(u * sigmoid(u), limit) * clamp(v, +-limit)
} mt_activation;

/// What a row of logits says. `surprisal` is lse - logits[target], NaN when the target is out of range. A row with a NaN or +infinity
/// has no distribution: its four numbers are NaN, whatever vector maxima would make of them.
typedef struct mt_logits_summary {
  float max, log_sum_exp, entropy, surprisal;
  size_t argmax;        // lowest index among equals; NaN never wins
  int is_finite;        // every logit is
} mt_logits_summary;

/// Scratch for mt_matmul at this depth, in bytes (multiple of 64).
size_t mt_matmul_scratch_bytes(size_t depth);
/// Scratch for mt_attention over so many keys, in bytes (multiple of 64).
size_t mt_attention_scratch_bytes(size_t keys);
/// Whether products with the matrix can be summed by digits.
bool mt_has_digits(const mt_matrix *matrix);
/// Elements and bytes of one block of a type: 1 element for plain types; 0 and 0 for a type unknown here.
size_t mt_block_elements(mt_element_type type);
size_t mt_block_bytes(mt_element_type type);
/// Bytes of one stored row of `depth` elements, a multiple of the block; 0 for a type unknown here.
size_t mt_row_bytes(mt_element_type type, size_t depth);
/// Whether numbers of a type are looked up in tables, and the bytes of all these.
bool mt_needs_tables(mt_element_type type);
size_t mt_lookup_tables_bytes(void);

// ---------------------------------------------------------------------------------------------------------------
// The table of one form

/// Above how many tokens the panels of a form repay their making, by what is stored. The bits are the same with and without.
typedef struct mt_panel_limits {
  size_t halves, floats, others;
  bool unless_tiles_suffice;  // on a processor whose wide tiles are as fast, never
} mt_panel_limits;

typedef struct mt_kernels {
  mt_level level;
  const mt_panel_limits *_Nullable panels;  // NULL: none
  void (*matmul)(const mt_matmul_job *job, void *scratch);  // in f32, whatever `sums` says
  void (*digits)(const mt_matmul_job *job, void *scratch);  // by digits; the matrix has them
  void (*_Nullable blocks)(const mt_matmul_job *job, void *scratch);  // by blocks, where they are fast; the matrix has digits
  void (*_Nullable lay)(float *row, const mt_matrix *w);  // for `blocks`, where these lay tokens out
  void (*_Nullable tiles)(const mt_matmul_job *job, void *scratch);  // by tiles, where there are any; rows lie together
  void (*attention)(const mt_attention_job *job, void *scratch);
  void (*convert)(float *restrict out, const void *restrict src, mt_element_type type, const mt_lookup_tables *_Nullable tables, size_t n);
  void (*read_row)(float *restrict out, const mt_matrix *w, size_t row);
  void (*rms_norm)(float *out, size_t out_stride, const float *x, size_t x_stride, size_t rows, size_t n,
                   const float *_Nullable weight, float weight_offset, float eps);
  void (*layer_norm)(float *out, size_t out_stride, const float *x, size_t x_stride, size_t rows, size_t n,
                     const float *_Nullable weight, const float *_Nullable bias, float eps);
  void (*rope)(float *x, size_t heads, size_t head_stride, size_t rotary_dim, const float *cosines, const float *sines,
               bool interleaved);
  void (*activate)(float *out, const float *u, const float *_Nullable v, size_t n, mt_activation kind, float limit);
  void (*softmax)(float *x, size_t stride, size_t rows, size_t n);
  void (*logits_summary)(mt_logits_summary *out, const float *logits, size_t n, size_t target);
  void (*exp)(float *out, const float *x, size_t n);
  void (*sigmoid)(float *out, const float *x, size_t n);
  void (*add)(float *out, const float *a, const float *b, size_t n);
  void (*multiply)(float *out, const float *a, const float *b, size_t n);
  void (*scale)(float *out, const float *x, float factor, size_t n);
  void (*axpy)(float *out, const float *x, float factor, size_t n);
  void (*modulate)(float *out, const float *x, const float *scale, const float *shift, size_t n);
} mt_kernels;

/// The best level this machine has, without tiles: no hardware has run them yet. They are there where a small product by them is exact.
mt_level mt_best_level(void);
/// The table of a level, or NULL where this machine cannot run it.
const mt_kernels *_Nullable mt_kernels_at(mt_level level);
/// Makes `level` the one the free functions below use, or the best one if the machine lacks it; answers the one taken.
/// Idempotent. To be called before work starts; without a call the best level is used.
mt_level mt_kernels_init(mt_level level);
/// The level in use, and its name: "scalar", "neon", "neondot", "avx2", "avxvnni", "avx512", "avx512vnni", "amx".
mt_level mt_simd_level(void);
const char *mt_simd_level_name(mt_level level);

// ---------------------------------------------------------------------------------------------------------------
// The free functions: the table in use

/// Whether weights of a type become panels of f32, of at most 32 rows, for so many tokens: row ranges should then be whole panels.
bool mt_takes_panels(mt_element_type type, size_t tokens);

/// For tests: takes the processor for a Zen 4 or not, whatever it is.
void mt_assume_zen_4(bool is_so);

/// Whether tokens that are read are laid out first, for tiles or blocks: row ranges should be whole panels of 32 rows, and a call of many, as
/// laying out its tokens costs as much as some of them.
bool mt_lays_tokens(void);

/// Whether a product by blocks with the matrix can find its tokens laid out, which otherwise each call does for itself.
bool mt_can_lay(const mt_matrix *w);

/// A row of floats [depth] becomes what products by blocks with such matrices (of this type and depth) take for it, in its place.
/// - Precondition: mt_can_lay(w)
void mt_lay(float *row, const mt_matrix *w);

/// The product described by the job; `scratch` holds mt_matmul_scratch_bytes(job->weights.depth).
void mt_matmul(const mt_matmul_job *job, void *scratch);

/// The attention described by the job; `scratch` holds mt_attention_scratch_bytes(job->keys).
void mt_attention(const mt_attention_job *job, void *scratch);

/// out[depth] = one row of the matrix as f32, its scales included: an embedding.
void mt_read_row(float *restrict out, const mt_matrix *w, size_t row);

/// out[n] = src[n] widened to f32, n a multiple of the type's block: a norm weight. `tables` as in mt_matrix.
void mt_convert(float *restrict out, const void *restrict src, mt_element_type type, const mt_lookup_tables *_Nullable tables, size_t n);

/// out = x / sqrt(mean(x^2) + eps) * (weight + weight_offset), a row at a time; weight NULL: no weight. May be in place.
void mt_rms_norm(float *out, size_t out_stride, const float *x, size_t x_stride, size_t rows, size_t n,
                 const float *_Nullable weight, float weight_offset, float eps);

/// out = (x - mean) / sqrt(variance + eps) * weight + bias, a row at a time; weight and bias may be NULL. May be in place.
void mt_layer_norm(float *out, size_t out_stride, const float *x, size_t x_stride, size_t rows, size_t n,
                   const float *_Nullable weight, const float *_Nullable bias, float eps);

/// Rotates the first rotary_dim values of each head of one token in place. cosines and sines are [rotary_dim / 2].
/// Half-split ("neox"): pairs (i, i + rotary_dim / 2); interleaved: pairs (2i, 2i + 1).
void mt_rope(float *x, size_t heads, size_t head_stride, size_t rotary_dim, const float *cosines, const float *sines,
             bool interleaved);

/// out = activation(u) * v over n values; v NULL: 1. May be in place on u or v. `limit` only for kinds with clamps.
void mt_activate(float *out, const float *u, const float *_Nullable v, size_t n, mt_activation kind, float limit);

/// Softmax of each row in place. A row of -inf only becomes NaN, as in the reference.
void mt_softmax(float *x, size_t stride, size_t rows, size_t n);

/// Maximum, log-sum-exp, entropy in nats and surprisal of one row of logits; pass SIZE_MAX for no target.
void mt_logits_summary_of(mt_logits_summary *out, const float *logits, size_t n, size_t target);

/// out = e^x within 2 ulp; out = 1 / (1 + e^-x).
void mt_exp(float *out, const float *x, size_t n);
void mt_sigmoid(float *out, const float *x, size_t n);

/// out = a + b; out = a * b; out = factor * x; out += factor * x; out = x * (1 + scale) + shift.
void mt_add(float *out, const float *a, const float *b, size_t n);
void mt_multiply(float *out, const float *a, const float *b, size_t n);
void mt_scale(float *out, const float *x, float factor, size_t n);
void mt_axpy(float *out, const float *x, float factor, size_t n);
void mt_modulate(float *out, const float *x, const float *scale, const float *shift, size_t n);

/// Tells the core that the caller is spinning.
static inline void mt_spin_hint(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

#pragma clang assume_nonnull end
#ifdef __cplusplus
}
#endif
#endif
