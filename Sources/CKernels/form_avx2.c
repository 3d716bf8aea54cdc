// The form for AVX2 with FMA and F16C: Haswell and Zen onwards. The bodies are shared; only the words differ.
#include "forms.h"

#if defined(__x86_64__)

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#define MT_WIDE_TILES 0

#include "vector_avx2.h"
#include "vector_x86.h"

#include "body_math.h"
#include "body_dequant.h"
#include "body_read.h"
#include "body_rows.h"

#include "body_out.h"

#include "digits.h"
#include "digits_avx2.h"
#include "digits_x86.h"
#include "body_digits.h"

#define MT_HAS_WHOLE_NUMBERS 1
#include "body_matmul.h"
#include "body_panels.h"
static const mt_panel_limits panel_limits = {.halves = 7, .floats = 40, .others = 20};
#include "body_columns.h"

#include "body_attention.h"


#pragma clang attribute pop

#define MT_TABLE(at, sums)                                                                                              \
  {                                                                                                                     \
    .level = at, .panels = &panel_limits, .matmul = matmul, .digits = sums, .attention = attention, .convert = convert, \
    .read_row = read_row, .rms_norm = rms_norm, .layer_norm = layer_norm, .rope = rope, .activate = activate,           \
    .softmax = softmax, .logits_summary = logits_summary, .exp = exp_row, .sigmoid = sigmoid, .add = add,               \
    .multiply = multiply, .scale = scale, .axpy = axpy, .modulate = modulate,                                           \
  }

void mt_avx2_digits(const mt_matmul_job *job, void *scratch) { digit_matmul(job, scratch); }

const mt_kernels mt_avx2_kernels = MT_TABLE(MT_AVX2, digit_matmul);
const mt_kernels mt_avxvnni_kernels = MT_TABLE(MT_AVXVNNI, mt_avxvnni_digits);

#endif
