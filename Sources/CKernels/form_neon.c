// The form for NEON: every arm64 machine. The bodies are shared; only the words differ.
#include "forms.h"

#if defined(__aarch64__)

#define MT_WIDE_TILES 1

#include "vector_neon.h"

#include "body_math.h"
#include "body_dequant.h"
#include "body_read.h"
#include "body_rows.h"

#include "body_out.h"
#include "body_matmul.h"
#include "body_panels.h"
static const mt_panel_limits panel_limits = {.halves = 16, .floats = 48, .others = 48};
#include "body_columns.h"

#include "body_attention.h"

#include "digits.h"
#include "digits_plain.h"

#define MT_TABLE(at, sums)                                                                                              \
  {                                                                                                                     \
    .level = at, .panels = &panel_limits, .matmul = matmul, .digits = sums, .attention = attention, .convert = convert, \
    .read_row = read_row, .rms_norm = rms_norm, .layer_norm = layer_norm, .rope = rope, .activate = activate,           \
    .softmax = softmax, .logits_summary = logits_summary, .exp = exp_row, .sigmoid = sigmoid, .add = add,               \
    .multiply = multiply, .scale = scale, .axpy = axpy, .modulate = modulate,                                           \
  }

const mt_kernels mt_neon_kernels = MT_TABLE(MT_NEON, plain_digits);
const mt_kernels mt_neondot_kernels = MT_TABLE(MT_NEONDOT, mt_neondot_digits);

#endif
