// Terminals that no window is: one as large as the system allows, and one that goes away.

import Foundation
import Support
import Testing

@Suite(.serialized)
struct PseudoTerminalTests {
  private let folder: TemporaryDirectory
  private let model: String

  init() throws {
    folder = try TemporaryDirectory()
    model = try #require(Fixtures.own("dit/timm"))
  }

  /// The program on a terminal of its own, whose other end is `master`.
  private func start(columns: UInt16, rows: UInt16, _ environment: [String: String] = [:]) throws -> (process: Process, master: Int32) {
    var (master, slave): (Int32, Int32) = (-1, -1)
    var size = winsize(ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
    #expect(openpty(&master, &slave, nil, nil, &size) == 0)
    // Whoever is started keeps no copy of it: it is gone when this end is closed.
    _ = fcntl(master, F_SETFD, FD_CLOEXEC)
    let process = Binary.start(
      ["ui", model, "--no-record", "--data-dir", folder.path],
      environment: ["TERM": "xterm-256color", "XDG_STATE_HOME": folder.path].merging(environment) { $1 })
    let terminal = FileHandle(fileDescriptor: slave, closeOnDealloc: true)
    (process.standardInput, process.standardOutput, process.standardError) = (terminal, terminal, terminal)
    try process.run()
    try terminal.close()
    return (process, master)
  }

  /// Reads what is drawn, as a terminal would, until `text` comes or `isOver`.
  private func read(_ master: Int32, until text: String? = nil, isOver: () -> Bool) -> Bool {
    var drawn = Data()
    let deadline = Date().addingTimeInterval(90)
    var part = [UInt8](repeating: 0, count: 1 << 16)
    // Whoever has ended may have written more than was read.
    while Date() < deadline {
      var wanted = pollfd(fd: master, events: Int16(POLLIN), revents: 0)
      let wasOver = isOver()
      guard poll(&wanted, 1, 50) > 0 else {
        if wasOver { break }
        continue
      }
      guard case let count = Foundation.read(master, &part, part.count), count > 0 else { break }
      drawn.append(contentsOf: part.prefix(count))
      if let text, drawn.range(of: Data(text.utf8)) != nil { return true }
    }
    return text == nil
  }

  @Test func aHugeTerminalIsDrawnUpToABound() throws {
    let (process, master) = try start(columns: 32_767, rows: 32_767)
    defer { close(master) }
    #expect(read(master, until: "steps/s") { !process.isRunning })
    let status = try String(contentsOfFile: "/proc/\(process.processIdentifier)/status", encoding: .utf8)
    let peak = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmHWM") }.flatMap { Int($0.filter(\.isNumber)) })
    #expect(peak < 400_000, "kB at most")
    var key = UInt8(ascii: "q")
    #expect(write(master, &key, 1) == 1)
    _ = read(master) { !process.isRunning }
    process.waitUntilExit()
    #expect(process.terminationReason == .exit && process.terminationStatus == 0)
  }

  private func type(_ text: String, _ master: Int32) {
    let bytes = Array(text.utf8)
    #expect(write(master, bytes, bytes.count) == bytes.count)
  }

  /// Pictures go out by kitty's protocol where that was asked for and the terminal answers, and are taken away before the screen is left.
  @Test(arguments: [("kitty", true), ("kitty", false), ("auto", true)])
  func pictures(_ setting: String, _ answers: Bool) throws {
    let (process, master) = try start(columns: 120, rows: 40, ["MOETOP_PICTURES": setting])
    defer { close(master) }
    // The program waits a tenth of a second for answers: a late one would be taken for keys.
    if setting == "kitty" { #expect(read(master, until: "a=q,") { !process.isRunning }) }
    if answers, setting == "kitty" { type("\u{1B}_Gi=7171941;OK\u{1B}\\\u{1B}[?62c", master) }
    let mark = setting == "kitty" && answers ? "\u{1B}_Ga=T,f=24," : "▀▀▀▀"
    #expect(read(master, until: mark) { !process.isRunning })
    type("q", master)
    #expect(read(master, until: setting == "kitty" && answers ? "\u{1B}_Ga=d,d=I," : "\u{1B}[?1049l") { !process.isRunning })
    _ = read(master) { !process.isRunning }
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
  }

  /// Nobody is left to tell; the exit code tells it.
  @Test func aTerminalThatGoesAwayIsAHangUp() throws {
    let (process, master) = try start(columns: 120, rows: 40)
    #expect(read(master, until: "steps/s") { !process.isRunning })
    close(master)
    process.waitUntilExit()
    #expect(process.terminationReason == .exit && process.terminationStatus == 129)
  }
}
