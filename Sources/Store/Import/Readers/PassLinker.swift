// Which tokens of different passes are of one sequence? SGLang's recorder names no requests. A sequence is known by its positions: a decoding pass
// goes on, a token each, with the sequences that were at these positions. Where as many sequences are at a position as go on from it, they are
// told apart by their order in the batch, which SGLang keeps, and the sequence says so. Where they are not as many (one ended), who went on
// is not known: nothing is guessed, and a new piece begins.

/// What a pass says of its tokens' places in their sequences.
struct PassRows {
  enum Mode { case prompts, generation, mixed }

  var pass: Int
  var mode: Mode
  /// `[tokens]`
  var positions: [Int32]
  /// Tokens of each sequence, together as many as the pass has; nil: positions tell.
  var lengths: [Int32]?

  init(pass: Int, mode: Mode, positions: [Int32], lengths: [Int32]? = nil) {
    (self.pass, self.mode, self.positions, self.lengths) = (pass, mode, positions, lengths)
  }
}

/// Why passes cannot be put together.
enum PassProblem: Error, Equatable {
  /// The positions of one sequence do not follow each other at this row of the pass.
  case gap(row: Int)
  /// Batches take turns, as those of pipeline stages: a row could go on with a sequence of another batch.
  case turns
}

/// Tokens of one sequence that follow each other.
struct LinkedPiece {
  /// Position of its first.
  let start: Int
  fileprivate(set) var count = 0
  /// Its tokens, pass by pass.
  fileprivate(set) var spans: [(pass: Int, rows: Range<Int>, first: Int)] = []
  /// Position of the first token that was generated.
  fileprivate(set) var generatedFrom: Int?
  /// Whether it was ever told from another only by its order in the batch.
  fileprivate(set) var isByOrder = false

  fileprivate var next: Int { start + count }

  fileprivate mutating func append(_ pass: Int, _ rows: Range<Int>) {
    spans.append((pass, rows, count))
    count += rows.count
  }

  /// Where some of its rows are.
  func spans(of range: Range<Int>) -> [(pass: Int, rows: Range<Int>)] {
    var (low, high) = (0, spans.count)
    while low < high {
      let middle = (low + high) / 2
      if spans[middle].first + spans[middle].rows.count <= range.lowerBound { low = middle + 1 } else { high = middle }
    }
    var found: [(pass: Int, rows: Range<Int>)] = []
    for span in spans[low...] {
      guard span.first < range.upperBound else { break }
      let own = range.clamped(to: span.first..<span.first + span.rows.count)
      let offset = span.rows.lowerBound - span.first
      found.append((span.pass, own.lowerBound + offset..<own.upperBound + offset))
    }
    return found
  }
}

/// Puts the passes of one rank together, in their order.
struct PassLinker {
  private(set) var pieces: [LinkedPiece] = []
  /// Pieces that may go on, in the order of the batch.
  private var batch: [Int] = []
  /// The last prompt that was read, of which more may follow.
  private var prompt: Int?
  /// Positions at which pieces waited that some of the last passes left out.
  private var left: [Set<Int>] = []
  private var lastPass: Int?

  /// Batches of pipeline stages take turns: so many are noticed.
  private static let turns = 8

  /// - Parameters:
  ///   - pass: with at least one token.
  ///   - number: what spans call it.
  mutating func add(_ pass: PassRows, number: Int) throws(PassProblem) {
    // Passes that were not recorded: sequences have moved on.
    if let lastPass, pass.pass != lastPass + 1 { (batch, prompt, left) = ([], nil, []) }
    lastPass = pass.pass
    if pass.mode == .generation {
      try decode(pass, number: number, rows: Array(pass.positions.indices))
    } else {
      try extend(pass, number: number)
    }
  }

  // MARK: Prompts

  private mutating func extend(_ pass: PassRows, number: Int) throws(PassProblem) {
    var segments = try segments(of: pass)
    // The rest of a prompt that was cut comes first in the next batch.
    let rest = prompt.flatMap { pieces[$0].next == Int(pass.positions[0]) ? $0 : nil }
    batch.removeAll { $0 == rest }
    if pass.mode == .mixed {
      let waiting = Set(batch.map { pieces[$0].next })
      let isGenerated = { (segment: Range<Int>) in
        segment.count == 1 && waiting.contains(Int(pass.positions[segment.lowerBound])) && (rest == nil || segment.lowerBound > 0)
      }
      try decode(pass, number: number, rows: segments.filter(isGenerated).map(\.lowerBound))
      segments.removeAll(where: isGenerated)
    }
    var prompts: [Int] = []
    for segment in segments {
      if let rest, segment.lowerBound == 0 {
        prompts.append(rest)
      } else {
        pieces.append(LinkedPiece(start: Int(pass.positions[segment.lowerBound])))
        prompts.append(pieces.count - 1)
      }
      pieces[prompts[prompts.count - 1]].append(number, segment)
    }
    prompt = prompts.last
    // Prompts come before those that were running in a mixed batch, and behind them once they join.
    batch = pass.mode == .mixed ? prompts + batch : batch + prompts
  }

  /// Rows of one sequence each, by the lengths that the pass says, or by positions.
  private func segments(of pass: PassRows) throws(PassProblem) -> [Range<Int>] {
    var segments: [Range<Int>] = []
    var start = 0
    if let lengths = pass.lengths {
      for length in lengths where length > 0 {
        segments.append(start..<start + Int(length))
        start += Int(length)
      }
    } else {
      for row in 1...pass.positions.count where row == pass.positions.count || pass.positions[row] != pass.positions[row - 1] &+ 1 {
        segments.append(start..<row)
        start = row
      }
    }
    for segment in segments {
      for row in segment.dropFirst() where pass.positions[row] != pass.positions[row - 1] &+ 1 {
        throw .gap(row: row)
      }
    }
    return segments
  }

  // MARK: Generated tokens

  /// - Parameter rows: of the pass, a sequence each.
  private mutating func decode(_ pass: PassRows, number: Int, rows: [Int]) throws(PassProblem) {
    let isWhole = pass.mode == .generation
    var waiting: [Int: [Int]] = [:]
    for piece in batch { waiting[pieces[piece].next, default: []].append(piece) }
    var wanted: [Int: Int] = [:]
    for row in rows { wanted[Int(pass.positions[row]), default: 0] += 1 }
    if isWhole,
      rows.allSatisfy({ row in
        let position = Int(pass.positions[row])
        return waiting[position] == nil && left.contains { $0.contains(position) }
      })
    {
      throw .turns
    }
    var taken: [Int: Int] = [:]
    var going: [Int] = []
    for row in rows {
      let position = Int(pass.positions[row])
      let candidates = waiting[position] ?? []
      var piece: Int
      if candidates.count == wanted[position] {
        piece = candidates[taken[position, default: 0]]
        taken[position, default: 0] += 1
        if candidates.count > 1 { pieces[piece].isByOrder = true }
      } else {
        pieces.append(LinkedPiece(start: position))
        piece = pieces.count - 1
      }
      if pieces[piece].generatedFrom == nil { pieces[piece].generatedFrom = position }
      pieces[piece].append(number, row..<row + 1)
      going.append(piece)
    }
    let gone = Set(going)
    if isWhole {
      // All sequences of a batch go on together; only the rest of a prompt may wait.
      left.append(Set(batch.filter { !gone.contains($0) && $0 != prompt }.map { pieces[$0].next }))
      if left.count > Self.turns { left.removeFirst() }
      let waits = prompt.flatMap { gone.contains($0) || !batch.contains($0) ? nil : $0 }
      batch = going + (waits.map { [$0] } ?? [])
      prompt = waits
    } else {
      batch = batch.filter { !gone.contains($0) } + going
    }
  }
}
