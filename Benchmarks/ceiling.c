// What can this machine do at all? Limits that no program passes, measured with as many threads as the program under test:
//
//   f32   multiply-adds in f32: independent chains of fused multiply-adds that never leave the registers
//   int8  multiply-adds of 8-bit numbers into 32-bit sums: the same chains of the machine's instruction for that
//   read  bytes a second from memory: each thread sums a buffer of its own, far larger than any cache
//
//   cc -O3 -march=native -ffp-contract=fast -pthread ceiling.c -o ceiling && ./ceiling THREADS [all]
//
// Prints GFLOP/s of f32 (a multiply-add counts two), the best of some rounds; with `all` a JSON object of the three, int8 in
// 10^9 operations and read in GB a second. `int8` is null where no instruction is known.

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#ifdef __AVX512F__
enum { LANES = 16 };
#elif defined(__AVX2__)
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif
// Chains: more than latency times units, fewer than registers.
enum { CHAINS = 12, ROUNDS = 9, STEPS = 100000000, MOST_THREADS = 256 };
typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));

// What a thread comes to, so that no compiler leaves it out.
typedef struct {
  int64_t kept;
  const int64_t *buffer;
} Worker;

static void *chains(void *place) {
  lanes sums[CHAINS], factor = {0}, term = {0};
  factor += 0.999f;
  term += 0.001f;
  for (int i = 0; i < CHAINS; i++) sums[i] = term * (float)i;
  for (long step = 0; step < STEPS; step++)
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++) sums[i] = sums[i] * factor + term;
  for (int i = 1; i < CHAINS; i++) sums[0] += sums[i];
  ((Worker *)place)->kept = (int64_t)(1e6f * sums[0][0]);
  return NULL;
}

// INT8: one step of a chain. PRODUCTS: the multiply-adds in it. OPAQUE: a factor that the compiler believes to be new.
#define OPAQUE(x) __asm__("" : "+x"(x))
#if defined(__AVX512VNNI__)
#define INSTRUCTION "vpdpbusd, 512 bits"
enum { PRODUCTS = 64 };
typedef __m512i Sum;
#define INT8(sum, a, b) _mm512_dpbusd_epi32(sum, a, b)
#elif defined(__AVXVNNI__)
#define INSTRUCTION "vpdpbusd, 256 bits"
enum { PRODUCTS = 32 };
typedef __m256i Sum;
#define INT8(sum, a, b) _mm256_dpbusd_avx_epi32(sum, a, b)
#elif defined(__AVX2__)
#define INSTRUCTION "vpmaddubsw, vpmaddwd and vpaddd, 256 bits"
enum { PRODUCTS = 32 };
typedef __m256i Sum;
#define INT8(sum, a, b) _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1)))
#elif defined(__ARM_FEATURE_MATMUL_INT8)
#define INSTRUCTION "smmla, 128 bits"
enum { PRODUCTS = 32 };
typedef int32x4_t Sum;
#define INT8(sum, a, b) vmmlaq_s32(sum, vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b))
#elif defined(__ARM_FEATURE_DOTPROD)
#define INSTRUCTION "sdot, 128 bits"
enum { PRODUCTS = 16 };
typedef int32x4_t Sum;
#define INT8(sum, a, b) vdotq_s32(sum, vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b))
#endif
#if defined(__ARM_NEON)
#undef OPAQUE
#define OPAQUE(x) __asm__("" : "+w"(x))
#endif

#ifdef INSTRUCTION
static void *products(void *place) {
  // Sums have no address: a compiler that gives them one stores each with every step, and measures that.
  Sum sums[CHAINS], a, b, zero;
  memset(&a, 1, sizeof a);
  memset(&b, 2, sizeof b);
  memset(&zero, 0, sizeof zero);
#pragma GCC unroll 12
  for (int i = 0; i < CHAINS; i++) sums[i] = zero;
  for (long step = 0; step < STEPS; step++)
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++) {
      OPAQUE(a);
      sums[i] = INT8(sums[i], a, b);
    }
#pragma GCC unroll 12
  for (int i = 1; i < CHAINS; i++) sums[0] += sums[i];
  Sum all = sums[0];
  memcpy(&((Worker *)place)->kept, &all, sizeof(int64_t));
  return NULL;
}
#endif

// 256 MB a thread, in whole runs of eight vectors.
enum { BUFFER = 1 << 28, RUN = 8 };
typedef int64_t wide __attribute__((vector_size(LANES * sizeof(float))));

static void *reads(void *place) {
  Worker *worker = place;
  const wide *buffer = (const wide *)worker->buffer;
  wide sums[RUN] = {{0}};
  for (size_t at = 0; at < BUFFER / sizeof(wide); at += RUN)
    for (int i = 0; i < RUN; i++) sums[i] += buffer[at + (size_t)i];
  for (int i = 0; i < RUN; i++) worker->kept += sums[i][0];
  return NULL;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

// Units a second over all threads, the best of some rounds.
static double best(void *(*work)(void *), Worker *workers, int threads, double units) {
  double most = 0;
  for (int round = 0; round < ROUNDS; round++) {
    pthread_t running[MOST_THREADS];
    double start = now();
    for (int i = 0; i < threads; i++)
      if (pthread_create(&running[i], NULL, work, &workers[i])) exit(71);
    for (int i = 0; i < threads; i++) pthread_join(running[i], NULL);
    double speed = units * threads / (now() - start);
    if (speed > most) most = speed;
  }
  return most;
}

int main(int count, char **arguments) {
  int threads = count > 1 ? atoi(arguments[1]) : 1;
  if (threads < 1 || threads > MOST_THREADS) return 64;
  static Worker workers[MOST_THREADS];
  double f32 = best(chains, workers, threads, 2e-9 * LANES * CHAINS * (double)STEPS);
  if (count < 3) return printf("%.1f\n", f32) < 0;
  printf("{\"threads\": %d, \"f32\": %.1f, ", threads, f32);
#ifdef INSTRUCTION
  printf("\"int8\": %.1f, \"int8_instruction\": \"%s\", ", best(products, workers, threads, 2e-9 * PRODUCTS * CHAINS * (double)STEPS), INSTRUCTION);
#else
  printf("\"int8\": null, \"int8_instruction\": null, ");
#endif
  for (int i = 0; i < threads; i++) {
    void *buffer = NULL;
    if (posix_memalign(&buffer, 4096, BUFFER)) return 71;
    memset(buffer, i + 1, BUFFER);
    workers[i].buffer = buffer;
  }
  return printf("\"read\": %.1f}\n", best(reads, workers, threads, 1e-9 * BUFFER)) < 0;
}
