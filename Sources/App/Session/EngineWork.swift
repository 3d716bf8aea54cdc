// The two kinds of models an engine can run behind one face: each takes up a request, goes on with it piece by piece and leaves what
// streamed. What comes next, what is recorded and what the screens are told is EngineCore's business.

import Model
import Routing

/// A model at work on one request at a time.
protocol EngineWork: AnyObject {
  /// Called with each new sequence before its first row.
  typealias Announce = (SequenceDescription) -> Void
  /// Called on the way through a long piece; throws `CancellationError` when it is to be given up.
  typealias TellShare = (ReadingShare) throws -> Void

  var summary: EngineSummary { get }
  /// Who is at work, for the recording.
  var identified: any IdentifiedModel { get }
  /// Spelling of a token, for the recording, on any thread.
  var pieces: @Sendable (Int32) -> [UInt8]? { get }

  /// Takes up a request in place of the one under way.
  /// - Throws: what makes it impossible; nothing is under way then.
  func begin(_ request: EngineRequest, _ announce: Announce) throws
  /// One piece of the request: a token, a pass of a text, a denoising step.
  /// - Returns: why it has ended; nil while there is more to do.
  func advance(_ announce: Announce, _ tell: TellShare) throws -> String?
  /// Gives up the request under way.
  func abandon()
  /// What streamed since the last call; nil when nothing did.
  func takePart() -> StreamPart?
}
