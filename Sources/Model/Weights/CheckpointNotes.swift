// What has to be said about the files of a checkpoint to whoever uses its numbers: which of two sets of weights was taken, that tables
// for its numbers are missing, and that tensors lie in it which nothing uses. A name that the model does not have may be a spelling that the
// declaration should know, so what is left over is worth a word, unless its name says that it belongs to something that is known not to be
// run.

import Formats

extension Checkpoint {
  /// In words, each to be said once.
  ///
  /// - Parameter layers: the blocks that are the model.
  func notes(_ layers: TextLayers) -> [String] {
    [choice, obstacle.map { "it can be described and not run: \($0.description.replacing("\n  ", with: "; "))" }, leftOver(layers)]
      .compactMap(\.self)
  }

  private func leftOver(_ layers: TextLayers) -> String? {
    let names = unused.map(\.name).filter { !Self.isKnown($0, layers) }.sorted()
    guard !names.isEmpty else { return nil }
    let shown = names.prefix(3).joined(separator: ", ") + (names.count > 3 ? ", …" : "")
    return "\(names.count) tensor\(names.count == 1 ? "" : "s") of the files \(names.count == 1 ? "is" : "are") used by nothing: \(shown)"
      + "  (moetop inspect --json lists all)"
  }

  /// Ends of names that belong to tables which are computed anew, and to second copies of an embedding that encoder-decoders share.
  private static let computed = [
    "rotary_emb.inv_freq", "rope_freqs.weight", "masked_bias", "embed_positions.weights", "shared.weight",
  ]

  private static func isKnown(_ name: String, _ layers: TextLayers) -> Bool {
    if computed.contains(where: name.hasSuffix) { return true }
    switch ModelPart(name, of: layers) {
    case .vision, .audio, .mtp, .training: return true
    case .text, .surplus: return false
    }
  }
}
