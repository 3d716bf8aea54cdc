// What a session leaves for the next: bounded, of the user's alone, whole or not at all; and never in anybody's way.

import Foundation
import Support
import Terminal
import Testing

@testable import App

struct SessionStateTests {
  private let folder: TemporaryDirectory

  init() throws { folder = try TemporaryDirectory() }

  private var path: String { folder.file("state/moetop/session.json") }

  private func read(_ path: String) -> SessionState? {
    FileManager.default.contents(atPath: path).flatMap { SessionState(bytes: Array($0)) }
  }

  @Test func comesBackAsItWas() throws {
    let state = SessionState(histories: [.palette: ["token 18", "log"], .prompt: ["The \"capital\"\tof \u{1B}[2J"]], palette: .grey)
    state.leave(at: path)
    #expect(read(path) == state)
    let attributes = try FileManager.default.attributesOfItem(atPath: path)
    #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600)
    let above = try FileManager.default.attributesOfItem(atPath: folder.file("state/moetop"))
    #expect((above[.posixPermissions] as? NSNumber)?.intValue == 0o700)
    // A file that others could read is taken back from them, and nothing else is left beside it.
    #expect(chmod(path, 0o644) == 0)
    state.leave(at: path)
    #expect((try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? NSNumber)?.intValue == 0o600)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.file("state/moetop")) == ["session.json"])
  }

  @Test func isBounded() throws {
    let long = String(repeating: "x", count: SessionState.mostBytesOfALine + 1)
    SessionState(histories: [.find: (0..<1000).map { "word \($0)" } + [long, ""]]).leave(at: path)
    let lines = try #require(read(path)?.histories[.find])
    #expect(lines.count == SessionState.mostLines && lines.last == "word 999" && lines.first == "word 800")
  }

  /// Two sessions beside each other lose nothing of either; the one that is left last has the last word.
  @Test func sessionsBesideEachOther() throws {
    SessionState(histories: [.palette: ["a", "b"]], palette: .grey).leave(at: path)
    SessionState(histories: [.palette: ["a", "c"]]).leave(at: path)
    #expect(read(path) == SessionState(histories: [.palette: ["b", "a", "c"]], palette: .grey))
    // Nothing to leave leaves what is there.
    SessionState().leave(at: path)
    #expect(read(path)?.histories[.palette] == ["b", "a", "c"])
  }

  @Test(arguments: [
    "", "{", "null", "[]", "{\"schema\":\"moetop.state/9\"}", "{\"schema\":7}", "\u{0}\u{0}", String(repeating: "[", count: 100_000),
  ])
  func whatIsDamagedIsPassedOver(_ text: String) throws {
    #expect(SessionState(bytes: Array(text.utf8)) == nil)
    try FileManager.default.createDirectory(atPath: folder.file("state/moetop"), withIntermediateDirectories: true)
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    let state = SessionState(histories: [.find: ["x"]])
    state.leave(at: path)
    #expect(read(path) == state)
  }

  @Test func whatIsNotUnderstoodIsLeftOut() {
    let text = #"{"schema":"moetop.state/1","palette":"pink","histories":{"find":["a",7,null,"b"],"prompt":"x","other":["y"]}}"#
    #expect(SessionState(bytes: Array(text.utf8)) == SessionState(histories: [.find: ["a", "b"]]))
    #expect(SessionState(bytes: Array(#"{"schema":"moetop.state/1"}"#.utf8)) == SessionState())
  }

  /// A pipe without a reader would hold up whoever leaves; a folder, a closed folder and a place that cannot be are nothing to speak of.
  @Test func whereNothingCanBeWritten() throws {
    let state = SessionState(histories: [.find: ["x"]])
    let pipe = folder.file("pipe")
    #expect(mkfifo(pipe, 0o600) == 0)
    for path in [pipe, folder.path, "/dev/null", "/proc/nothing/session.json", pipe + "/session.json"] { state.leave(at: path) }
    var status = stat()
    #expect(lstat(pipe, &status) == 0 && status.st_mode & S_IFMT == S_IFIFO)
  }

  @Test func onlyTheLinesOfALineAreKept() throws {
    var model = try SyntheticSession.model()
    model.press("/ b a n k enter : t o k e n space 7 enter = 0 . 9 enter p h i enter")
    let state = SessionState(of: model, began: .viridis)
    #expect(state.histories == [.find: ["bank"], .palette: ["token 7"], .prompt: ["hi"]] && state.palette == nil)
    #expect(SessionState(of: model, began: .viridis, without: [.prompt]).histories[.prompt] == nil)
    model.press("P")
    #expect(SessionState(of: model, began: .viridis).palette == .cividis)
  }

  @Test func thePaletteRemembers() throws {
    var model = try SyntheticSession.model()
    // What was done is remembered, not the letters it was found by.
    model.press(": l o g enter esc : t o k e n space 1 2 enter : c o l down up enter")
    #expect(model.histories[.palette]?.prefix(2) == ["log", "token 12"])
    func typed() -> String { if case .entry(_, let field, _) = model.overlay { field.text } else { "" } }
    model.press(": up")
    let last = typed()
    #expect(last == model.histories[.palette]?.last)
    model.press("up")
    #expect(typed() == "token 12")
    model.press("up up down")
    #expect(typed() == "token 12")
    // Whoever types on chooses again.
    model.press("backspace down")
    #expect(typed() == "token 1")
    model.press("esc : ctrl-p ctrl-p ctrl-n")
    #expect(typed() == last)
    model.press("esc : down up")
    if case .entry(_, let field, let selected) = model.overlay { #expect(field.isEmpty && selected == 0) }
  }
}
