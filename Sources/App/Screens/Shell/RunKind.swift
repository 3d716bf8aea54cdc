// What are the rows of a run? Tokens of texts, or patches of images at their steps: a value with the words for them, so that a sentence is
// written once and no screen asks which it is in order to name it.

/// A kind of run, by its words.
struct RunKind: Sendable, Equatable {
  /// What a row is.
  let row: String
  let rows: String
  /// What rows follow each other in.
  let sequence: String
  /// What time is counted in, and what is counted a second.
  let moment: String
  let rate: String
  /// What is waited for before the first row.
  let beginning: String
  /// What a view of nothing waits for.
  let whole: String
  /// The hint of the line that finds.
  let finding: String

  static let text = RunKind(
    row: "token", rows: "tokens", sequence: "text", moment: "token", rate: "tok/s", beginning: "the first token", whole: "tokens",
    finding: "text of a token, e12 for an expert")
  static let images = RunKind(
    row: "patch", rows: "patches", sequence: "sample", moment: "step", rate: "steps/s", beginning: "the first step",
    whole: "a whole sample",
    finding: "step 12, sample 3, a class, e2 for an expert")
}

extension AppModel {
  /// What the rows of the open run are.
  var kind: RunKind { isOfImages ? .images : .text }

  /// Whether the run denoises images; of text, or of nothing, false.
  var isOfImages: Bool { layout != nil }
}
