// Which form of the kernels runs: found once, kept in the one table pointer of this room.
#define _GNU_SOURCE  // syscall
#include "forms.h"

#include "digits.h"

#include <stdatomic.h>

#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#elif defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

static _Atomic(const mt_kernels *) table_in_use;

#if defined(__aarch64__)
static bool has_dot_products(void) {
#if defined(__linux__)
  return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
#else
  return true;  // every arm64 machine of Apple's
#endif
}
#endif

/// What was found out once: 0 is nothing yet.
enum { known_not = 1, known_so = 2 };

#if defined(__x86_64__)
/// Whether there are tiles of bf16, and the system grants them to this process: their registers are large, and have to be asked for.
static bool may_use_tiles(void) {
#if MT_PLAIN_TILES
  return true;
#elif defined(__linux__)
  static _Atomic int known;
  int now = atomic_load_explicit(&known, memory_order_relaxed);
  if (!now) {
    enum { amx_bf16 = 1 << 22, amx_tile = 1 << 24, avx512_bf16 = 1 << 5, request_permission = 0x1023, tile_data = 18 };
    unsigned a, b, c, seven, one;
    const bool has = __get_cpuid_count(7, 0, &a, &b, &c, &seven) && __get_cpuid_count(7, 1, &one, &b, &c, &a) && seven & amx_bf16 &&
                     seven & amx_tile && one & avx512_bf16;
    now = has && syscall(SYS_arch_prctl, request_permission, tile_data) == 0 ? known_so : known_not;
    atomic_store_explicit(&known, now, memory_order_relaxed);
  }
  return now == known_so;
#else
  return false;
#endif
}

/// Whether tiles multiply as they should.
static bool tiles_agree(void) {
  static _Atomic int known;
  int now = atomic_load_explicit(&known, memory_order_relaxed);
  if (!now) {
    now = mt_amx_agrees() ? known_so : known_not;
    atomic_store_explicit(&known, now, memory_order_relaxed);
  }
  return now == known_so;
}
#endif

const mt_kernels *mt_kernels_at(mt_level level) {
  switch (level) {
  case MT_SCALAR:
    return &mt_scalar_kernels;
#if defined(__x86_64__)
  case MT_AVX2:
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")
               ? &mt_avx2_kernels
               : NULL;
  case MT_AVXVNNI:
    return __builtin_cpu_supports("avxvnni") && mt_kernels_at(MT_AVX2) ? &mt_avxvnni_kernels : NULL;
  case MT_AVX512:
  case MT_AVX512VNNI:
  case MT_AVX512AMX:
    if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
          __builtin_cpu_supports("avx512dq") && mt_kernels_at(MT_AVX2))) {
      return NULL;
    }
    if (level == MT_AVX512) { return &mt_avx512_kernels; }
    if (!__builtin_cpu_supports("avx512vnni")) { return NULL; }
    if (level == MT_AVX512VNNI) { return &mt_avx512vnni_kernels; }
    return may_use_tiles() && tiles_agree() ? &mt_avx512amx_kernels : NULL;
#elif defined(__aarch64__)
  case MT_NEON:
    return &mt_neon_kernels;
  case MT_NEONDOT:
    return has_dot_products() ? &mt_neondot_kernels : NULL;
#endif
  default:
    return NULL;
  }
}

mt_level mt_best_level(void) {
  for (int level = MT_NEONDOT; level > MT_SCALAR; level--) {
    if (mt_kernels_at((mt_level)level)) { return (mt_level)level; }
  }
  return MT_SCALAR;
}

mt_level mt_kernels_init(mt_level level) {
  const mt_kernels *table = mt_kernels_at(level);
  if (!table) { table = mt_kernels_at(mt_best_level()); }
  atomic_store_explicit(&table_in_use, table, memory_order_release);
  return table->level;
}

static inline const mt_kernels *table(void) {
  const mt_kernels *current = atomic_load_explicit(&table_in_use, memory_order_acquire);
  if (__builtin_expect(!current, 0)) {
    mt_kernels_init(mt_best_level());
    current = atomic_load_explicit(&table_in_use, memory_order_acquire);
  }
  return current;
}

mt_level mt_simd_level(void) { return table()->level; }

const char *mt_simd_level_name(mt_level level) {
  switch (level) {
  case MT_SCALAR: return "scalar";
  case MT_NEON: return "neon";
  case MT_NEONDOT: return "neondot";
  case MT_AVX2: return "avx2";
  case MT_AVXVNNI: return "avxvnni";
  case MT_AVX512: return "avx512";
  case MT_AVX512VNNI: return "avx512vnni";
  case MT_AVX512AMX: return "amx";
  }
  return "unknown";
}

/// Elements and bytes of a block.
typedef struct block_size {
  size_t elements, bytes;
} block_size;

static block_size block_of(mt_element_type type) {
  switch (type) {
  case MT_F64: return (block_size){1, 8};
  case MT_F32: return (block_size){1, 4};
  case MT_F16:
  case MT_BF16: return (block_size){1, 2};
  case MT_F8_E4M3:
  case MT_F8_E5M2:
  case MT_F8_E8M0: return (block_size){1, 1};
  case MT_F4_E2M1:
  case MT_U4B8: return (block_size){2, 1};
  case MT_Q4_0:
  case MT_IQ4_NL: return (block_size){32, 18};
  case MT_Q4_1: return (block_size){32, 20};
  case MT_Q5_0: return (block_size){32, 22};
  case MT_Q5_1: return (block_size){32, 24};
  case MT_Q8_0: return (block_size){32, 34};
  case MT_MXFP4: return (block_size){32, 17};
  case MT_NVFP4: return (block_size){64, 36};
  case MT_Q1_0: return (block_size){128, 18};
  case MT_Q2_0: return (block_size){64, 18};
  case MT_Q2_K: return (block_size){256, 84};
  case MT_Q3_K:
  case MT_IQ3_S: return (block_size){256, 110};
  case MT_Q4_K: return (block_size){256, 144};
  case MT_Q5_K: return (block_size){256, 176};
  case MT_Q6_K: return (block_size){256, 210};
  case MT_IQ1_S: return (block_size){256, 50};
  case MT_IQ1_M: return (block_size){256, 56};
  case MT_IQ2_XXS: return (block_size){256, 66};
  case MT_IQ2_XS: return (block_size){256, 74};
  case MT_IQ2_S: return (block_size){256, 82};
  case MT_IQ3_XXS: return (block_size){256, 98};
  case MT_IQ4_XS: return (block_size){256, 136};
  case MT_TQ1_0: return (block_size){256, 54};
  case MT_TQ2_0: return (block_size){256, 66};
  }
  return (block_size){0, 0};
}

size_t mt_block_elements(mt_element_type type) { return block_of(type).elements; }

size_t mt_block_bytes(mt_element_type type) { return block_of(type).bytes; }

size_t mt_row_bytes(mt_element_type type, size_t depth) {
  const block_size block = block_of(type);
  return block.elements == 0 ? 0 : depth / block.elements * block.bytes;
}

bool mt_needs_tables(mt_element_type type) {
  switch (type) {
  case MT_IQ1_S:
  case MT_IQ1_M:
  case MT_IQ2_XXS:
  case MT_IQ2_XS:
  case MT_IQ2_S:
  case MT_IQ3_XXS:
  case MT_IQ3_S: return true;
  default: return false;
  }
}

size_t mt_lookup_tables_bytes(void) { return sizeof(mt_lookup_tables); }

size_t mt_matmul_scratch_bytes(size_t depth) {
  // Panels of many tokens, and the tokens; or the widened rows of some.
  const size_t many = (mt_turned_rows(depth) + mt_token_block(depth)) * mt_whole_steps(depth) + mt_lane_gaps(depth);
  const size_t some = mt_panel_rows(depth) * mt_panel_stride(depth);
  const size_t in_f32 = (many > some ? many : some) * sizeof(float), tiles = mt_tile_layout_of(depth).bytes;
  const size_t blocks = mt_block_layout_of(depth).bytes, whole = tiles > blocks ? tiles : blocks;
  return in_f32 > whole ? in_f32 : whole;
}

/// AMD's family 25 where it has AVX-512.
static _Atomic int zen_4;

static bool is_zen_4(void) {
  int now = atomic_load_explicit(&zen_4, memory_order_relaxed);
  if (!now) {
    now = known_not;
#if defined(__x86_64__)
    unsigned a, b, c, d;
    const bool is_amd = __get_cpuid(0, &a, &b, &c, &d) && b == signature_AMD_ebx && c == signature_AMD_ecx && d == signature_AMD_edx;
    if (is_amd && __get_cpuid(1, &a, &b, &c, &d) && (a >> 8 & 15) + (a >> 20 & 255) == 25 && __builtin_cpu_supports("avx512f")) { now = known_so; }
#endif
    atomic_store_explicit(&zen_4, now, memory_order_relaxed);
  }
  return now == known_so;
}

void mt_assume_zen_4(bool is_so) { atomic_store_explicit(&zen_4, is_so ? known_so : known_not, memory_order_relaxed); }

/// A Zen 4 reads ahead over the ends of pages, a Zen 5 does not: fetching costs the one up to 7 %, and gains the other 2 to 14 %.
bool mt_rows_are_followed(void) { return is_zen_4(); }

/// A multiply-add of 512 bits takes two cycles on Zen 4, in which two vectors are loaded: wide tiles do as well as panels, which are work on top.
static bool do_tiles_suffice(void) { return is_zen_4(); }

bool mt_panels_pay(const mt_panel_limits *limits, mt_element_type type, size_t tokens) {
  if (!limits || (limits->unless_tiles_suffice && do_tiles_suffice())) { return false; }
  // A tile widens halves again for every few tokens; others it reads as they are, or as they have been widened for all.
  return tokens > (type == MT_F16 || type == MT_BF16 ? limits->halves : type == MT_F32 ? limits->floats : limits->others);
}

bool mt_takes_panels(mt_element_type type, size_t tokens) { return mt_panels_pay(table()->panels, type, tokens); }

bool mt_lays_tokens(void) { return table()->tiles || table()->blocks; }

bool mt_can_lay(const mt_matrix *w) { return table()->lay && !table()->tiles && mt_has_digits(w) && w->depth % 256 == 0; }

void mt_lay(float *row, const mt_matrix *w) { table()->lay(row, w); }

size_t mt_attention_scratch_bytes(size_t keys) { return mt_query_rows(keys) * mt_score_stride(keys) * sizeof(float); }

bool mt_has_digits(const mt_matrix *matrix) {
  return !matrix->scales.base && !matrix->depth_bytes && digit_type_of(matrix->type).bytes > 0;
}

void mt_matmul(const mt_matmul_job *job, void *scratch) {
  if (job->sums == MT_SUMS_DIGITS && mt_has_digits(&job->weights)) {
    table()->digits(job, scratch);
  } else if (job->sums == MT_SUMS_TILES && table()->tiles && !job->weights.depth_bytes) {
    table()->tiles(job, scratch);
  } else if (job->sums == MT_SUMS_TILES && table()->blocks && mt_has_digits(&job->weights)) {
    table()->blocks(job, scratch);
  } else {
    table()->matmul(job, scratch);
  }
}

void mt_attention(const mt_attention_job *job, void *scratch) { table()->attention(job, scratch); }

void mt_convert(float *restrict out, const void *restrict src, mt_element_type type, const mt_lookup_tables *tables, size_t n) {
  table()->convert(out, src, type, tables, n);
}

void mt_read_row(float *restrict out, const mt_matrix *w, size_t row) { table()->read_row(out, w, row); }

void mt_rms_norm(float *out, size_t out_stride, const float *x, size_t x_stride, size_t rows, size_t n,
                 const float *weight, float weight_offset, float eps) {
  table()->rms_norm(out, out_stride, x, x_stride, rows, n, weight, weight_offset, eps);
}

void mt_layer_norm(float *out, size_t out_stride, const float *x, size_t x_stride, size_t rows, size_t n,
                   const float *weight, const float *bias, float eps) {
  table()->layer_norm(out, out_stride, x, x_stride, rows, n, weight, bias, eps);
}

void mt_rope(float *x, size_t heads, size_t head_stride, size_t rotary_dim, const float *cosines, const float *sines,
             bool interleaved) {
  table()->rope(x, heads, head_stride, rotary_dim, cosines, sines, interleaved);
}

void mt_activate(float *out, const float *u, const float *v, size_t n, mt_activation kind, float limit) {
  table()->activate(out, u, v, n, kind, limit);
}

void mt_softmax(float *x, size_t stride, size_t rows, size_t n) { table()->softmax(x, stride, rows, n); }

void mt_logits_summary_of(mt_logits_summary *out, const float *logits, size_t n, size_t target) {
  table()->logits_summary(out, logits, n, target);
}

void mt_exp(float *out, const float *x, size_t n) { table()->exp(out, x, n); }

void mt_sigmoid(float *out, const float *x, size_t n) { table()->sigmoid(out, x, n); }

void mt_add(float *out, const float *a, const float *b, size_t n) { table()->add(out, a, b, n); }

void mt_multiply(float *out, const float *a, const float *b, size_t n) { table()->multiply(out, a, b, n); }

void mt_scale(float *out, const float *x, float factor, size_t n) { table()->scale(out, x, factor, n); }

void mt_axpy(float *out, const float *x, float factor, size_t n) { table()->axpy(out, x, factor, n); }

void mt_modulate(float *out, const float *x, const float *scale, const float *shift, size_t n) {
  table()->modulate(out, x, scale, shift, n);
}
