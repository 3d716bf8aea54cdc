// How many bytes does a piece of work have allocated at its worst moment? Counted exactly, by the address sanitizer's own hooks; a build
// without the sanitizer counts nothing and says so. Mapped files are not allocations.
#pragma once

#include <stdbool.h>
#include <stddef.h>

/// Begins to count, once for a process; false where this build cannot.
bool meter_start(void);

/// Forgets what was allocated so far.
void meter_reset(void);

/// The most bytes that were allocated at one time since `meter_reset`, on all threads.
size_t meter_peak(void);
