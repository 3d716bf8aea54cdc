// Which experts did each token take that SGLang's recorder saw? A pass lists the tokens of a batch with their positions and, by layer, the places of
// their experts; PassLinker.swift puts the tokens of one sequence together again. Ranks that read the same tokens are one record, ranks
// with tokens of their own are sequences of their own.

import Formats
import Routing

/// The choices of every token, by sequence.
struct SGLangTokens: ForeignRecord {
  let shape: ForeignShape
  private let passes: [SGLangPass]
  private let pieces: [LinkedPiece]
  private let places: [ExpertPlaces]
  /// Ids of a row.
  private let slots: Int

  /// - Parameter dumps: at least one, all of `per_token`.
  /// - Throws: `FormatError`.
  init(_ dumps: [SGLangDump], findings: [ImportFinding]) throws(FormatError) {
    var passes: [SGLangPass] = []
    var places: [ExpertPlaces] = []
    for dump in dumps {
      guard let map = dump.places, map.layers == (places.first ?? map).layers, map.experts == (places.first ?? map).experts else {
        throw dump.file.root.unexpected("the layers and experts of \(fileName(dumps[0].file.path))")
      }
      var budget = try ByteBudget(dump.file.path)
      for record in dump.records {
        guard let pass = try SGLangPass(record, places: places.count, layers: map.layers, budget: &budget) else { continue }
        passes.append(pass)
      }
      places.append(map)
    }
    guard !passes.isEmpty else { throw dumps[0].records[0].unexpected("a pass with tokens, here or after it") }
    passes.sort { ($0.head.rank, $0.head.pass) < ($1.head.rank, $1.head.pass) }
    for (before, after) in zip(passes, passes.dropFirst()) where before.head == after.head {
      throw after.record.unexpected("pass \(after.head.pass) of rank \(after.head.rank) once")
    }
    passes = try Self.distinct(passes)
    self.places = places
    self.passes = passes
    let slots = try Self.slots(passes)
    self.slots = slots
    var pieces: [LinkedPiece] = []
    var start = 0
    while start < passes.count {
      let end = passes[start...].firstIndex { $0.head.rank != passes[start].head.rank } ?? passes.count
      var linker = PassLinker()
      for index in start..<end {
        do throws(PassProblem) { try linker.add(passes[index].rows, number: index) } catch {
          throw passes[index].error(error)
        }
      }
      pieces += linker.pieces
      start = end
    }
    self.pieces = pieces
    var shape = ForeignShape(
      format: .sglangDistribution,
      columns: Array(repeating: ForeignColumn(slots: slots, experts: places[0].experts), count: places[0].layers),
      sequences: Self.sequences(pieces, passes))
    shape.findings = findings
    self.shape = shape
  }

  private static func sequences(_ pieces: [LinkedPiece], _ passes: [SGLangPass]) -> [ForeignSequence] {
    var numbers: [Int: Int] = [:]
    return pieces.map { piece in
      let rank = passes[piece.spans[0].pass].head.rank
      let number = numbers[rank, default: 0]
      numbers[rank] = number + 1
      var sequence = ForeignSequence(name: "rank \(rank), sequence \(number)", rows: piece.count)
      sequence.start = piece.start
      if piece.start == 0 {
        var tokens: [Int32] = []
        tokens.reserveCapacity(piece.count)
        for span in piece.spans { tokens += passes[span.pass].tokens[span.rows] }
        sequence.tokens = tokens
      }
      sequence.generatedFrom = piece.generatedFrom
      if piece.isByOrder { sequence.labels["linked"] = "by order in the batch" }
      return sequence
    }
  }

  // MARK: Ranks

  /// The passes without those of ranks that read the same tokens as one before.
  /// - Throws: `FormatError` where these say other experts of them.
  private static func distinct(_ passes: [SGLangPass]) throws(FormatError) -> [SGLangPass] {
    var kept: [ArraySlice<SGLangPass>] = []
    var rest = passes[...]
    while let first = rest.first {
      let own = rest.prefix { $0.head.rank == first.head.rank }
      rest = rest.dropFirst(own.count)
      let twin = kept.first { other in
        other.count == own.count
          && zip(other, own).allSatisfy { $0.head.pass == $1.head.pass && $0.tokens == $1.tokens && $0.positions == $1.positions }
      }
      guard let twin else {
        kept.append(own)
        continue
      }
      for (mine, theirs) in zip(own, twin) {
        guard try mine.isLike(theirs) else {
          throw mine.record.unexpected(
            "the experts that rank \(theirs.head.rank) says of the same tokens (pass \(mine.head.pass)); import one rank at a time")
        }
      }
    }
    return kept.flatMap(\.self)
  }

  /// Columns that are ever written; those behind them are padding.
  private static func slots(_ passes: [SGLangPass]) throws(FormatError) -> Int {
    var used = 0
    for pass in passes {
      for rows in pass.chunks where used < pass.ids.width {
        let ids = try pass.ids.integers(rows)
        for start in stride(from: 0, to: ids.count, by: pass.ids.width) {
          while let last = (used..<pass.ids.width).last(where: { ids[start + $0] >= 0 }) { used = last + 1 }
        }
      }
    }
    return max(1, used)
  }

  // MARK: Rows

  func rows(_ range: Range<Int>, of sequence: Int) throws -> ForeignRows {
    let piece = pieces[sequence]
    var columns = Array(repeating: [Int32](), count: shape.columns.count)
    var tokens: [Int32] = []
    for span in piece.spans(of: range) {
      let pass = passes[span.pass]
      let map = places[pass.places]
      tokens += pass.tokens[span.rows]
      for layer in columns.indices {
        let first = layer * pass.tokens.count
        let ids = try pass.ids.integers(first + span.rows.lowerBound..<first + span.rows.upperBound)
        for start in stride(from: 0, to: ids.count, by: pass.ids.width) {
          for slot in 0..<slots {
            let place = slot < pass.ids.width ? ids[start + slot] : -1
            columns[layer].append(map.isIdentity ? place : map.expert(of: place, layer: layer))
          }
        }
      }
    }
    var rows = ForeignRows(count: range.count, columns: columns.map { ForeignDecisions(ids: $0) })
    if piece.start != 0 { rows.tokens = tokens }
    var facts = TokenFacts(count: range.count)
    let rank = Int64(passes[piece.spans[0].pass].head.rank)
    for row in 0..<range.count { facts.setRank(rank, of: row) }
    rows.facts = facts
    return rows
  }
}

/// One forward pass of one rank.
struct SGLangPass {
  /// What a pass does, as `forward_mode` numbers it.
  enum Mode: Int { case extend = 1, decode, mixed, idle, verify, draftExtend, prebuilt, splitPrefill, diffusion }

  let head: SGLangDump.Head
  let mode: Mode
  /// `[tokens]`
  let tokens: [Int32]
  let positions: [Int32]
  /// Tokens of each sequence, where the pass reads more than one of each.
  let lengths: [Int32]?
  /// `[layers · tokens]` rows of the places that were taken, -1 where none was.
  let ids: NumberRows
  /// Which map of places is its own.
  let places: Int
  /// For errors.
  let record: TorchValue

  /// Nil: a pass without tokens.
  /// - Throws: `FormatError`: `.unsupported` for passes whose tokens may be thrown away again.
  init?(_ record: TorchValue, places: Int, layers: Int, budget: inout ByteBudget) throws(FormatError) {
    head = try SGLangDump.head(record)
    let modeValue = try record.require("forward_mode", "the kind of the pass")
    guard let mode = Mode(rawValue: try modeValue.requireInt()) else { throw modeValue.unexpected("a number from 1 to 9") }
    (self.mode, self.places, self.record) = (mode, places, record)
    let input = try record.require("input_ids", "ids of tokens")
    tokens = try input.requireIntegers()
    if tokens.isEmpty || mode == .idle { return nil }
    guard [.extend, .decode, .mixed].contains(mode) else { throw modeValue.unexpected("1 to 4: without speculation or passes in parts") }
    guard head.part == "primary" else { throw record.unexpected("passes that are not split into two batches") }
    let place = try record.require("positions", "positions of tokens")
    positions = try place.requireIntegers()
    guard positions.count == tokens.count, positions.allSatisfy({ $0 >= 0 }) else {
      throw place.unexpected("\(tokens.count) positions, one a token, none negative")
    }
    let extend = record["extend_seq_lens"].flatMap { $0.isNone ? nil : $0 }
    lengths = mode == .decode ? nil : try extend?.requireIntegers()
    if let extend, let lengths, lengths.reduce(0, { $0 + Int($1) }) != tokens.count || !lengths.allSatisfy({ $0 >= 0 }) {
      throw extend.unexpected("lengths that are \(tokens.count) tokens together")
    }
    let value = try record.require("topk_ids_of_layer", "places [layers, tokens, slots]")
    let tensor = try value.requireTensor(rank: 3)
    try budget.take(tensor)
    guard tensor.shape[0] == layers, tensor.shape[1] == tokens.count, tensor.shape[2] > 0 else {
      throw value.unexpected("places of \(layers) layers and \(tokens.count) tokens")
    }
    ids = NumberRows(tensor, width: tensor.shape[2])
  }

  /// What there is to put sequences together of.
  var rows: PassRows {
    PassRows(
      pass: head.pass, mode: mode == .decode ? .generation : mode == .mixed ? .mixed : .prompts, positions: positions, lengths: lengths)
  }

  func error(_ problem: PassProblem) -> FormatError {
    switch problem {
    case .gap(let row): record.unexpected("positions that follow each other within a sequence (row \(row))")
    case .turns:
      record.unsupported(
        "a recording in which batches take turns (pipeline stages)", hint: "record without pipeline parallelism")
    }
  }

  /// Ranges of the rows of `ids` that are read at a time.
  var chunks: [Range<Int>] {
    let few = max(1, (1 << 20) / ids.width)
    return stride(from: 0, to: ids.count, by: few).map { $0..<min($0 + few, ids.count) }
  }

  /// Whether the same places were taken.
  func isLike(_ other: SGLangPass) throws(FormatError) -> Bool {
    guard ids.count == other.ids.count, ids.width == other.ids.width else { return false }
    for rows in chunks where try ids.integers(rows) != other.ids.integers(rows) { return false }
    return true
  }
}
