// What the engine's thread tells the screens, and what the screens may ask of it. Values only; neither side waits for the other.

import Model
import Routing

/// Something that happened on the engine's thread, in order.
enum EngineEvent: Sendable {
  case opened(EngineSummary)
  /// A new sequence begins; its tokens follow in passes.
  case began(SequenceDescription)
  /// Decisions of one forward pass, with the text of its tokens.
  case pass(RoutingPass, texts: [[UInt8]])
  /// The distribution over the next token, best first, with texts.
  case drew(TokenDraw, texts: [[UInt8]])
  /// Nothing more comes until something is asked for.
  case idle(reason: String)
  case failed(message: String)
}

/// What the screens show of an opened model.
struct EngineSummary: Sendable {
  var modelName: String
  var family: String
  var layerCount: Int
  var quantization: String
  var simd: String
  var threads: Int
  var routers: [RouterDescription]
  var contextLength: Int
}

/// What the screens may ask for.
enum EngineRequest: Sendable {
  /// Continue a text until the token limit or the end of the context.
  case generate(LabelledText, SamplingSettings, maxTokens: Int)
  /// Read texts as they are.
  case read([LabelledText])
  case pause
  case resume
  /// One token while paused.
  case step
  /// Tokens per second at most; nil: as fast as the engine can.
  case limitRate(Double?)
  /// Give up what is being generated or read.
  case cancel
  case shutDown
}
