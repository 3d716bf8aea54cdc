// What the engine tells the screens, and what the screens may ask of it. Values only; neither side waits for the other.

import Model
import Routing
import Store

/// Something that happened in the engine, in order.
enum EngineEvent: Sendable {
  case opened(EngineSummary)
  /// A new sequence begins; its tokens follow in passes.
  case began(SequenceDescription)
  /// How far the texts are that are being read.
  case reading(ReadingShare)
  /// Tokens that went through the model since the last such event.
  case streamed(StreamPart)
  /// Where the session is recorded, or why it is not.
  case recording(RecordingStatus)
  /// Nothing more comes until something is asked for.
  case idle(reason: String)
  /// A request that could not be served; the engine goes on.
  case refused(message: String)
  /// The engine is gone.
  case failed(message: String, status: Int32)
}

/// Tokens of what was given to be read: a prompt, or all texts of a file.
struct ReadingShare: Sendable, Equatable {
  var done: Int
  var total: Int
}

/// What the screens show of an opened model.
struct EngineSummary: Sendable, Equatable {
  var modelName: String
  var family: String
  var layerCount: Int
  var quantization: String
  var simd: String
  var threads: Int
  var routers: [RouterDescription]
  var contextLength: Int
  /// False: the model has no tokenizer, so there is nothing it could be given here.
  var readsText: Bool
  /// The tokenizer's beginning of a sequence.
  var beginningToken: Int32?
  /// What was said of BOS before texts; nil: as the tokenizer does.
  var bos: String?
  /// Generated tokens are computed as read ones are.
  var reproducible: Bool?
  /// Of a model that makes images.
  var images: ImageFacts?
}

/// What the screens show of a model that makes images, and of how this session samples.
struct ImageFacts: Sendable, Equatable {
  var layout: DenoisingLayout
  /// `[classes]`: names, or numbers where there are none.
  var classNames: [String]
  /// Pixels of a picture along each side.
  var side: Int
  /// False: a picture is a likeness of the latents, not what a decoder would paint.
  var showsPixels: Bool
  /// Rule, steps and guidance in words.
  var sampling: String
}

enum RecordingStatus: Sendable, Equatable {
  case off
  /// The trace is being opened; what streams meanwhile is kept.
  case starting
  case active(file: String, run: Int64, tokens: Int, bytes: Int)
  case failed(message: String)
}

/// A text to be continued.
struct GenerationRequest: Sendable, Equatable {
  var description: SequenceDescription
  var text: String
  /// Tokens of the text that are read; nil for all that fit.
  var promptLimit: Int?
  var maxTokens: Int
  var sampling: SamplingSettings
}

/// An image to be made.
struct SampleRequest: Sendable, Equatable {
  var classIndex: Int
  var seed: UInt64
}

/// What the screens may ask for.
enum EngineRequest: Sendable, Equatable {
  /// Continue a text until the token limit, an end token or the end of the context.
  case generate(GenerationRequest)
  /// Read texts as they are.
  case read([LabelledText])
  /// Make an image.
  case denoise(SampleRequest)
  /// Continue one text or make one image after the other whenever nothing else is asked for.
  case feed(EngineFeed)
  case pause
  case resume
  /// One token or denoising step while paused.
  case step
  /// Tokens or denoising steps per second at most; nil: as fast as the engine can.
  case limitRate(Double?)
  /// Give up what is being generated or read, whatever waits, and the feed.
  case cancel
  /// The end, and what is written about it into the recording.
  case shutDown(RunOutcome)

  /// Whether what is under way is given up for it.
  var endsWork: Bool {
    switch self {
    case .cancel, .shutDown: true
    default: false
    }
  }
}
