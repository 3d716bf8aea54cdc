// Gives the terminal back however the program ends: the modes and the bytes that restore it, the handlers that use them, and the
// pipe on which handlers and other threads call the run loop.
#ifndef MOETOP_EXIT_GUARD_H
#define MOETOP_EXIT_GUARD_H

#include <stddef.h>

void moetop_guard_restore(void);

/* At the very start of the program: a crash ends it by its signal, without a debugger that waits for an answer (unless SWIFT_BACKTRACE asks
   for the runtime's own), and a write that fails is an error of that write, not a signal. Signals come through, also when a thread that had
   them blocked started us, as those of a thread pool have. */
void moetop_guard_prepare(void);

/* The pipe on which handlers and other threads call; 1 when it exists. */
int moetop_guard_open_pipe(void);

/* Installs every handler, before any mode is entered: whichever signal ends the program, the terminal is given back first. A stack of its
   own lets a stack overflow be handled too. */
void moetop_guard_start(void);

/* Puts the handlers back as they were before. */
void moetop_guard_finish(void);

/* Remembers the modes of the terminal as they are now; 1 when it is one. */
int moetop_guard_remember(int tty);

/* From here on every end writes the bytes to the terminal. */
void moetop_guard_arm(int tty, const char *bytes, size_t length);
void moetop_guard_disarm(void);

/* Brackets every write to the terminal: 0 when it was given back and nothing may be written any more. A signal that asks for the end
   inside the brackets restores the terminal after them, so that no part of a frame lands on the screen given back. */
int moetop_guard_begin_write(void);
void moetop_guard_end_write(void);

int moetop_guard_is_armed(void);
int moetop_guard_pending(void);
int moetop_guard_wake_read(void);
int moetop_guard_wake_write(void);

/* Stops the whole job as ^Z would and returns when it goes on. The others of the group stop first; our own stop is synchronous.
   Where nobody could continue us (an orphaned group) the kernel ignores the stop. */
void moetop_guard_stop(void);

#endif
