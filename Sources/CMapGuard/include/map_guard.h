// What becomes of a mapped file that another program shortens while it is read? Touching a page that the file no longer has is a SIGBUS.
// The handler here puts pages of zeros in the place of the lost ones, so that the program goes on, and remembers that it did: whoever
// computes with the file asks before it believes the result.
#ifndef MOETOP_MAP_GUARD_H
#define MOETOP_MAP_GUARD_H

#include <stddef.h>

/* Installs the handler for SIGBUS, once, before any mapping is read. Faults elsewhere go to whoever handled them before. */
void moetop_map_guard_start(void);

/* Watches over a mapping from now on: its number, or -1 when there are too many, and then a fault in it ends the program. */
int moetop_map_guard_add(const void *start, size_t length);

/* Before the mapping ends. */
void moetop_map_guard_remove(int map);

/* 1 once pages of the mapping were lost. */
int moetop_map_guard_is_torn(int map);

#endif
