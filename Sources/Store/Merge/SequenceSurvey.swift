// What are the texts of a run, without keeping them? A digest of each, so that one that comes twice is found, and the hash of all that was given,
// as engines write it.

import Formats
import GRDB
import Routing

/// Folds the token ids of runs, text by text.
struct SequenceSurvey {
  /// Name and ids of a text, as one digest.
  private var known: [String: String] = [:]
  private var input = SHA256()
  private var isInputKnown = true

  /// SHA-256 over the ids given, of all runs so far; empty where some id is not known.
  var inputHash: String { isInputKnown ? input.hexDigest() : "" }

  /// One text: its encoder's ids, those of the other rows, and how many of these were given and not generated.
  private struct Text {
    var number = -1
    var encoder: [Int32] = []
    var others: [Int32] = []
    var given = 0
  }

  /// Takes in the texts of a run.
  ///
  /// - Parameters:
  ///   - sequences: their names.
  ///   - count: how many texts the run has; those without a token count as empty.
  /// - Throws: `MergeError.sameSequence` for a text with a token id that another run has under the same name.
  /// - Complexity: memory for the longest text, and 200 bytes a text.
  mutating func add(_ part: UnionPart, sequences: [SequenceDescription], in trace: TraceReader) throws {
    var fresh: [String: String] = [:]
    let hasEncoder = part.run.description.routers.contains { [.encoder, .decoder].contains($0.id.stack) }
    var next = 0
    func end(_ text: Text) throws {
      guard text.number >= 0 else { return }
      while next < text.number {
        take(Text(), hasEncoder)
        next += 1
      }
      take(text, hasEncoder)
      next += 1
      // Patches, and tokens of a record without ids, are of texts that nobody knows.
      guard (text.encoder + text.others).contains(where: { $0 >= 0 }) else { return }
      let name = sequences.indices.contains(text.number) ? sequences[text.number].name : ""
      let digest = Self.digest(name, text.encoder, text.others)
      if let other = known[digest] { throw MergeError.sameSequence(name: name, first: other, other: part.label) }
      fresh[digest] = part.label
    }
    try trace.read { db in
      let rows = try Row.fetchCursor(
        db, sql: "SELECT sequence, phase, token_id FROM token WHERE run = ? ORDER BY \(TokenOrder.columns)", arguments: [part.run.id])
      var text = Text()
      while let row = try rows.next() {
        let sequence = try row.count(0)
        guard sequence < part.sequences, let id = Int32(exactly: try row.value(2) as Int64) else {
          throw StoreError.damaged(file: trace.file, place: "tokens of run \(part.run.id)", problem: "sequence \(sequence), or an id of it")
        }
        if sequence != text.number {
          try end(text)
          text = Text(number: sequence)
        }
        let phase = try row.count(1)
        if phase == Int(TokenPhase.encode.rawValue) { text.encoder.append(id) } else { text.others.append(id) }
        if phase == Int(TokenPhase.prefill.rawValue) { text.given += 1 }
      }
      try end(text)
    }
    while next < part.sequences {
      take(Text(), hasEncoder)
      next += 1
    }
    known.merge(fresh) { first, _ in first }
  }

  private mutating func take(_ text: Text, _ hasEncoder: Bool) {
    for ids in (hasEncoder ? [text.encoder] : []) + [Array(text.others.prefix(text.given))] {
      if ids.contains(where: { $0 < 0 }) { isInputKnown = false }
      ([Int32(ids.count)] + ids).map(\.littleEndian).withUnsafeBytes { input.update($0) }
    }
    if text.others.count > text.given && text.given == 0 { isInputKnown = false }
  }

  private static func digest(_ name: String, _ encoder: [Int32], _ others: [Int32]) -> String {
    var hash = SHA256()
    let words = Array(name.utf8)
    ([Int32(words.count), Int32(encoder.count)] + encoder + others).map(\.littleEndian).withUnsafeBytes { hash.update($0) }
    words.withUnsafeBytes { hash.update($0) }
    return hash.hexDigest()
  }
}
