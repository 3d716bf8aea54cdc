// The product by digits for NEON with dot products; everything else of that form is form_neon.c's.
#include "forms.h"

#if defined(__aarch64__)

#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)

#include "vector_neon.h"

#include "body_bits.h"
#include "body_out.h"

#include "digits.h"
#include "digits_neon.h"
#include "body_digits.h"

#pragma clang attribute pop

void mt_neondot_digits(const mt_matmul_job *job, void *scratch) { digit_matmul(job, scratch); }

#endif
