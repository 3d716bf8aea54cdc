// How many bytes does one decision take, and how many decisions make a page? The widths of the packed columns of one router in one
// run, and the floor (docs/contracts.md, storage) that the size of a trace is compared with.

import Routing

/// Column widths of one router's pages.
struct PageLayout: Sendable, Equatable {
  let expertCount: Int
  let topK: Int
  /// 1, 2 or 4: the smallest that holds every expert id.
  let idBytes: Int
  /// 4, 2 (f16) or 0 (ids only).
  let weightBytes: Int
  /// 4, 2 (f16) or 0 (no logits).
  let logitBytes: Int
  /// What is kept beside them, as f32: norms `[topK]`, the shared expert's weight, and with norms its norm. Only a writer asks; a reader
  /// finds what there is.
  let extras: RecordingExtras

  init(expertCount: Int, topK: Int, recording: RecordingLevel) {
    self.expertCount = expertCount
    self.topK = topK
    idBytes = expertCount <= 1 << 8 ? 1 : expertCount <= 1 << 16 ? 2 : 4
    let floatBytes = recording.precision == .f16 ? 2 : 4
    weightBytes = recording.content >= .weights ? floatBytes : 0
    logitBytes = recording.content == .full ? floatBytes : 0
    extras = recording.extras.intersection([.norms, .shared])
  }

  init(expertCount: Int, topK: Int, idBytes: Int, weightBytes: Int, logitBytes: Int) {
    self.expertCount = expertCount
    self.topK = topK
    self.idBytes = idBytes
    self.weightBytes = weightBytes
    self.logitBytes = logitBytes
    extras = []
  }

  /// Ids, weights, four f32 statistics and what is kept beside them of one decision, without logits.
  var decisionBytes: Int {
    let norms = extras.contains(.norms) ? 4 * topK : 0
    let shared = extras.contains(.shared) ? extras.contains(.norms) ? 8 : 4 : 0
    return topK * (idBytes + weightBytes) + 16 + norms + shared
  }

  /// Bytes of one token's logits.
  var logitRowBytes: Int { expertCount * logitBytes }

  /// Tokens that make a page of about `pageBytes`, on average over the routers of a run.
  ///
  /// All routers of a run share the number, so that their pages begin and end at the same tokens. The sum of router probabilities that
  /// each page carries (8 bytes an expert) may not weigh more than about 1/32 of it.
  static func pageTokens(for layouts: [PageLayout], logitsEvery: Int?) -> Int {
    guard !layouts.isEmpty else { return 1024 }
    var tokenBytes = 0.0
    var sumBytes = 0
    for layout in layouts {
      tokenBytes += Double(layout.decisionBytes)
      if let logitsEvery, logitsEvery > 0 { tokenBytes += Double(layout.logitRowBytes) / Double(logitsEvery) }
      sumBytes += layout.expertCount * 8
    }
    let wanted = max(pageBytes * layouts.count, min(sumBytes * 32, largestPageBytes * layouts.count))
    return min(max(Int(Double(wanted) / tokenBytes), 1), 2048)
  }

  private static let pageBytes = 32 << 10
  private static let largestPageBytes = 1 << 20
}
