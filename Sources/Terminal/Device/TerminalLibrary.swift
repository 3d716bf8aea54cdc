// Which ncurses this process talks to.

import CNcurses

public enum TerminalLibrary {
  /// Version with its date, `6.4.20221231`; the library's own words without its name.
  public static var version: String { String(cString: moetop_version()).split(separator: " ").last.map(String.init) ?? "" }
}
