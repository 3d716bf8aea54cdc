// Handlers only touch what is prepared here and only call functions that are async-signal-safe: one prebuilt byte string,
// termios, then the signal again. One copy of this state exists in a process, which is why it is an object file of its own.
#define _DEFAULT_SOURCE 1
#include "exit_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define MOETOP_GUARD_SIGNALS 65

static struct {
  atomic_int armed;     /* the modes are entered, a restore is due */
  atomic_int pending;   /* the signal that asked for the end */
  atomic_int writing;   /* bytes are on their way to the terminal, by another thread or by the interrupted one */
  int tty;              /* where the bytes go */
  int wake[2];          /* read end, write end; created once, never closed */
  struct termios modes; /* as they were before us */
  size_t length;
  char bytes[512];
  struct sigaction before[MOETOP_GUARD_SIGNALS];
} moetop_guard = {.tty = -1, .wake = {-1, -1}};

void moetop_guard_restore(void) {
  if (!atomic_exchange(&moetop_guard.armed, 0)) return;
  int kept = errno;
  size_t done = 0;
  struct pollfd out = {moetop_guard.tty, POLLOUT, 0};
  while (done < moetop_guard.length && poll(&out, 1, 200) > 0 && (out.revents & POLLOUT)) {
    ssize_t count = write(moetop_guard.tty, moetop_guard.bytes + done, moetop_guard.length - done);
    if (count > 0) done += (size_t)count;
    else if (errno != EINTR && errno != EAGAIN) break;
  }
  tcsetattr(moetop_guard.tty, TCSANOW, &moetop_guard.modes);
  tcflush(moetop_guard.tty, TCIFLUSH);
  errno = kept;
}

static void moetop_guard_note(char what) {
  int kept = errno;
  if (moetop_guard.wake[1] >= 0 && write(moetop_guard.wake[1], &what, 1) < 0) errno = kept;
  errno = kept;
}

/* Ends by the signal, with whoever handled it before us: a core dump, a backtrace, or the default. */
static void moetop_guard_again(int sig) {
  sigaction(sig, &moetop_guard.before[sig], NULL);
  raise(sig);
}

static void moetop_guard_fatal(int sig) {
  moetop_guard_restore();
  moetop_guard_again(sig);
}

int moetop_guard_begin_write(void) {
  moetop_guard.writing = 1;
  if (moetop_guard.armed && !moetop_guard.pending) return 1;
  moetop_guard_end_write();
  return 0;
}

/* Whoever notes the signal after us leaves the restore to us. */
void moetop_guard_end_write(void) {
  moetop_guard.writing = 0;
  if (moetop_guard.pending) moetop_guard_restore();
}

/* The first request to end restores the screen, after a write that is under way, and lets the program flush; a second one, or three
   seconds, end it. */
static void moetop_guard_ask(int sig) {
  if (moetop_guard.pending) {
    moetop_guard_restore();
    moetop_guard_again(sig);
    return;
  }
  moetop_guard.pending = sig;
  if (!moetop_guard.writing) moetop_guard_restore();
  moetop_guard_note('T');
  alarm(3);
}

static void moetop_guard_late(int sig) {
  (void)sig;
  moetop_guard_restore();
  if (moetop_guard.pending) moetop_guard_again(moetop_guard.pending);
}

static void moetop_guard_resized(int sig) { (void)sig; moetop_guard_note('W'); }
static void moetop_guard_stopped(int sig) { (void)sig; moetop_guard_note('Z'); }
static void moetop_guard_continued(int sig) { (void)sig; moetop_guard_note('C'); }

static void moetop_guard_install(int sig, void (*handler)(int), int flags) {
  struct sigaction action, before;
  memset(&action, 0, sizeof action);
  action.sa_handler = handler;
  sigfillset(&action.sa_mask);
  action.sa_flags = flags;
  if (sigaction(sig, NULL, &before) != 0) return;
  if (before.sa_handler == SIG_IGN && (sig == SIGHUP || sig == SIGINT)) return; /* nohup */
  moetop_guard.before[sig] = before;
  sigaction(sig, &action, NULL);
}

int moetop_guard_open_pipe(void) {
  if (moetop_guard.wake[0] >= 0) return 1;
  int ends[2];
  if (pipe(ends) != 0) return 0;
  for (int i = 0; i < 2; i++) {
    fcntl(ends[i], F_SETFL, fcntl(ends[i], F_GETFL) | O_NONBLOCK);
    fcntl(ends[i], F_SETFD, FD_CLOEXEC);
  }
  moetop_guard.wake[0] = ends[0];
  moetop_guard.wake[1] = ends[1];
  return 1;
}

void moetop_guard_start(void) {
  static char stack[32768];
  stack_t other = {.ss_sp = stack, .ss_size = sizeof stack, .ss_flags = 0};
  sigaltstack(&other, NULL);
  static const int fatal[] = {SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
  static const int ask[] = {SIGTERM, SIGHUP, SIGINT};
  for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++) moetop_guard_install(fatal[i], moetop_guard_fatal, SA_ONSTACK);
  for (size_t i = 0; i < sizeof ask / sizeof *ask; i++) moetop_guard_install(ask[i], moetop_guard_ask, SA_ONSTACK | SA_RESTART);
  moetop_guard_install(SIGALRM, moetop_guard_late, SA_ONSTACK);
  moetop_guard_install(SIGWINCH, moetop_guard_resized, SA_ONSTACK | SA_RESTART);
  moetop_guard_install(SIGTSTP, moetop_guard_stopped, SA_ONSTACK | SA_RESTART);
  moetop_guard_install(SIGCONT, moetop_guard_continued, SA_ONSTACK | SA_RESTART);
  static int registered;
  if (!registered) registered = atexit(moetop_guard_restore) == 0;
}

void moetop_guard_finish(void) {
  static const int all[] = {SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGTERM,
                            SIGHUP,  SIGINT,  SIGALRM, SIGWINCH, SIGTSTP, SIGCONT};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) sigaction(all[i], &moetop_guard.before[all[i]], NULL);
}

int moetop_guard_remember(int tty) { return tcgetattr(tty, &moetop_guard.modes) == 0; }

void moetop_guard_arm(int tty, const char *bytes, size_t length) {
  moetop_guard.armed = 0;
  moetop_guard.tty = tty;
  moetop_guard.length = length < sizeof moetop_guard.bytes ? length : sizeof moetop_guard.bytes;
  memcpy(moetop_guard.bytes, bytes, moetop_guard.length);
  moetop_guard.armed = 1;
}

void moetop_guard_disarm(void) { moetop_guard.armed = 0; }
int moetop_guard_is_armed(void) { return moetop_guard.armed; }
int moetop_guard_pending(void) { return moetop_guard.pending; }
int moetop_guard_wake_read(void) { return moetop_guard.wake[0]; }
int moetop_guard_wake_write(void) { return moetop_guard.wake[1]; }

void moetop_guard_stop(void) {
  struct sigaction plain, ours;
  memset(&plain, 0, sizeof plain);
  sigemptyset(&plain.sa_mask);
  plain.sa_handler = SIG_IGN;
  sigaction(SIGTSTP, &plain, &ours);
  kill(0, SIGTSTP);
  plain.sa_handler = SIG_DFL;
  sigaction(SIGTSTP, &plain, NULL);
  raise(SIGTSTP);
  sigaction(SIGTSTP, &ours, NULL);
}
