// Handlers only touch what is prepared here and only call functions that are async-signal-safe: one prebuilt byte string,
// termios, then the signal again. One copy of this state exists in a process, which is why it is an object file of its own.
#define _DEFAULT_SOURCE 1
#define _DARWIN_C_SOURCE 1
#include "exit_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
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
  int traces;           /* whoever started us asked for the runtime's backtraces */
  char ours[MOETOP_GUARD_SIGNALS]; /* whether our handler is in place */
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

/* Crashes, and ^\ from outside. */
static const int moetop_guard_crashes[] = {SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
#define MOETOP_GUARD_CRASHES (sizeof moetop_guard_crashes / sizeof *moetop_guard_crashes)

static int moetop_guard_handles(const struct sigaction *action) {
  return action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
}

static void moetop_guard_default(int sig) {
  struct sigaction plain;
  memset(&plain, 0, sizeof plain);
  sigemptyset(&plain.sa_mask);
  plain.sa_handler = SIG_DFL;
  sigaction(sig, &plain, NULL);
}

/* Ends by the signal. All signals are blocked in a handler, so it comes when the handler returns. */
static void moetop_guard_end(int sig) {
  moetop_guard_restore();
  moetop_guard_default(sig);
  raise(sig);
}

/* A handler that was there before us may know what to do, with a mapped file that was shortened, say: it is asked first. When it leaves
   our handler where it is, it has mended the fault and the program goes on; else it has made way for the end. A backtrace is written
   where it can be read: after the screen was given back. */
static void moetop_guard_fatal(int sig, siginfo_t *info, void *context) {
  const struct sigaction *before = &moetop_guard.before[sig];
  if (!moetop_guard_handles(before)) {
    moetop_guard_end(sig);
    return;
  }
  if (moetop_guard.traces) moetop_guard_restore();
  if (before->sa_flags & SA_SIGINFO) before->sa_sigaction(sig, info, context);
  else before->sa_handler(sig);
  struct sigaction now;
  if (sigaction(sig, NULL, &now) == 0 && now.sa_sigaction == moetop_guard_fatal) {
    if (moetop_guard.traces) moetop_guard_end(sig);
    return;
  }
  moetop_guard_restore();
  raise(sig);
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
static void moetop_guard_ask(int sig, siginfo_t *info, void *context) {
  (void)info, (void)context;
  if (moetop_guard.pending) {
    moetop_guard_end(sig);
    return;
  }
  moetop_guard.pending = sig;
  if (!moetop_guard.writing) moetop_guard_restore();
  moetop_guard_note('T');
  alarm(3);
}

/* Our own alarm, or one that somebody sent. */
static void moetop_guard_late(int sig, siginfo_t *info, void *context) {
  (void)info, (void)context;
  moetop_guard_end(moetop_guard.pending ? moetop_guard.pending : sig);
}

static void moetop_guard_call(int sig, siginfo_t *info, void *context) {
  (void)info, (void)context;
  moetop_guard_note(sig == SIGWINCH ? 'W' : sig == SIGTSTP ? 'Z' : 'C');
}

typedef void (*moetop_guard_handler)(int, siginfo_t *, void *);

static void moetop_guard_install(int sig, moetop_guard_handler handler, int flags, int even_ignored) {
  struct sigaction action, before;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = handler;
  sigfillset(&action.sa_mask);
  action.sa_flags = flags | SA_ONSTACK | SA_SIGINFO;
  if (sigaction(sig, NULL, &before) != 0) return;
  if (before.sa_handler == SIG_IGN && !even_ignored) return;
  if (sigaction(sig, &action, NULL) != 0) return;
  moetop_guard.before[sig] = before;
  moetop_guard.ours[sig] = 1;
}

/* What nobody sends on purpose ends the program by default, and must not leave the terminal raw. Left alone is what cannot be handled,
   what stops or does nothing by default, and what the program ignores. */
static int moetop_guard_ends(int sig) {
  switch (sig) {
  case SIGKILL: case SIGSTOP: case SIGTTIN: case SIGTTOU: case SIGCHLD: case SIGURG: case SIGPIPE: case SIGXFSZ: return 0;
#ifdef __APPLE__
  case SIGINFO: case SIGIO: return 0;
#endif
  default: return 1;
  }
}

void moetop_guard_prepare(void) {
  const char *wish = getenv("SWIFT_BACKTRACE");
  moetop_guard.traces = wish && *wish;
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, NULL);
  if (moetop_guard.traces) return;
  for (size_t i = 0; i < MOETOP_GUARD_CRASHES; i++) {
    struct sigaction now;
    if (sigaction(moetop_guard_crashes[i], NULL, &now) == 0 && moetop_guard_handles(&now)) moetop_guard_default(moetop_guard_crashes[i]);
  }
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
  for (size_t i = 0; i < MOETOP_GUARD_CRASHES; i++) moetop_guard_install(moetop_guard_crashes[i], moetop_guard_fatal, 0, 1);
  moetop_guard_install(SIGTERM, moetop_guard_ask, SA_RESTART, 1);
  moetop_guard_install(SIGHUP, moetop_guard_ask, SA_RESTART, 0); /* nohup */
  moetop_guard_install(SIGINT, moetop_guard_ask, SA_RESTART, 0);
  moetop_guard_install(SIGALRM, moetop_guard_late, 0, 1);
  moetop_guard_install(SIGWINCH, moetop_guard_call, SA_RESTART, 1);
  moetop_guard_install(SIGTSTP, moetop_guard_call, SA_RESTART, 1);
  moetop_guard_install(SIGCONT, moetop_guard_call, SA_RESTART, 1);
  for (int sig = 1; sig < MOETOP_GUARD_SIGNALS && sig < NSIG; sig++) {
    if (!moetop_guard.ours[sig] && moetop_guard_ends(sig)) moetop_guard_install(sig, moetop_guard_fatal, 0, 0);
  }
  static int registered;
  if (!registered) registered = atexit(moetop_guard_restore) == 0;
}

void moetop_guard_finish(void) {
  for (int sig = 1; sig < MOETOP_GUARD_SIGNALS; sig++) {
    if (moetop_guard.ours[sig]) sigaction(sig, &moetop_guard.before[sig], NULL);
    moetop_guard.ours[sig] = 0;
  }
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
