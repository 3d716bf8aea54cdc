// The texts of a run as ids in order of position, with the rows of the run they stand in: what must be known of both runs before one
// decision can be set beside another. Folded from token tables; which texts belong together is TextAlignment's business.

import Routing

/// The ids of one text, or of one side of it.
struct TextRows: Sendable {
  /// Neighbouring tokens that stand in neighbouring rows.
  struct Stretch: Sendable {
    var position: Int
    /// Of the first token, in the run's token table.
    var row: Int
    var ids: [Int32]
  }

  /// By rising position once `RunTexts` is complete.
  var stretches: [Stretch] = []

  var count: Int { stretches.reduce(0) { $0 + $1.ids.count } }

  mutating func add(position: Int, row: Int, id: Int32) {
    if let last = stretches.last, last.position + last.ids.count == position, last.row + last.ids.count == row {
      stretches[stretches.count - 1].ids.append(id)
    } else {
      stretches.append(Stretch(position: position, row: row, ids: [id]))
    }
  }

  /// Same ids at the same positions, whatever rows they stand in.
  func hasContent(of other: TextRows) -> Bool {
    var (mine, theirs) = (elements.makeIterator(), other.elements.makeIterator())
    while true {
      switch (mine.next(), theirs.next()) {
      case (nil, nil): return true
      case (let a?, let b?) where a == b: continue
      default: return false
      }
    }
  }

  /// Position and id of each token.
  var elements: some Sequence<TextToken> {
    stretches.lazy.flatMap { stretch in
      stretch.ids.lazy.enumerated().map { TextToken(position: stretch.position + $0.offset, id: $0.element) }
    }
  }
}

struct TextToken: Hashable, Sendable {
  var position: Int
  var id: Int32
}

/// One text: what the encoder read of it (nothing where there is none), and the other rows.
struct RunText: Sendable {
  var encoder = TextRows()
  var decoder = TextRows()
  /// Position of the first token that the model wrote itself; nil: none did.
  var generatedFrom: Int?

  var count: Int { encoder.count + decoder.count }
  var sides: [TextRows] { [encoder, decoder] }

  func hasContent(of other: RunText) -> Bool { encoder.hasContent(of: other.encoder) && decoder.hasContent(of: other.decoder) }

  /// The same for texts of the same content; of others by chance alone.
  var contentHash: Int {
    var hasher = Hasher()
    for side in sides {
      for token in side.elements { hasher.combine(token) }
      hasher.combine(side.count)
    }
    return hasher.finalize()
  }
}

/// The texts of a run, folded from its token tables in order of rows.
///
/// - Memory: 4 bytes a token, about 64 for each stretch; a text that arrives in order is one stretch.
public struct RunTexts: Sendable {
  /// By number of the sequence.
  private var texts: [Int: RunText] = [:]
  private(set) var sequences: [SequenceDescription]
  /// Rows that are compared at all: of a denoising run those of one branch.
  public private(set) var tokens = 0
  private let layout: DenoisingLayout?
  private let branch: Int

  /// - Parameters:
  ///   - sequences: names and labels, by number.
  ///   - layout: of a denoising run, of which only the rows of `branch` are taken.
  public init(sequences: [SequenceDescription], layout: DenoisingLayout? = nil, branch: Int = 0) {
    self.sequences = sequences
    self.layout = layout
    self.branch = branch
  }

  /// Texts with a token.
  public var count: Int { texts.count }
  var isDenoising: Bool { layout != nil }

  public mutating func add(_ tokens: TokenTable) {
    for index in 0..<tokens.count {
      guard let position = position(Int(tokens.position[index])) else { continue }
      let (sequence, row, id) = (Int(tokens.sequence[index]), tokens.firstToken + index, tokens.tokenID[index])
      if tokens.phase[index] == .encode {
        texts[sequence, default: RunText()].encoder.add(position: position, row: row, id: id)
      } else {
        texts[sequence, default: RunText()].decoder.add(position: position, row: row, id: id)
        if tokens.phase[index] == .decode {
          let known = texts[sequence]?.generatedFrom ?? position
          texts[sequence]?.generatedFrom = min(known, position)
        }
      }
      self.tokens += 1
    }
  }

  /// Where a row is compared: its position, in images step and patch, whatever branches lie between them. Nil for a row of no such place.
  private func position(_ position: Int) -> Int? {
    guard let layout else { return position }
    guard (0..<layout.rowsPerSample).contains(position) else { return nil }
    let place = layout.place(at: position)
    return place.branch == branch ? place.step * layout.patchCount + position % layout.patchCount : nil
  }

  /// By number of the sequence, stretches that arrived out of order put by rising position.
  func ordered() -> [Int: RunText] {
    texts.mapValues { text in
      var text = text
      text.encoder.stretches.sort { $0.position < $1.position }
      text.decoder.stretches.sort { $0.position < $1.position }
      return text
    }
  }

  /// What a text is called; empty where the run does not say.
  func name(of text: Int) -> String { sequences.indices.contains(text) ? sequences[text].name : "" }
  func labels(of text: Int) -> [String: String] { sequences.indices.contains(text) ? sequences[text].labels : [:] }
}
