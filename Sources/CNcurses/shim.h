// The one door to ncursesw: every macro, variadic and cchar_t trick stays behind this header. Swift sees plain functions.
#ifndef MOETOP_CNCURSES_SHIM_H
#define MOETOP_CNCURSES_SHIM_H

#ifndef NCURSES_WIDECHAR
#define NCURSES_WIDECHAR 1
#endif
#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <ncurses.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

/* Attributes are macros with casts, which Swift does not import. */
static const attr_t moetop_bold = A_BOLD;
static const attr_t moetop_dim = A_DIM;
static const attr_t moetop_underline = A_UNDERLINE;
static const attr_t moetop_reverse = A_REVERSE;

/* Global variables of ncurses are not safe to name from Swift 6. */
static inline WINDOW *moetop_stdscr(void) { return stdscr; }
static inline WINDOW *moetop_curscr(void) { return curscr; }
static inline int moetop_lines(void) { return LINES; }
static inline int moetop_columns(void) { return COLS; }
static inline int moetop_colors(void) { return COLORS; }
static inline const char *moetop_version(void) { return curses_version(); }

/* The character set of the user's locale. Only LC_CTYPE is taken over: numbers keep their point. */
static inline const char *moetop_codeset(void) {
  setlocale(LC_CTYPE, "");
  return nl_langinfo(CODESET);
}

static inline int moetop_pairs(void) { return COLOR_PAIRS; }

/* Of term.h, whose macros have the names of half the variables here. */
struct term;
extern int setupterm(const char *name, int fd, int *status);
extern struct term *set_curterm(struct term *entry);
extern int del_curterm(struct term *entry);

/* Colours that a terminfo entry says its terminal has; 0 for none, -1 where there is no such entry, or one that cannot move the cursor.
   Before a terminal is opened only: the entry it was opened with would be forgotten. */
static inline int moetop_entry_colors(const char *name) {
  int status = 0;
  if (setupterm(name, 1, &status) != OK) return -1;
  char *cup = tigetstr("cup");
  int colors = tigetnum("colors");
  del_curterm(set_curterm(NULL));
  return cup == NULL || cup == (char *)-1 ? -1 : colors < 0 ? 0 : colors;
}

/* A string capability of the current terminal; NULL when it has none. */
static inline const char *moetop_capability(const char *name) {
  char *found = tigetstr(name);
  return found == (char *)-1 ? NULL : found;
}

/* Addresses the cursor absolutely, around ncurses, which would take a relative way from where it believes the cursor is.
   mvcur() is no help: it writes through stdio, after the frame. */
static inline void moetop_address(int fd, int row, int column) {
  char *text = tparm((char *)moetop_capability("cup"), (long)row, (long)column, 0L, 0L, 0L, 0L, 0L, 0L, 0L);
  while (text && *text) {
    char *delay = strstr(text, "$<");
    size_t length = delay ? (size_t)(delay - text) : strlen(text);
    if (length && write(fd, text, length) < 0) return;
    char *end = delay ? strchr(delay, '>') : NULL;
    text = end ? end + 1 : NULL;
  }
}

/* Rows and columns of the terminal behind a descriptor; 0 when it does not say. */
static inline int moetop_size(int fd, int *rows, int *columns) {
  struct winsize size;
  if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) return 0;
  *rows = size.ws_row;
  *columns = size.ws_col;
  return 1;
}

static inline void moetop_set(const char *name, const char *value) {
  if (value) setenv(name, value, 1);
  else unsetenv(name);
}

/* ncurses takes memory for every cell of a terminal as it opens it; LINES and COLUMNS are the only way to tell it of fewer, and
   they are put back as they were. */
static inline SCREEN *moetop_newterm_within(const char *term, FILE *out, FILE *in, int fd, int most_rows, int most_columns) {
  int rows = 0, columns = 0;
  if (!moetop_size(fd, &rows, &columns) || (rows <= most_rows && columns <= most_columns)) return newterm(term, out, in);
  char text[2][16];
  snprintf(text[0], sizeof text[0], "%d", rows < most_rows ? rows : most_rows);
  snprintf(text[1], sizeof text[1], "%d", columns < most_columns ? columns : most_columns);
  char *kept[2] = {getenv("LINES"), getenv("COLUMNS")};
  for (int i = 0; i < 2; i++) kept[i] = kept[i] ? strdup(kept[i]) : NULL;
  moetop_set("LINES", text[0]);
  moetop_set("COLUMNS", text[1]);
  SCREEN *screen = newterm(term, out, in);
  moetop_set("LINES", kept[0]);
  moetop_set("COLUMNS", kept[1]);
  free(kept[0]);
  free(kept[1]);
  return screen;
}

/* The terminal behind a descriptor, opened once more so that reads of ours never wait and those of others still do. ncurses asks whether there
   is input and then reads: a signal between the two gives the terminal back, its input is gone, and the read would wait for a line.
   A copy of the descriptor where the terminal cannot be opened by its name. */
static inline int moetop_reopen(int fd) {
  char name[256];
  int own = ttyname_r(fd, name, sizeof name) == 0 ? open(name, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC) : -1;
  return own >= 0 ? own : dup(fd);
}

/* Opens the terminal on two descriptors of ours, of a larger one the top left. *out receives the descriptor ncurses writes to. */
static inline SCREEN *moetop_newterm(const char *term, int out_fd, int in_fd, int most_rows, int most_columns, int *out) {
  int out_copy = dup(out_fd), in_copy = moetop_reopen(in_fd);
  FILE *out_file = out_copy < 0 ? NULL : fdopen(out_copy, "w");
  FILE *in_file = in_copy < 0 ? NULL : fdopen(in_copy, "r");
  SCREEN *screen = out_file && in_file ? moetop_newterm_within(term, out_file, in_file, out_fd, most_rows, most_columns) : NULL;
  if (screen) {
    *out = out_copy;
    return screen;
  }
  if (out_file) fclose(out_file);
  else if (out_copy >= 0) close(out_copy);
  if (in_file) fclose(in_file);
  else if (in_copy >= 0) close(in_copy);
  return NULL;
}

/* Memory with a descriptor, to catch what ncurses writes during one frame. */
static inline int moetop_scratch(void) {
#if defined(__linux__) && defined(SYS_memfd_create)
  return (int)syscall(SYS_memfd_create, "moetop-frame", 1u);
#else
  FILE *file = tmpfile();
  int copy = file ? dup(fileno(file)) : -1;
  if (file) fclose(file);
  return copy;
#endif
}

/* One cell: a base with up to two marks. `width` is ours; where the C library thinks otherwise, ncurses and we would
   disagree about the row, so `?` is shown instead. The pair goes through `opts`, as it may not fit a short. */
static inline void moetop_cell(cchar_t *cell, uint32_t base, uint32_t mark1, uint32_t mark2, int width, attr_t attributes, int pair) {
  wchar_t text[4] = {(wchar_t)base, (wchar_t)mark1, (wchar_t)mark2, 0};
  if (base > 0x7E && wcwidth((wchar_t)base) != width) text[0] = L'?', text[1] = 0;
  if (mark1 && wcwidth((wchar_t)mark1) != 0) text[1] = 0;
  if (mark2 && wcwidth((wchar_t)mark2) != 0) text[2] = 0;
  memset(cell, 0, sizeof *cell);
  setcchar(cell, text, attributes, (short)0, &pair);
}

/* True when `?` stood in for a wide character above, so that its second column must be filled too. */
static inline int moetop_disagrees(uint32_t base, int width) { return base > 0x7E && wcwidth((wchar_t)base) != width; }

/* Bytes that can be read now; -1 on error. */
static inline int moetop_readable(int fd) {
  int count = 0;
  return ioctl(fd, FIONREAD, &count) == 0 ? count : -1;
}

#endif
