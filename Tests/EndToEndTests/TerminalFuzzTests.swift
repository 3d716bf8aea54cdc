// Seeded keys, clicks, pastes, broken sequences and sizes, sent to the real program through a terminal of its own, of texts, of images, live
// and recorded, with tokens that hold what breaks rows. Nothing runs over an edge, no byte is broken, what was drawn piece by piece is what
// is drawn at once, and the terminal is given back. MOETOP_FUZZ=full sends ten thousand events.

import Foundation
import Support
import Testing

@Suite(.serialized)
struct TerminalFuzzTests {
  enum Kind: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case live, images, recorded

    var testDescription: String { rawValue }
  }

  private static let events = ProcessInfo.processInfo.environment["MOETOP_FUZZ"] == "full" ? 10_000 / Kind.allCases.count : 300
  private let folder: TemporaryDirectory

  init() throws { folder = try TemporaryDirectory() }

  // MARK: - What is opened

  /// Bytes as the letters that byte-level tokenizers write for them.
  private static func letters(_ bytes: [UInt8]) -> String {
    let plain = Array(33...126) + Array(161...172) + Array(174...255)
    let others = (0...255).filter { !plain.contains($0) }
    return bytes.reduce(into: "") { text, byte in
      let value = others.firstIndex(of: Int(byte)).map { 256 + $0 } ?? Int(byte)
      if let scalar = Unicode.Scalar(value) { text.unicodeScalars.append(scalar) }
    }
  }

  /// The sample with a tokenizer that writes hostile texts for usual ones.
  private func hostileModel() throws -> String {
    let sample = Fixtures.root + "/samples/olmoe-tiny"
    let model = folder.file("hostile")
    try FileManager.default.createDirectory(atPath: model, withIntermediateDirectories: true)
    for file in ["config.json", "model.safetensors", "tokenizer_config.json"] {
      try FileManager.default.createSymbolicLink(atPath: "\(model)/\(file)", withDestinationPath: "\(sample)/\(file)")
    }
    // What a live session reads by itself.
    try FileManager.default.createSymbolicLink(
      atPath: folder.file("corpus.jsonl"), withDestinationPath: Fixtures.root + "/samples/corpus.jsonl")
    let source = try Data(contentsOf: URL(fileURLWithPath: sample + "/tokenizer.json"))
    var tokenizer = try #require(try JSONSerialization.jsonObject(with: source) as? [String: Any])
    let texts: [(String, [UInt8])] = [
      ("e", Array("漢".utf8)), ("a", Array("e\u{301}\u{302}\u{303}".utf8)), ("s", [0xFF, 0xC3]), ("r", Array("\u{202E}".utf8)),
      ("n", [0x1B, 0x5B, 0x32, 0x4A]), ("i", Array("👩‍👧🇩🇪\u{FE0F}".utf8)), ("o", Array("\u{AD}\u{200B}กำ".utf8)),
      ("t", [9, 13, 0, 0x7F, 0xC2, 0x9B]),
    ]
    let replaces: [[String: Any]] = texts.map { ["type": "Replace", "pattern": ["String": $0.0], "content": Self.letters($0.1)] }
    tokenizer["decoder"] = ["type": "Sequence", "decoders": replaces + [["type": "ByteLevel"]]]
    try JSONSerialization.data(withJSONObject: tokenizer).write(to: URL(fileURLWithPath: model + "/tokenizer.json"))
    return model
  }

  private func target(_ kind: Kind) throws -> [String] {
    switch kind {
    case .live: return [try hostileModel(), "--no-record"]
    case .images: return [try #require(Fixtures.own("dit/timm")), "--no-record", "--steps", "6"]
    case .recorded:
      let trace = folder.file("run.db")
      let text = try folder.write(
        Array(String(repeating: "the stone rain at noon is near their own trees\n", count: 20).utf8), to: "text.txt")
      let run = try Binary.run(["run", try hostileModel(), "-f", text, "--trace", trace, "--quiet"])
      #expect(run.status == 0, "\(run.errors)")
      return [trace + "#1"]
    }
  }

  // MARK: - What is sent

  private static let keys = [
    "\u{1B}[A", "\u{1B}[B", "\u{1B}[C", "\u{1B}[D", "\u{1B}[1;2C", "\u{1B}[1;2D", "\u{1B}[5~", "\u{1B}[6~", "\u{1B}[H", "\u{1B}[F", "\r",
    "\t", "\u{1B}[Z", "\u{1B}", " ", "\u{7F}", "\u{4}", "\u{15}", "\u{C}", "\u{1B}OP",
  ]
  private static let hostile: [[UInt8]] = [
    [0xFF, 0xFE], [0xE6, 0xBC], [0x1B, 0x5B], Array("\u{1B}[<0;9".utf8), Array("\u{1B}[<35;999;999M".utf8),
    Array("\u{1B}[200~a\nb\u{1B}[2J漢".utf8),
    Array("\u{1B}[201~".utf8), Array("\u{1B}]11;rgb:0/0/0\u{7}".utf8), Array("\u{1B}[?64;22c".utf8), Array("漢e\u{301}\u{202E}".utf8), [0],
    Array("\u{1B}[<64;5;5M\u{1B}[<65;5;5M".utf8), Array("\u{1B}[I\u{1B}[O".utf8),
  ]
  private static let sizes = [(120, 40), (80, 24), (60, 16), (200, 60), (30, 8), (1, 1), (61, 17), (100, 30), (250, 12), (62, 70)]

  /// One event as bytes; sizes are set at once.
  private func bytes(_ random: inout SeededRandom, _ session: TerminalSession, _ forgiven: inout Int) -> [UInt8] {
    switch random.next() % 30 {
    case 0:
      // Frames that are on their way are still for the old size, and are drawn on a terminal of that.
      session.settle(milliseconds: 40, seconds: 0.2)
      let size = Self.sizes[Int(random.next() % UInt64(Self.sizes.count))]
      session.resize(columns: size.0, rows: size.1)
      session.settle(milliseconds: 60, seconds: 0.3)
      // What was drawn before the program heard of it.
      forgiven = session.screen.overruns
      return []
    case 1, 2:
      let (x, y) = (1 + random.next() % 210, 1 + random.next() % 62)
      return Array("\u{1B}[<\([0, 0, 32, 64, 65][Int(random.next() % 5)]);\(x);\(y)M".utf8)
    case 3: return Self.hostile[Int(random.next() % UInt64(Self.hostile.count))]
    case 4...12: return Array(Self.keys[Int(random.next() % UInt64(Self.keys.count))].utf8)
    default:
      // Any letter but the one that leaves.
      let byte = UInt8(33 + random.next() % 94)
      return byte == UInt8(ascii: "q") ? [UInt8(ascii: "?")] : [byte]
    }
  }

  private func expectWhole(_ session: TerminalSession, _ step: Int, _ forgiven: Int) {
    #expect(session.screen.overruns == forgiven, "step \(step): something ran over the right edge")
    #expect(session.screen.brokenBytes == 0, "step \(step): bytes that are no UTF-8")
    #expect(session.screen.unknown.isEmpty, "step \(step): \(session.screen.unknown)")
    let widths = Set(session.screen.widths)
    #expect(widths == [session.screen.width], "step \(step): rows of \(widths) columns")
  }

  /// What was drawn piece by piece is what is drawn at once. A replay may go on meanwhile: then it is tried again.
  private func expectTheSameAtOnce(_ session: TerminalSession, _ step: Int) {
    // Out of a paste that never ended, of a line, of what lies over the screen; a replay stops.
    session.send("\u{1B}[201~")
    var (pieces, whole): ([String], [String]) = ([], [])
    for _ in 0..<4 where !session.hasEnded {
      session.send("\u{1B}")
      session.settle(milliseconds: 150, seconds: 1)
      // Messages go with the next key.
      pieces = session.screen.lines.dropLast(2) + session.screen.lines.suffix(1)
      session.send("\u{C}")
      session.settle(milliseconds: 150, seconds: 1)
      whole = session.screen.lines.dropLast(2) + session.screen.lines.suffix(1)
      if whole == pieces { return }
      session.send(" ")
      session.settle(milliseconds: 100, seconds: 1)
    }
    #expect(whole == pieces || session.hasEnded, "step \(step)")
  }

  @Test(arguments: Kind.allCases) func eventsLeaveWholeScreens(_ kind: Kind) throws {
    var random = SeededRandom(seed: UInt64(17 + kind.rawValue.utf8.count))
    let target = try target(kind)
    var before: [UInt32] = []
    var forgiven = 0
    func start() throws -> TerminalSession {
      let session = try TerminalSession(
        ["ui"] + target + ["--data-dir", folder.path], environment: ["HOME": folder.path], folder: folder.path)
      session.keepsBytes = false
      before = session.modes
      if kind != .images { #expect(session.wait { $0.plainText.contains("漢") }, "tokens are hostile") }
      #expect(session.wait { $0.plainText.contains("Load ·") || $0.plainText.contains("Load") && $0.plainText.contains("layer") })
      return session
    }
    var session = try start()
    for step in 0..<Self.events {
      session.send(bytes(&random, session, &forgiven))
      session.read(waiting: step % 5 == 0 ? 4 : 0)
      // Letters may spell a command of the palette that leaves.
      if session.hasEnded {
        #expect(session.end() == .exited(0), "step \(step)")
        session = try start()
        forgiven = 0
      }
      guard step % 100 == 99 else { continue }
      session.settle(milliseconds: 60, seconds: 2)
      expectWhole(session, step, forgiven)
      if kind == .recorded { expectTheSameAtOnce(session, step) }
    }
    if session.hasEnded { session = try start() }
    session.signal(SIGTERM)
    #expect(session.end(seconds: 20)?.status == 128 + SIGTERM)
    #expect(session.screen.modes == VirtualScreen.modesAtFirst && session.modes == before)
  }
}
