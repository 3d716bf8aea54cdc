// A model's tokenizer, opened at most once and only when text is read, written or recorded.

import Model

final class TokenizerSlot {
  private let model: LanguageModel
  private var opened: Tokenizer?

  init(_ model: LanguageModel) { self.model = model }

  /// - Throws: `ModelError` when there is none or it is not supported.
  func open() throws -> Tokenizer {
    if let opened { return opened }
    let tokenizer = try model.openTokenizer()
    opened = tokenizer
    return tokenizer
  }

  /// What the tokenizer takes for granted; nothing while it was not needed.
  var notes: [String] { opened?.notes ?? [] }

  /// The beginning of a sequence, for a trace; nil when there is none, or no tokenizer.
  var beginning: Int32? { try? open().bosToken }

  /// The text of ids for a trace; knows nothing when the model has no tokenizer.
  var pieces: @Sendable (Int32) -> [UInt8]? {
    guard let tokenizer = try? open() else { return { _ in nil } }
    return { tokenizer.tokenBytes($0) }
  }
}
