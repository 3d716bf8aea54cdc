#include "memory_meter.h"

#if defined(__has_feature) && __has_feature(address_sanitizer)

#include <sanitizer/allocator_interface.h>
#include <stdatomic.h>

static _Atomic long live, peak;

static void allocated(const volatile void *memory, size_t size) {
  (void)memory;
  long now = atomic_fetch_add_explicit(&live, (long)size, memory_order_relaxed) + (long)size;
  long known = atomic_load_explicit(&peak, memory_order_relaxed);
  while (now > known && !atomic_compare_exchange_weak(&peak, &known, now)) {}
}

static void freed(const volatile void *memory) {
  if (memory) { atomic_fetch_sub_explicit(&live, (long)__sanitizer_get_allocated_size(memory), memory_order_relaxed); }
}

bool meter_start(void) { return __sanitizer_install_malloc_and_free_hooks(allocated, freed) != 0; }

void meter_reset(void) {
  live = 0;
  peak = 0;
}

size_t meter_peak(void) { return (size_t)peak; }

#else

bool meter_start(void) { return false; }
void meter_reset(void) {}
size_t meter_peak(void) { return 0; }

#endif
