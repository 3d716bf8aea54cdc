// A terminal whose window is gone, as a program meets it that still has it open.

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

public enum ClosedTerminal {
  /// A descriptor to write to, in vain; nil where the system has no such terminals.
  public static func open() -> Int32? {
    #if canImport(Darwin)
      let window = posix_openpt(O_RDWR | O_NOCTTY)
      guard window >= 0, grantpt(window) == 0, unlockpt(window) == 0, let name = ptsname(window) else { return nil }
      let terminal = Darwin.open(name, O_RDWR | O_NOCTTY)
    #else
      let window = Glibc.open("/dev/ptmx", O_RDWR | O_NOCTTY)
      var isLocked: Int32 = 0
      var number: UInt32 = 0
      // TIOCSPTLCK and TIOCGPTN, which are macros that Swift does not see.
      guard window >= 0, ioctl(window, 0x4004_5431, &isLocked) == 0, ioctl(window, 0x8004_5430, &number) == 0 else { return nil }
      let terminal = Glibc.open("/dev/pts/\(number)", O_RDWR | O_NOCTTY)
    #endif
    close(window)
    return terminal < 0 ? nil : terminal
  }
}
