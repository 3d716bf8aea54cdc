// The axis "what the token is", made ready for many tables: cells are entries of the vocabulary, or classes of their text, and the null
// shifts the choices of experts inside each text. What an axis is for is in CellAxis.swift.

import Routing

/// Null: the tokens of each sequence go round it by an amount of its own, uniform over all L, under choices that stay where they are. Each
/// sequence keeps its tokens, its choices and the likeness of neighbours in both; only which choice belongs to which token is lost.
///
/// - Memory: 4 bytes a token and a choice.
/// - Test: a planted token is found; p of a router that looks at no token is uniform.
struct TokenAxis: CellAxis {
  private struct Sequence: Sendable {
    /// First token in `cells`.
    var start: Int
    var length: Int
  }

  let cellNames: [String]
  let experts: [Int]
  private let topK: Int
  private var sequences: [Sequence] = []
  /// `[tokens]`
  private var cells: [Int32] = []
  /// `[tokens, topK]`: columns; -1 for none.
  private var columns: [Int32] = []

  var sequenceCount: Int { sequences.count }

  /// - Parameter store: with tokens.
  init(_ store: RouteStore, _ sorting: TokenCells) {
    topK = store.topK
    cellNames = sorting.names
    let routes = store.sequences()
    var isChosen = Array(repeating: false, count: store.experts)
    for route in routes { for expert in route.experts where expert >= 0 { isChosen[Int(expert)] = true } }
    experts = isChosen.indices.filter { isChosen[$0] }
    var columnOf = Array(repeating: Int32(-1), count: store.experts)
    for (column, expert) in experts.enumerated() { columnOf[expert] = Int32(column) }
    for route in routes {
      sequences.append(Sequence(start: cells.count, length: route.tokens.count))
      cells += route.tokens.map(sorting.cell)
      columns += route.experts.map { $0 >= 0 ? columnOf[Int($0)] : -1 }
    }
  }

  func tabulate(draws: Range<Int>, seed: UInt64, into tables: UnsafeMutableBufferPointer<UInt32>) {
    tables.update(repeating: 0)
    var randoms = draws.map { SplitMix64(seed: seed, stream: UInt64($0)) }
    for sequence in sequences where sequence.length > 0 {
      for index in randoms.indices {
        add(
          sequence, shift: randoms[index].below(sequence.length),
          to: UnsafeMutableBufferPointer(rebasing: tables[index * tableSize..<(index + 1) * tableSize]))
      }
    }
  }

  func add(sequence: Int, to table: UnsafeMutableBufferPointer<UInt32>) { add(sequences[sequence], shift: 0, to: table) }

  /// Choice i gets the cell of token (i + shift) mod L.
  private func add(_ sequence: Sequence, shift: Int, to table: UnsafeMutableBufferPointer<UInt32>) {
    let width = experts.count
    cells.withUnsafeBufferPointer { cells in
      columns.withUnsafeBufferPointer { columns in
        func add(_ range: Range<Int>, _ by: Int) {
          for token in range {
            let row = Int(cells[sequence.start + token + by]) * width
            for slot in (sequence.start + token) * topK..<(sequence.start + token + 1) * topK where columns[slot] >= 0 {
              table[row + Int(columns[slot])] &+= 1
            }
          }
        }
        add(0..<sequence.length - shift, shift)
        add(sequence.length - shift..<sequence.length, shift - sequence.length)
      }
    }
  }

  /// Mean over all shifts: in each text the tokens of a cell meet its choices evenly.
  private var meanTable: [Double] {
    let width = experts.count
    var mean = Array(repeating: 0.0, count: tableSize)
    for sequence in sequences where sequence.length > 0 {
      var inCell: [Int32: Int] = [:]
      var ofExpert: [Int32: Int] = [:]
      for token in sequence.start..<sequence.start + sequence.length {
        inCell[cells[token], default: 0] += 1
        for slot in token * topK..<(token + 1) * topK where columns[slot] >= 0 { ofExpert[columns[slot], default: 0] += 1 }
      }
      for (cell, tokens) in inCell {
        for (column, choices) in ofExpert {
          mean[Int(cell) * width + Int(column)] += Double(tokens) * Double(choices) / Double(sequence.length)
        }
      }
    }
    return mean
  }

  var expectation: Expectation { .fixed(meanTable) }

  func spread(seed: UInt64) -> [Double] { pilotSpread(about: meanTable, seed: seed) }

  var cellSizes: [(sequences: Int, tokens: Int)] {
    var sizes = cellNames.map { _ in (sequences: 0, tokens: 0) }
    for sequence in sequences {
      var seen: Set<Int32> = []
      for cell in cells[sequence.start..<sequence.start + sequence.length] {
        sizes[Int(cell)].tokens += 1
        if seen.insert(cell).inserted { sizes[Int(cell)].sequences += 1 }
      }
    }
    return sizes
  }
}

/// Which cell each entry of the vocabulary belongs to.
public struct TokenCells: Sendable {
  public let names: [String]
  private let places: [Int32: Int32]
  /// The cell of entries that have none of their own.
  private let rest: Int32

  /// Entries that have a cell of their own along the vocabulary; the others share the last one.
  public static let mostWords = 63

  func cell(_ id: Int32) -> Int32 { places[id] ?? rest }

  /// - Parameters:
  ///   - facet: `.vocabulary`, `.tokenClass` or `.tokenLabel`.
  ///   - counts: how often each entry occurs.
  ///   - words: what an entry stands for; nil where nobody knows.
  public init(_ facet: Facet, counts: [Int32: Int], words: (Int32) -> String?) {
    var places: [Int32: Int32] = [:]
    if facet == .tokenClass {
      let found = counts.keys.sorted().map { ($0, TokenClass(words($0))) }
      let classes = TokenClass.allCases.filter { kind in found.contains { $0.1 == kind } }
      for (id, kind) in found { places[id] = Int32(classes.firstIndex(of: kind) ?? 0) }
      (names, rest) = (classes.map(\.rawValue), 0)
    } else {
      let order = counts.keys.sorted { (counts[$1] ?? 0, $0) < (counts[$0] ?? 0, $1) }
      let own = order.prefix(Self.mostWords)
      for (place, id) in own.enumerated() { places[id] = Int32(place) }
      rest = Int32(own.count)
      let isLabel = if case .tokenLabel = facet { true } else { false }
      names =
        own.map { id in words(id).map { isLabel ? $0 : "'\($0)'" } ?? (isLabel ? "without" : "<\(id)>") }
        + (order.count > own.count ? ["\(order.count - own.count) others"] : [])
    }
    self.places = places
  }
}

/// What the text of a token is like.
public enum TokenClass: String, Sendable, CaseIterable {
  case word
  case capitalised
  /// Letters that go on with a word: no blank before them.
  case wordPart = "word part"
  /// Letters of which some are not Latin.
  case otherScript = "other script"
  case number
  case punctuation
  case space
  case lineEnd = "line end"
  /// A mark of the tokenizer: `<|bos|>`.
  case special
  case other

  /// - Parameter text: nil where nobody knows it.
  public init(_ text: String?) {
    guard let text, !text.isEmpty else {
      self = .other
      return
    }
    let scalars = text.unicodeScalars
    let bare = text.trimmingPrefix { $0 == " " }
    if scalars.allSatisfy(\.properties.isWhitespace) {
      self = text.contains(where: \.isNewline) ? .lineEnd : .space
    } else if text.count > 2, text.first == "<", text.last == ">", !text.contains(" ") {
      self = .special
    } else if scalars.contains(where: { $0.properties.isAlphabetic }) {
      let isLatin = scalars.allSatisfy { !$0.properties.isAlphabetic || $0.value < 0x250 }
      let isStart = text.first == " " || text.first == "\u{2581}" || text.first == "\u{120}"
      self =
        !isLatin
        ? .otherScript
        : bare.first?.isUppercase == true
          ? .capitalised
          : isStart ? .word : bare.allSatisfy { $0.isLetter || $0 == "'" } ? .wordPart : .other
    } else if bare.contains(where: \.isNumber) {
      self = .number
    } else if scalars.contains(where: { $0 == "\u{FFFD}" }) {
      self = .other
    } else {
      self = .punctuation
    }
  }
}
