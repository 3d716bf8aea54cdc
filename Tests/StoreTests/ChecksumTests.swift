// Can a trace lie? Checksums by the written rule, every kind of edit that once went unseen, with and without checksums, and single bits
// anywhere in the file: what is read is what was recorded, or it is said that it is not.

import Formats
import Foundation
import GRDB
import Routing
import Support
import Testing

@testable import Store

@Suite struct ChecksumTests {
  let directory: TemporaryDirectory
  var file: String { directory.file("trace.db") }

  init() throws { directory = try TemporaryDirectory() }

  static let shape = SampleShape(
    name: "x", recording: RecordingLevel(content: .full, logitsEvery: 3), passes: [100, 1, 20], hasNaN: true, hasDrops: true,
    hasPadding: true)

  /// CRC-32 bit by bit, as RFC 1952 writes it down.
  private func crc(_ bytes: some Sequence<UInt8>, after start: UInt32 = 0) -> UInt32 {
    var register = ~start
    for byte in bytes {
      register ^= UInt32(byte)
      for _ in 0..<8 { register = register >> 1 ^ (register & 1 == 1 ? 0xEDB8_8320 : 0) }
    }
    return ~register
  }

  @Test func crcIsThatOfZlib() {
    var sum = CRC32()
    sum.add(Array("12345".utf8))
    sum.add([])
    sum.add(Array("6789".utf8))
    #expect(sum.value == 0xCBF4_3926 && crc("123456789".utf8) == 0xCBF4_3926)
  }

  /// Long texts are taken in blocks where the processor can: the same for every length, start and place.
  @Test func crcOfBlocksIsThatOfBytes() {
    let bytes = (0..<400).map { UInt8(truncatingIfNeeded: $0 * $0 * 7 + $0 >> 3) }
    for length in Array(0...140) + [255, 256, 257, 383] {
      for place in 0..<17 {
        var sum = CRC32()
        sum.add(Array(bytes.prefix(place)))
        bytes.withUnsafeBytes { sum.add(UnsafeRawBufferPointer(rebasing: $0[place..<place + length])) }
        #expect(sum.value == crc(bytes[..<(place + length)]), "\(length) bytes at \(place)")
      }
    }
  }

  @Test(arguments: [RecordingExtras(), .all]) func checksumsFollowTheWrittenRule(_ extras: RecordingExtras) throws {
    var shape = Self.shape
    shape.recording.extras = extras
    try shape.record(in: file)
    try DatabaseQueue(path: file).read { db in
      let heads = "absent, dropped, ids, weights, entropy, selection_margin, top1_margin, top_k_mass, importance"
      let rows = try Row.fetchAll(
        db,
        sql: "SELECT \(heads), logit_rows, logits, norms, shared_weight, shared_norm, checksum, decision_checksum, first_token, "
          + "token_count, squared_lse FROM page LEFT JOIN page_extra ON page = id")
      #expect(rows.count >= 3)
      for row in rows {
        let blobs = (0..<14).map { row[$0] as Data? ?? Data() }
        let head = blobs[..<9].reduce(UInt32(0)) { crc($1, after: $0) }
        #expect(row["checksum"] == Int64(blobs[9...].reduce(head) { crc($1, after: $0) }))
        let squares = (row["squared_lse"] as Double?)?.bitPattern ?? 0x7ff8_0000_0000_0000
        let numbers = [UInt64(row["first_token"] as Int), UInt64(row["token_count"] as Int), squares]
        let tail = numbers.flatMap { number in (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) } }
        #expect(row["decision_checksum"] == Int64(crc(tail, after: blobs[11...].reduce(head) { crc($1, after: $0) })))
        #expect(blobs[11...].allSatisfy { $0.isEmpty == extras.isEmpty })
      }
      var tokens: [UInt8] = []
      for row in try Row.fetchAll(
        db, sql: "SELECT token.*, pass, batch, predicted_id FROM token LEFT JOIN token_extra USING (run, token) ORDER BY token")
      {
        func append(_ number: UInt32) { tokens += (0..<4).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) } }
        for name in ["sequence", "position", "token_id"] { append(UInt32(bitPattern: row[name] as Int32)) }
        tokens.append(row["phase"])
        for name in ["surprisal", "next_token_entropy"] { append((row[name] as Double?).map { Float($0).bitPattern } ?? 0x7fc0_0000) }
        for name in ["pass", "batch", "predicted_id"] { if let number = row[name] as Int32? { append(UInt32(bitPattern: number)) } }
      }
      #expect(try Int64.fetchOne(db, sql: "SELECT token_checksum FROM run") == Int64(crc(tokens)))
    }
  }

  /// The byte string of a column with its first bytes exchanged.
  private static func with(_ hex: String, in column: String) -> String {
    "UPDATE page SET \(column) = CAST(x'\(hex)' || substr(\(column), \(hex.count / 2 + 1)) AS BLOB) WHERE first_token = 0"
  }

  static let pageEdits = [
    (with("0505", in: "ids"), "taken twice"), (with("0000c07f", in: "weights"), "expected a finite number"),
    (with("0000807f", in: "weights"), "expected a finite number"), (with("000080bf", in: "weights"), "expected none below 0"),
    (with("0000c842", in: "entropy"), "entropy 100.0"), (with("000080bf", in: "top1_margin"), "top-1 margin -1.0"),
    (with("00000040", in: "top_k_mass"), "top-k mass 2.0"), (with("000080bf", in: "selection_margin"), "selection margin -1.0"),
    (with("000000000000f0bf", in: "importance"), "importance"),
    ("UPDATE page SET squared_lse = -1", "sum of squares"),
    ("UPDATE page SET entropy = NULL WHERE first_token = 0", "entropy_tokens"),
  ]

  /// Old traces have no checksums: their pages are held against ranges and totals.
  @Test(arguments: pageEdits) func editedPagesAreFound(_ sql: String, _ words: String) throws {
    var shape = Self.shape
    shape.hasPadding = false
    shape.hasNaN = false
    try shape.record(in: file)
    let database = try DatabaseQueue(path: file)
    try database.write { try $0.execute(sql: sql) }
    let trace = try TraceReader(file: file)
    let findings = try trace.checkIntegrity()
    #expect(findings.map(\.description).joined().contains("checksum"), "\(findings)")
    // What is read is held against it too, with and without logits, and the error says where.
    for withLogits in [true, false] {
      #expect { try trace.passes(of: try trace.run(.latest), withLogits: withLogits).forEach { _ in } } throws: {
        guard case StoreError.damaged(_, let place, _) = $0 else { return false }
        return place.hasPrefix("run 1, router ffn.0, page of ") && place.hasSuffix("tokens at 0")
      }
    }
    try database.write { try $0.execute(sql: "UPDATE page SET checksum = NULL, decision_checksum = NULL") }
    let old = try trace.checkIntegrity()
    #expect(old.contains { $0.run == 1 && $0.problem.contains(words) }, "\(old)")
    #expect(try trace.pagesWithoutChecksum(run: 1) >= 3)
  }

  /// What is kept on request is under the same checksums, read with logits or without; without checksums it is held against its ranges.
  @Test(arguments: [
    ("UPDATE page_extra SET norms = zeroblob(length(norms))", "none of another"),
    ("UPDATE page_extra SET norms = CAST(x'000080bf' || substr(norms, 5) AS BLOB)", "norm -1.0"),
    ("UPDATE page_extra SET shared_weight = CAST(x'000080bf' || substr(shared_weight, 5) AS BLOB)", "shared weight -1.0"),
    ("UPDATE page_extra SET shared_norm = CAST(x'000080bf' || substr(shared_norm, 5) AS BLOB)", "shared norm -1.0"),
    ("DELETE FROM page_extra", ""),
  ])
  func editedExtrasAreFound(_ sql: String, _ words: String) throws {
    var shape = Self.shape
    shape.recording.extras = .all
    try shape.record(in: file)
    let database = try DatabaseQueue(path: file)
    try database.write { try $0.execute(sql: sql) }
    let trace = try TraceReader(file: file)
    #expect(try trace.checkIntegrity().map(\.description).joined().contains("checksum"))
    for withLogits in [true, false] {
      #expect { try trace.passes(of: try trace.run(.latest), withLogits: withLogits).forEach { _ in } } throws: {
        ($0 as? StoreError)?.kind == .damaged
      }
    }
    try database.write { try $0.execute(sql: "UPDATE page SET checksum = NULL, decision_checksum = NULL") }
    let old = try trace.checkIntegrity().map(\.problem)
    #expect(words.isEmpty || old.contains { $0.contains(words) }, "\(old)")
  }

  @Test(arguments: [
    "UPDATE token_extra SET pass = pass + 1 WHERE token = 5", "UPDATE token_extra SET batch = -1 WHERE token = 5",
    "UPDATE token_extra SET predicted_id = NULL WHERE token = 5", "UPDATE token_extra SET predicted_id = predicted_id + 1 WHERE token = 5",
    "DELETE FROM token_extra WHERE token = 5", "DELETE FROM token_extra",
    "UPDATE run SET description = replace(description, ',\"predicted\"', '')",
  ])
  func editedExtrasOfTokensAreFound(_ sql: String) throws {
    var shape = Self.shape
    shape.recording.extras = .all
    try shape.record(in: file)
    try DatabaseQueue(path: file).write { try $0.execute(sql: sql) }
    let trace = try TraceReader(file: file)
    #expect(try !trace.checkIntegrity().isEmpty)
    if sql.contains("run SET") { return }
    #expect { try trace.wholeRun() } throws: { ($0 as? StoreError)?.kind == .damaged }
  }

  /// Every id one higher: each is one that the router has, and only the totals know.
  @Test func shiftedIdsAreFound() throws {
    try SampleShape(name: "x", passes: [100]).record(in: file)
    try DatabaseQueue(path: file).write { db in
      for row in try Row.fetchAll(db, sql: "SELECT id, ids FROM page") {
        let shifted = (row["ids"] as Data).map { ($0 + 1) % 16 }
        try db.execute(sql: "UPDATE page SET ids = ? WHERE id = ?", arguments: [Data(shifted), row["id"] as Int64])
      }
    }
    let trace = try TraceReader(file: file)
    #expect(try trace.checkIntegrity().count { $0.problem.contains("checksum") } == 3)
    #expect { try trace.wholeRun() } throws: { ($0 as? StoreError)?.kind == .damaged }
    try DatabaseQueue(path: file).write { try $0.execute(sql: "UPDATE page SET checksum = NULL, decision_checksum = NULL") }
    #expect(try trace.checkIntegrity().contains { $0.problem.contains("assignments of expert") })
  }

  @Test(arguments: [
    ("UPDATE page SET logits = zeroblob(length(logits))", "checksum"),
    ("UPDATE router SET token_count = token_count + 1", "tokens in pages"), ("UPDATE router SET assignments = 7", "assignments 7"),
    ("UPDATE router SET entropy_sum = entropy_sum * 1.01", "entropy_sum"),
    ("UPDATE router SET top1_margin_tokens = 0", "top1_margin_tokens"),
    ("UPDATE router SET log_expert_count = 1", "log_expert_count"),
    ("UPDATE expert_total SET assignments = assignments + 1", "assignments of"),
    ("UPDATE expert_total SET weight_sum = weight_sum + 1", "weights of expert"),
    ("UPDATE expert_total SET importance_sum = 0", "importance of expert"),
    ("DELETE FROM expert_total WHERE expert = 3", "totals of expert"),
    ("UPDATE token SET position = 9223372036854775807 WHERE token = 5", "token 5: its position"),
    ("UPDATE token SET position = -1 WHERE token = 5", "token 5: its position"),
    ("UPDATE token SET position = 4 WHERE token = 5", "sequence 0: its tokens"),
    ("UPDATE token SET phase = 99 WHERE token = 5", "token 5: its phase"), ("UPDATE token SET phase = 'x' WHERE token = 5", "its phase"),
    ("UPDATE token SET token_id = 1 << 40 WHERE token = 5", "token 5: its id"),
    ("UPDATE token SET token_id = token_id + 1 WHERE token = 5", "not the tokens that were recorded"),
    ("UPDATE token SET surprisal = surprisal + 0.5 WHERE token = 5", "not the tokens that were recorded"),
    ("UPDATE token SET surprisal = -3 WHERE token = 5", "surprisal"),
    ("UPDATE sequence SET token_count = token_count + 1 - 2 * sequence", "number of tokens"),
    ("UPDATE router SET spec = replace(spec, '\"expertCount\":16', '\"expertCount\":17')", "its rule"),
    ("UPDATE float_scale SET scale = 1 WHERE exponent = 120", "float_scale"), ("UPDATE decoder SET bytes = zeroblob(256)", "decoder"),
    ("DELETE FROM number WHERE number = 0", "table number"),
  ])
  func editedRowsAreFound(_ sql: String, _ words: String) throws {
    try Self.shape.record(in: file)
    #expect(try TraceReader(file: file).checkIntegrity() == [])
    try DatabaseQueue(path: file).write { try $0.execute(sql: sql) }
    let findings = try TraceReader(file: file).checkIntegrity()
    #expect(findings.contains { $0.description.contains(words) }, "\(findings)")
  }

  /// Whoever reads a run from its first token to its last reads what was recorded; a part of it has no checksum of its own.
  @Test func editedTokensAreErrors() throws {
    try Self.shape.record(in: file)
    try DatabaseQueue(path: file).write { try $0.execute(sql: "UPDATE token SET surprisal = surprisal + 0.5 WHERE token = 5") }
    let trace = try TraceReader(file: file)
    #expect { try trace.wholeRun() } throws: { "\($0)".contains("not the tokens that were recorded") }
    #expect(try trace.wholeRun(tokens: 0..<100).tokens.count == 100)
  }

  /// One bit anywhere: an error, a finding, or the decisions and tokens that were recorded.
  @Test func noBitChangesWhatIsRead() throws {
    let whole = WholeRun(try Self.shape.record(in: file))
    let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: file)))
    var random = SeededRandom(seed: 5)
    var unharmed = 0
    for round in 0..<150 {
      var copy = bytes
      let place = Int.random(in: 0..<bytes.count, using: &random)
      copy[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      let path = try directory.write(copy, to: "flipped\(round).db")
      defer { try? FileManager.default.removeItem(atPath: path) }
      do {
        let trace = try TraceReader(file: path)
        if try trace.checkIntegrity() != [] { continue }
        #expect(try trace.wholeRun().differences(from: whole) == [], "byte \(place)")
        unharmed += 1
      } catch { #expect(error is StoreError, "\(error)") }
    }
    // Free space, names, the text of views.
    #expect(unharmed > 10 && unharmed < 140)
  }

  /// Numbers that f16 cannot hold are kept as they are, page by page; all others as f16.
  @Test(arguments: [Float(65519), 65520, 1e6, -3e38]) func nothingBecomesInfinite(_ large: Float) throws {
    let shape = SampleShape(
      name: "f16", recording: RecordingLevel(content: .full, precision: .f16), passes: [30, 30], sequenceLength: 100)
    var passes = shape.makePasses()
    passes[1].batches[1].logits?.values[77] = large
    passes[1].batches[2].routingWeights[5] = abs(large)
    let writer = try TraceWriter(file: file, description: shape.run)
    for pass in passes {
      try writer.receive(pass)
      try writer.flush()
    }
    try writer.finish(.completed)
    let trace = try TraceReader(file: file)
    let kept = try trace.wholeRun()
    let fits = abs(large) < 65520
    let stored = fits ? PackedColumns.float(half: PackedColumns.halfBits(large)) : large
    passes[1].batches[1].logits?.values[77] = stored
    passes[1].batches[2].routingWeights[5] = abs(stored)
    #expect(stored.isFinite)
    #expect(kept.differences(from: WholeRun(passes)) == [])
    #expect(try trace.checkIntegrity() == [])
    let sql = "SELECT weight FROM routing WHERE run = 1 AND layer = 3 AND token = 32 AND rank = 1"
    #expect(try TraceQuery(trace: trace).all(sql).rows == [[.real(Double(abs(stored)))]])
    let widths = try DatabaseQueue(path: file).read { db in
      try Int.fetchAll(db, sql: "SELECT DISTINCT length(logits) / (token_count * 16) FROM page ORDER BY 1")
    }
    #expect(widths == (fits ? [2] : [2, 4]))
  }
}
