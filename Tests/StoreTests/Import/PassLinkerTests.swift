// Are tokens of different passes put together as they belong, and left apart where that is not known? Batches as SGLang runs them, made here
// from sequences that are known.

import Testing

@testable import Store

@Suite struct PassLinkerTests {
  private func linked(_ passes: [PassRows]) throws -> [LinkedPiece] {
    var linker = PassLinker()
    for (number, pass) in passes.enumerated() { try linker.add(pass, number: number) }
    return linker.pieces
  }

  private func prompts(_ pass: Int, _ segments: Range<Int>...) -> PassRows {
    PassRows(pass: pass, mode: .prompts, positions: segments.flatMap { $0.map(Int32.init) }, lengths: segments.map { Int32($0.count) })
  }

  private func decode(_ pass: Int, _ positions: Int32...) -> PassRows { PassRows(pass: pass, mode: .generation, positions: positions) }

  /// Where the rows of a piece are: pass and rows.
  private func places(_ piece: LinkedPiece) -> [[Int]] {
    piece.spans(of: 0..<piece.count).map { [$0.pass, $0.rows.lowerBound, $0.rows.upperBound] }
  }

  @Test func goesOnByPosition() throws {
    let pieces = try linked([prompts(0, 0..<5, 0..<3), decode(1, 5, 3), decode(2, 6, 4), decode(3, 5)])
    #expect(pieces.map(\.count) == [7, 6] && pieces.map(\.start) == [0, 0] && pieces.map(\.generatedFrom) == [5, 3])
    #expect(places(pieces[1]) == [[0, 5, 8], [1, 1, 2], [2, 1, 2], [3, 0, 1]] && !pieces[0].isByOrder)
    #expect(pieces[1].spans(of: 2..<4).map { [$0.pass, $0.rows.lowerBound, $0.rows.upperBound] } == [[0, 7, 8], [1, 1, 2]])
    #expect(pieces[1].spans(of: 3..<3).allSatisfy { $0.rows.isEmpty })
  }

  /// Equal lengths: the order in the batch tells, and is said.
  @Test func equalLengthsGoByOrder() throws {
    let pieces = try linked([prompts(0, 0..<4, 0..<4), decode(1, 4, 4), prompts(2, 0..<2), decode(3, 5, 5, 2)])
    #expect(pieces.map(\.count) == [6, 6, 3] && pieces.map(\.isByOrder) == [true, true, false])
    #expect(places(pieces[1]) == [[0, 4, 8], [1, 1, 2], [3, 1, 2]])
  }

  /// One of two at the same position ended: which one is not known.
  @Test func guessesNothing() throws {
    let pieces = try linked([prompts(0, 0..<4, 0..<4, 0..<9), decode(1, 4, 4, 9), decode(2, 5, 10), decode(3, 6, 11)])
    #expect(pieces.map(\.start) == [0, 0, 0, 5] && pieces.map(\.count) == [5, 5, 12, 2] && pieces[3].generatedFrom == 5)
  }

  @Test func promptsInParts() throws {
    // The first part of a long prompt waits while others generate.
    let pieces = try linked([
      prompts(0, 0..<3, 0..<8), decode(1, 3), prompts(2, 8..<12, 0..<2), decode(3, 4, 12, 2),
    ])
    #expect(pieces.map(\.count) == [5, 13, 3] && pieces.map(\.generatedFrom) == [3, 12, 2])
    // A prompt whose beginning was remembered from another is a sequence of its own.
    let cached = try linked([prompts(0, 0..<6), decode(1, 6), prompts(2, 6..<9), decode(3, 7, 9)])
    #expect(cached.map(\.start) == [0, 6] && cached.map(\.count) == [8, 4])
    // Without lengths, positions tell.
    let bare = PassRows(pass: 0, mode: .prompts, positions: [0, 1, 2, 0, 1, 7, 8])
    #expect(try linked([bare]).map(\.count) == [3, 2, 2])
  }

  @Test func mixedPassesDoBoth() throws {
    let mixed = PassRows(pass: 2, mode: .mixed, positions: [0, 1, 2, 3, 4, 5], lengths: [4, 1, 1])
    let pieces = try linked([prompts(0, 0..<3, 0..<4), decode(1, 3, 4), mixed, decode(3, 4, 5, 6)])
    #expect(pieces.map(\.count) == [6, 7, 5] && pieces.map(\.generatedFrom) == [3, 4, 4])
    // The rest of a prompt is no generated token, though it is one token long.
    let rest = PassRows(pass: 2, mode: .mixed, positions: [8, 3], lengths: [1, 1])
    let parts = try linked([prompts(0, 0..<2, 0..<8), decode(1, 2), rest, decode(3, 9, 4)])
    #expect(parts.map(\.count) == [5, 10] && parts.map(\.generatedFrom) == [2, 9])
  }

  /// Passes that were not recorded, and a recording that began in the middle.
  @Test func gapsEndSequences() throws {
    let pieces = try linked([decode(7, 40, 12), decode(8, 41, 13), decode(12, 41, 45)])
    #expect(pieces.map(\.start) == [40, 12, 41, 45] && pieces.map(\.count) == [2, 2, 1, 1])
    #expect(pieces.map(\.generatedFrom) == [40, 12, 41, 45])
  }

  @Test func refusesBatchesThatTakeTurns() throws {
    let passes = [prompts(0, 0..<4), prompts(1, 0..<7), decode(2, 4), decode(3, 7), decode(4, 5), decode(5, 8)]
    #expect(throws: PassProblem.turns) { try linked(passes) }
  }

  @Test func refusesGaps() throws {
    let pass = PassRows(pass: 0, mode: .prompts, positions: [0, 1, 3], lengths: [3])
    #expect(throws: PassProblem.gap(row: 2)) { try linked([pass]) }
  }

  /// Made-up runs of a server: sequences come, generate and end; what is linked is always of one sequence.
  @Test func neverMixesSequences() throws {
    var random = Seeded(state: 3)
    for _ in 0..<200 {
      var running: [(name: Int, next: Int)] = []
      var names = 0
      var passes: [PassRows] = []
      var owners: [[Int]] = []
      for number in 0..<40 {
        if running.isEmpty || random.next() % 4 == 0 {
          var (positions, lengths, owner): ([Int32], [Int32], [Int]) = ([], [], [])
          for _ in 0...random.next() % 2 {
            let length = 2 + random.next() % 6
            positions += (0..<length).map(Int32.init)
            lengths.append(Int32(length))
            owner += Array(repeating: names, count: length)
            running.append((names, length))
            names += 1
          }
          passes.append(PassRows(pass: number, mode: .prompts, positions: positions, lengths: lengths))
          owners.append(owner)
        } else {
          running.removeAll { _ in random.next() % 10 == 0 }
          guard !running.isEmpty else {
            // Nothing ran: the next pass has the next number.
            running.append((names, 2))
            names += 1
            passes.append(PassRows(pass: number, mode: .prompts, positions: [0, 1]))
            owners.append([names - 1, names - 1])
            continue
          }
          passes.append(PassRows(pass: number, mode: .generation, positions: running.map { Int32($0.next) }))
          owners.append(running.map(\.name))
          for index in running.indices { running[index].next += 1 }
        }
      }
      let pieces = try linked(passes)
      #expect(pieces.reduce(0) { $0 + $1.count } == passes.reduce(0) { $0 + $1.positions.count })
      for piece in pieces {
        let names = Set(piece.spans(of: 0..<piece.count).flatMap { span in span.rows.map { owners[span.pass][$0] } })
        #expect(names.count == 1)
      }
    }
  }
}

private struct Seeded {
  var state: UInt64

  mutating func next() -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(state >> 40)
  }
}
