// The handler reads a table of mappings whose entries are atomic, and calls only mmap and sigaction: a system call without state of its
// own, as the kernel has it, also where POSIX does not list it among the functions for handlers. One copy of the table exists in a
// process, which is why it is an object file of its own.
#define _DEFAULT_SOURCE 1
#define _DARWIN_C_SOURCE 1
#include "map_guard.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Files that are mapped at one time: a checkpoint has up to a few hundred. */
#define MOETOP_MAPS 4096

static struct {
  atomic_uintptr_t start; /* 0: free, 1: being entered */
  atomic_size_t length;
  atomic_int torn;
} moetop_maps[MOETOP_MAPS];

static struct sigaction moetop_map_guard_before;
static uintptr_t moetop_map_guard_page;

int moetop_map_guard_add(const void *start, size_t length) {
  for (int map = 0; map < MOETOP_MAPS; map++) {
    uintptr_t none = 0;
    if (!atomic_compare_exchange_strong(&moetop_maps[map].start, &none, 1)) continue;
    atomic_store(&moetop_maps[map].length, length);
    atomic_store(&moetop_maps[map].torn, 0);
    atomic_store(&moetop_maps[map].start, (uintptr_t)start);
    return map;
  }
  return -1;
}

void moetop_map_guard_remove(int map) {
  if (map >= 0) atomic_store(&moetop_maps[map].start, 0);
}

int moetop_map_guard_is_torn(int map) { return map >= 0 && atomic_load(&moetop_maps[map].torn); }

/* Zeros from the page of the fault to the end of its mapping: what is behind a lost page is lost too. 0 where no mapping of ours is. */
static int moetop_map_guard_mend(uintptr_t at) {
  for (int map = 0; map < MOETOP_MAPS; map++) {
    uintptr_t start = atomic_load(&moetop_maps[map].start), end = start + atomic_load(&moetop_maps[map].length);
    if (start <= 1 || at < start || at >= end) continue;
    atomic_store(&moetop_maps[map].torn, 1);
    uintptr_t page = at / moetop_map_guard_page * moetop_map_guard_page;
    void *zeros = mmap((void *)page, end - page, PROT_READ, MAP_PRIVATE | MAP_ANON | MAP_FIXED, -1, 0);
    return zeros != MAP_FAILED;
  }
  return 0;
}

static void moetop_map_guard_fault(int sig, siginfo_t *info, void *context) {
  (void)context;
  int kept = errno;
  /* Faults have a positive code; what somebody sent has no address. */
  int mended = info->si_code > 0 && moetop_map_guard_mend((uintptr_t)info->si_addr);
  errno = kept;
  if (mended) return;
  sigaction(sig, &moetop_map_guard_before, NULL);
  if (info->si_code <= 0) raise(sig);
}

void moetop_map_guard_start(void) {
  if (moetop_map_guard_page) return;
  moetop_map_guard_page = (uintptr_t)sysconf(_SC_PAGESIZE);
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = moetop_map_guard_fault;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGBUS, &action, &moetop_map_guard_before);
}
