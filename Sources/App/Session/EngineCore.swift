// The engine without a clock and without a thread: it does one piece of work at a time (a token, a pass of a text, a denoising step) and
// says what happened. EngineSession drives it from a thread of its own; session scripts drive it by hand, which makes them
// deterministic. What a piece is, the kind of model decides (EngineWork).

import Foundation
import Model
import Routing
import Store

final class EngineCore {
  private let work: any EngineWork
  private let recorder: SessionRecorder?
  private let emit: (EngineEvent) -> Void
  private var isUnderWay = false
  private var waiting: [EngineRequest] = []
  private var feed: EngineFeed?
  /// Asked on the way through a long piece: false gives up the request under way.
  var mayGoOn: () -> Bool = { true }

  /// Opens the model; says so by `.opened` and the state of the recording.
  ///
  /// - Throws: what opening a model throws. A recording that cannot begin is reported, not thrown.
  init(
    modelPath: String, options: EngineOptions, denoising: DenoisingSettings, recording: SessionRecorder.Plan?,
    emit: @escaping (EngineEvent) -> Void
  ) throws {
    let work: any EngineWork =
      if DenoisingModel.isAt(modelPath) {
        try ImageWork(path: modelPath, options: options, settings: denoising)
      } else {
        try TextWork(path: modelPath, options: options)
      }
    self.work = work
    self.emit = emit
    emit(.opened(work.summary))
    recorder = recording.map { SessionRecorder($0, model: work.identified, summary: work.summary, pieces: work.pieces) }
    emit(.recording(recorder == nil ? .off : .starting))
  }

  /// Whether `advance` has something to do.
  var isBusy: Bool { isUnderWay || !waiting.isEmpty || feed != nil }

  /// Puts work in line, or gives it up; pace and pausing are the driver's business.
  func take(_ request: EngineRequest) {
    switch request {
    case .generate, .read, .denoise: waiting.append(request)
    case .feed(let endless): feed = endless
    case .cancel:
      let wasBusy = isBusy
      work.abandon()
      (isUnderWay, waiting, feed) = (false, [], nil)
      if wasBusy { tell(.idle(reason: "cancelled")) }
    case .pause, .resume, .step, .limitRate, .shutDown: break
    }
  }

  /// One piece of work.
  func advance() {
    do {
      if !isUnderWay, let request = waiting.isEmpty ? feed?.next() : waiting.removeFirst() {
        try work.begin(request, announce)
        isUnderWay = true
      }
      guard isUnderWay, let reason = try work.advance(announce, report) else { return }
      isUnderWay = false
      tell(.idle(reason: reason))
    } catch is CancellationError {
      take(.cancel)
    } catch { refuse(error) }
  }

  /// Hands what streamed since the last time to the recording and to the screens.
  func handOver() {
    if let part = work.takePart() {
      recorder?.receive(part.pass)
      emit(.streamed(part))
    }
    if let status = recorder?.changedStatus { emit(.recording(status)) }
  }

  /// Closes the recording.
  func shutDown(_ outcome: RunOutcome) {
    handOver()
    recorder?.finish(outcome, timeout: 3)
  }

  /// An event in its place among the tokens.
  private func tell(_ event: EngineEvent) {
    handOver()
    emit(event)
  }

  /// Says what failed and rests: a feed whose request failed is not tried again.
  private func refuse(_ error: any Error) {
    work.abandon()
    (isUnderWay, feed) = (false, nil)
    tell(.refused(message: Failure.message(of: error)))
    tell(.idle(reason: "stopped"))
  }

  private func report(_ share: ReadingShare) throws {
    guard mayGoOn() else { throw CancellationError() }
    emit(.reading(share))
  }

  private func announce(_ description: SequenceDescription) {
    tell(.began(description))
    recorder?.begin(description)
  }
}
