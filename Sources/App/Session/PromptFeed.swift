// What a live session reads when nobody has typed anything: the openings of a corpus's documents, one domain after the other, each
// continued by the model. Labels travel along, so that routing can be compared by domain while it streams.

import Foundation
import Model

struct PromptFeed: Sendable, Equatable {
  /// Tokens read of each document, and drawn after them.
  static let promptTokens = 24
  static let continuation = 160

  private let texts: [LabelledText]
  private var place = 0
  var sampling: SamplingSettings

  /// - Parameter texts: reordered so that neighbours differ in their `domain`; nil when there are none.
  init?(_ texts: [LabelledText], sampling: SamplingSettings) {
    guard !texts.isEmpty else { return nil }
    var byDomain: [String: [LabelledText]] = [:]
    var order: [String] = []
    for text in texts {
      let domain = text.description.labels["domain"] ?? ""
      if byDomain[domain] == nil { order.append(domain) }
      byDomain[domain, default: []].append(text)
    }
    let longest = byDomain.values.map(\.count).max() ?? 0
    self.texts = (0..<longest).flatMap { round in order.compactMap { name in byDomain[name].flatMap { round < $0.count ? $0[round] : nil } } }
    self.sampling = sampling
  }

  /// The corpus that lies beside a model's folder, if one does.
  static func corpus(besideModel path: String) -> String? {
    var folder = path
    while folder.count > 1, folder.hasSuffix("/") { folder.removeLast() }
    let parent = (folder as NSString).deletingLastPathComponent
    let file = (parent.isEmpty ? "." : parent) + "/corpus.jsonl"
    return FileManager.default.fileExists(atPath: file) ? file : nil
  }

  /// The next request; begins again after the last text, with another seed.
  mutating func next() -> GenerationRequest {
    let text = texts[place % texts.count]
    var sampling = sampling
    sampling.seed &+= UInt64(place)
    place += 1
    return GenerationRequest(
      description: text.description, text: text.text, promptLimit: Self.promptTokens, maxTokens: Self.continuation, sampling: sampling)
  }
}
