// The one door to ncursesw: every macro, variadic and cchar_t trick stays behind this header.
#ifndef MOETOP_CNCURSES_SHIM_H
#define MOETOP_CNCURSES_SHIM_H

#ifndef NCURSES_WIDECHAR
#define NCURSES_WIDECHAR 1
#endif
#include <locale.h>
#include <ncurses.h>

static inline WINDOW *moetop_stdscr(void) { return stdscr; }

#endif
