// Does this engine compute what the reference computed? Runs given sequences with every observer on and compares with a file of
// expected tensors, name by name. The rules (tolerances, near ties) are those of docs/contracts.md: nothing here is looser for any family.

import Formats
import Routing

/// Compares a model's run with expected tensors.
public struct Verifier {
  /// Relative to the larger of 1 and the tensor's largest magnitude.
  public enum Tolerance {
    public static let routerLogits: Float = 1e-4
    public static let weights: Float = 1e-4
    public static let activations: Float = 1e-3
    /// Decisions whose margin in the expected logits is no larger are near ties: either choice is right, and the expected one is taken.
    public static let nearTie: Float = 1e-5
  }

  private let model: LanguageModel
  private let forward: ForwardPass

  /// - Parameters: as of `ForwardPass`.
  public init(_ model: LanguageModel, threads: Int? = nil, passLimit: Int? = nil, stepLimit: Int = 512) {
    self.model = model
    forward = ForwardPass(model, threads: threads, passLimit: passLimit, stepLimit: stepLimit)
  }

  /// Runs `sequences` and compares.
  ///
  /// - Throws: `ModelError` for a bad sequence, `FormatError` for a damaged file or a tensor of the wrong type, and for a file that
  ///   changed meanwhile.
  public func verify(_ sequences: [TokenSequence], against expected: SafetensorsFile) throws -> VerificationReport {
    let ties = try TieRulings(expected, routers: model.routers)
    let capture = try capture(sequences, wanted: Set(expected.tensors.map(\.name)), ties: ties)
    let (state, vocabulary) = ([model.hiddenSize], [model.vocabularySize])
    let streams = [model.plan.streamCount * model.hiddenSize]
    var comparison = Comparison(
      expected: expected, capture: capture, routers: model.routers,
      rowShapes: [
        "hidden": streams, "hidden.\(model.decoderLayerCount)": state, "encoder_hidden": state, "decoder_hidden": state, "block_in": state,
        "block_out": state, "logits": vocabulary,
      ], ties: ties)
    try comparison.compareInput(sequences)
    try comparison.compareRouting()
    try comparison.compareActivations()
    try forward.requireSoundFiles()
    try expected.requireWhole()
    return comparison.report
  }

  /// Runs `sequences` and keeps what is wanted.
  func capture(_ sequences: [TokenSequence], wanted names: Set<String>, ties: TieRulings? = nil) throws -> VerificationCapture {
    for sequence in sequences { try model.check(sequence) }
    let capture = VerificationCapture(wanted: names, finalHidden: model.hasEncoder ? model.decoderLayerCount : nil)
    (forward.probe, forward.review) = (capture, ties)
    defer { (forward.probe, forward.review) = (nil, nil) }
    // Rows of the expected file so far, of the encoder's tokens and the decoder's.
    var (encoded, fed) = (0, 0)
    for sequence in sequences {
      forward.reset(length: sequence.tokens.count)
      let demand = RoutingDemand(logitsEvery: 1)
      if let tokens = sequence.encoder {
        capture.add(forward.encode(tokens, demand: demand, firstToken: encoded))
        encoded += tokens.count
      }
      for start in stride(from: 0, to: sequence.tokens.count, by: forward.passLimit) {
        let end = min(start + forward.passLimit, sequence.tokens.count)
        capture.add(
          forward.advance(sequence.tokens[start..<end], isLast: end == sequence.tokens.count, demand: demand, firstToken: fed + start))
        guard names.contains("logits") else { continue }
        for row in stride(from: 0, to: end - start, by: forward.stepLimit) {
          capture.append("logits", forward.logits(row..<min(row + forward.stepLimit, end - start)))
        }
      }
      fed += sequence.tokens.count
    }
    return capture
  }
}

/// What was compared and how it came out.
public struct VerificationReport: Sendable {
  public struct Entry: Sendable {
    public enum Outcome: String, Sendable {
      case equal, within, differs
      /// The expected file has a tensor that a run of this model does not produce.
      case notProduced = "not produced"
      /// The expected file has not one row of it.
      case empty
    }
    public var tensor: String
    public var outcome: Outcome
    /// Largest difference relative to max(1, largest expected magnitude); for expert ids the share of decisions that differ.
    public var error: Float
    public var tolerance: Float
    public var detail: String
  }
  public var entries: [Entry] = []
  public var decisions = 0
  /// Of these, decided alike by this engine alone.
  public var equalDecisions = 0
  /// Decided otherwise, all with a margin of at most `Verifier.Tolerance.nearTie`.
  public var nearTies = 0
  /// Of these, known beforehand by the logits of the expected file: what follows them was computed from the expected choice.
  public var ruledTies = 0

  /// Expected tensors that say how the rows were fed, otherwise than a verification feeds them.
  public var notConsidered: [String] = []

  /// Expected tensors that were compared with nothing: of a layer that the model does not have, of a name that nobody knows, or without a
  /// row.
  public var notCompared: [String] { entries.filter { $0.outcome == .notProduced || $0.outcome == .empty }.map(\.tensor) }

  /// Whether nothing that the model computed was compared: an input that is the input proves nothing.
  public var comparesNothing: Bool {
    !entries.contains { !Self.inputs.contains($0.tensor) && $0.outcome != .notProduced && $0.outcome != .empty }
  }

  private static let inputs: Set = [
    "input_ids", "sequence_lengths", "encoder_ids", "encoder_lengths", "decoder_ids", "decoder_lengths", "sample", "step", "branch",
    "patch",
  ]

  /// Whether every expected tensor was compared, something that the model computed among them, and none differs.
  public var holds: Bool { !comparesNothing && notCompared.isEmpty && !entries.contains { $0.outcome == .differs } }

  /// Largest error among tensors whose name ends so.
  public func worst(_ suffix: String) -> Float? {
    entries.filter { $0.tensor.hasSuffix(suffix) && $0.outcome != .notProduced && $0.outcome != .empty }.map(\.error).max()
  }
}

/// Everything a run produced, by the names of the expected file.
final class VerificationCapture: ActivationProbe {
  private let wanted: Set<String>
  /// Index of the hidden states that are called `decoder_hidden`; nil without an encoder.
  private let finalHidden: Int?
  private(set) var floats: [String: [Float]] = [:]
  private(set) var ids: [RouterID: [Int32]] = [:]

  init(wanted: Set<String>, finalHidden: Int?) {
    self.wanted = wanted
    self.finalHidden = finalHidden
  }

  func append(_ name: String, _ values: UnsafeBufferPointer<Float>) {
    if wanted.contains(name) { floats[name, default: []].append(contentsOf: values) }
  }

  func encoded(_ values: UnsafeBufferPointer<Float>) { append("encoder_hidden", values) }

  func hidden(_ index: Int, _ values: UnsafeBufferPointer<Float>) {
    append("hidden.\(index)", values)
    if index == finalHidden { append("decoder_hidden", values) }
  }

  func block(_ router: RouterID, input: UnsafeBufferPointer<Float>, output: UnsafeBufferPointer<Float>) {
    append("\(router).block_in", input)
    append("\(router).block_out", output)
  }

  func add(_ batches: [RoutingBatch]) {
    for batch in batches {
      func keep(_ name: String, _ values: [Float]) { floats["\(batch.router).\(name)", default: []] += values }
      ids[batch.router, default: []] += batch.selectedExperts
      keep("router_logits", batch.logits?.values ?? [])
      keep("weights", batch.routingWeights)
      keep("entropy", batch.routerEntropy)
      keep("selection_margin", batch.selectionMargin)
      keep("top1_margin", batch.top1Margin)
      keep("top_k_mass", batch.topKMass)
    }
  }
}
