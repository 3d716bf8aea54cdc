// Does what a path is survive being written? Links, modes, several names for one file, pipes and devices; nothing is left behind by a
// writer that gives up; and cells of comma-separated values that a spreadsheet would run.

import Foundation
import Support
import Testing

@testable import Formats

@Suite struct OutputFileTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private func text(_ name: String) throws -> String { try String(contentsOfFile: directory.file(name), encoding: .utf8) }

  private func status(_ name: String) -> stat {
    var status = stat()
    #expect(lstat(directory.file(name), &status) == 0)
    return status
  }

  @Test func linksAreWrittenThrough() throws {
    try directory.write("old".utf8, to: "target")
    #expect(symlink("target", directory.file("relative")) == 0)
    #expect(symlink(directory.file("relative"), directory.file("absolute")) == 0)
    #expect(symlink("not-yet", directory.file("dangling")) == 0)
    for (name, target) in [("relative", "target"), ("absolute", "target"), ("dangling", "not-yet")] {
      try OutputFile.write(name, to: directory.file(name))
      #expect(status(name).st_mode & S_IFMT == S_IFLNK)
      #expect(try text(target) == name)
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).count == 5)
  }

  @Test(arguments: [0o600, 0o640, 0o755, 0o4711] as [mode_t]) func modesStay(_ mode: mode_t) throws {
    try directory.write("old".utf8, to: "own")
    chmod(directory.file("own"), mode)
    try OutputFile.write("new", to: directory.file("own"))
    #expect(status("own").st_mode & 0o7777 == mode)
    #expect(try text("own") == "new")
  }

  @Test func namesOfOneFileStayTogether() throws {
    try directory.write("an old and longer text".utf8, to: "one")
    #expect(link(directory.file("one"), directory.file("two")) == 0)
    try OutputFile.write("new", to: directory.file("one"))
    #expect(try text("two") == "new" && status("one").st_ino == status("two").st_ino)
  }

  /// In order and out of order: a pipe's reader gets the same bytes.
  @Test(arguments: [OutputFile.Order.sequential, .any]) func pipesAreWrittenInto(_ order: OutputFile.Order) throws {
    let path = directory.file("pipe")
    #expect(mkfifo(path, 0o600) == 0)
    let reader = open(path, O_RDONLY | O_NONBLOCK)
    defer { close(reader) }
    let file = try OutputFile(path: path, order: order)
    if order == .any { try Array("world".utf8).withUnsafeBytes { try file.write($0, at: 6) } }
    try Array("hello ".utf8).withUnsafeBytes { try file.write($0, at: 0) }
    if order == .sequential { try file.write(Array("world".utf8)) }
    try file.commit()
    var bytes = [UInt8](repeating: 0, count: 64)
    let count = read(reader, &bytes, bytes.count)
    #expect(String(decoding: bytes.prefix(max(0, count)), as: UTF8.self) == "hello world")
    #expect(status("pipe").st_mode & S_IFMT == S_IFIFO)
  }

  @Test func devicesStay() throws {
    try OutputFile.write("x", to: "/dev/null")
    #expect { try OutputFile.write("x", to: "/dev/full") } throws: { "\($0)" == "/dev/full: cannot write: no space is left on the device" }
    for path in ["/dev/null", "/dev/full"] {
      var status = stat()
      #expect(lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFCHR)
    }
  }

  /// A descriptor that is there already keeps its place in its file.
  @Test func descriptorsAreWrittenOn() throws {
    try directory.write("before ".utf8, to: "log")
    let log = open(directory.file("log"), O_WRONLY | O_APPEND)
    defer { close(log) }
    for folder in ["/dev/fd", "/proc/self/fd"] where FileManager.default.fileExists(atPath: folder) {
      try OutputFile.write("after ", to: "\(folder)/\(log)")
    }
    #expect(try text("log").hasPrefix("before after "))
  }

  @Test func whatIsGivenUpLeavesNothing() throws {
    try directory.write("old".utf8, to: "kept")
    #expect(mkfifo(directory.file("pipe"), 0o600) == 0)
    for name in ["kept", "fresh"] {
      let file = try OutputFile(path: directory.file(name))
      try file.write([1, 2, 3])
      #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).contains { $0.hasSuffix(".partial") })
    }
    #expect(try Set(FileManager.default.contentsOfDirectory(atPath: directory.path)) == ["kept", "pipe"])
    #expect(try text("kept") == "old")
  }

  @Test func pathsThatCannotBeWritten() throws {
    #expect(symlink("b", directory.file("a")) == 0 && symlink("a", directory.file("b")) == 0)
    try directory.write("x".utf8, to: "plain")
    let cases: [(String, String)] = [
      (directory.file("none/x"), "its folder does not exist"), (directory.path, "it is a folder"), (directory.file("a"), "in a circle"),
      (directory.file(String(repeating: "n", count: 300)), "longer than"), (directory.file("plain/x"), "not a folder"),
      (directory.file("none/"), "its folder does not exist"), ("", "cannot be called so"),
    ]
    for (path, words) in cases {
      #expect { try OutputFile.check(path) } throws: { "\($0)".contains("cannot create") && "\($0)".contains(words) }
      #expect { try OutputFile(path: path) } throws: { "\($0)".contains(words) }
    }
  }

  @Test(arguments: [
    ("plain", "plain"), ("a,b", "\"a,b\""), ("say \"x\"", "\"say \"\"x\"\"\""), ("=1+1", "'=1+1"), ("+x", "'+x"), ("-", "'-"),
    ("@a", "'@a"),
    ("\tx", "'\tx"), ("=\"a\"", "\"'=\"\"a\"\"\""), ("'=x", "''=x"), ("'tis", "'tis"), ("''", "''"), ("a=b", "a=b"), ("", ""),
  ])
  func cellsAreText(_ text: String, _ cell: String) { #expect(CSV.cell(text) == cell) }

  @Test func numbersAreNotText() {
    #expect(CSV.field("-1.5") == "-1.5" && CSV.field("-x") == "'-x" && CSV.cell(-0.25 as Double) == "-0.25" && CSV.cell(Float.nan) == "")
  }
}
