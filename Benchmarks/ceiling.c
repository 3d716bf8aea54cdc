// How many f32 multiply-adds a second can this machine do at all? Independent chains of fused multiply-adds that never leave the registers,
// one per thread: no program that computes in f32 is faster. Prints GFLOP/s (a multiply-add counts two), the best of some rounds.
//
//   cc -O3 -march=native -ffp-contract=fast -pthread ceiling.c -o ceiling && ./ceiling THREADS

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#ifdef __AVX512F__
enum { LANES = 16 };
#elif defined(__AVX2__)
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif
// Chains: more than latency times units, fewer than registers.
enum { CHAINS = 12, ROUNDS = 9, STEPS = 100000000 };
typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));

// What the chains come to, so that no compiler leaves them out.
static float kept[256];

static void *chains(void *place) {
  lanes sums[CHAINS], factor = {0}, term = {0};
  factor += 0.999f;
  term += 0.001f;
  for (int i = 0; i < CHAINS; i++) sums[i] = term * (float)i;
  for (long step = 0; step < STEPS; step++)
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++) sums[i] = sums[i] * factor + term;
  for (int i = 1; i < CHAINS; i++) sums[0] += sums[i];
  *(float *)place = sums[0][0];
  return NULL;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

int main(int count, char **arguments) {
  int threads = count > 1 ? atoi(arguments[1]) : 1;
  if (threads < 1 || threads > 256) return 64;
  double best = 0;
  for (int round = 0; round < ROUNDS; round++) {
    pthread_t workers[256];
    double start = now();
    for (int i = 0; i < threads; i++)
      if (pthread_create(&workers[i], NULL, chains, &kept[i])) return 71;
    for (int i = 0; i < threads; i++) pthread_join(workers[i], NULL);
    double speed = 2.0 * LANES * CHAINS * (double)STEPS * threads / (now() - start);
    if (speed > best) best = speed;
  }
  printf("%.1f\n", 1e-9 * best);
  return 0;
}
