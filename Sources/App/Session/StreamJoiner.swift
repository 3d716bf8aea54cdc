// What the engine says between two hand-overs, joined into one growing value: at thousands of tokens a second, an event for each would
// cost the engine more than the screens that show them.

import Model
import Routing

/// Tokens that followed each other, what was drawn after them, and how they are spelled.
struct StreamPart: Sendable {
  var pass: RoutingPass
  /// By the row of the last token before the draw.
  var draws: [(row: Int, draw: TokenDraw)] = []
  /// Spelling of the tokens nobody has been told before, by id.
  var pieces: [Int32: [UInt8]] = [:]
  /// One for each denoising step.
  var pictures: [StepPicture] = []
}

/// What an image looks like after a denoising step.
struct StepPicture: Sendable {
  /// First row of the step.
  var row: Int
  var current: Picture
  /// The image the step was heading for.
  var predicted: Picture

  var byteCount: Int { current.pixels.count + predicted.pixels.count }
}

/// Listens with all logits, since the token inspector draws every expert's probability.
final class StreamJoiner: RoutingSink {
  let demand = RoutingDemand(logitsEvery: 1)
  private let tokenizer: Tokenizer?
  private var part: StreamPart?
  /// `[vocabularySize]`: tokens whose spelling was told.
  private var isSpelled: [Bool]

  init(_ tokenizer: Tokenizer?, vocabularySize: Int) {
    self.tokenizer = tokenizer
    isSpelled = Array(repeating: false, count: vocabularySize)
  }

  func receive(_ pass: RoutingPass) {
    if part == nil { part = StreamPart(pass: pass) } else { part?.pass.append(pass) }
    for token in pass.tokens.tokenID { spell(token) }
  }

  /// What comes after the last token received.
  func note(_ draw: TokenDraw) {
    guard let tokens = part?.pass.tokens else { return }
    part?.draws.append((tokens.firstToken + tokens.count - 1, draw))
    for candidate in draw.candidates { spell(candidate.token) }
  }

  /// What the image looks like after the step received last.
  func note(_ picture: StepPicture) { part?.pictures.append(picture) }

  /// Everything since the last call; nil when there was nothing.
  func take() -> StreamPart? {
    defer { part = nil }
    return part
  }

  private func spell(_ token: Int32) {
    let index = Int(token)
    guard isSpelled.indices.contains(index), !isSpelled[index] else { return }
    isSpelled[index] = true
    part?.pieces[token] = tokenizer?.tokenBytes(token) ?? []
  }
}
