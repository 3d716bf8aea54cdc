// When to draw: never without a change, never more often than the frame rate. Time is injected, so tests need none.

/// Decides for each turn of a run loop whether to draw now or how long to wait.
public struct FramePacer: Hashable, Sendable {
  public let interval: Duration
  private var isDirty = true
  private var last: ContinuousClock.Instant?

  /// - Parameter framesPerSecond: the most frames a second.
  public init(framesPerSecond: Int = 30) {
    interval = .seconds(1) / max(1, framesPerSecond)
  }

  /// Something to show has changed.
  public mutating func invalidate() { isDirty = true }

  /// How long a caller may wait for events: nil when there is nothing to draw, zero when a frame is due.
  public func wait(now: ContinuousClock.Instant) -> Duration? {
    guard isDirty else { return nil }
    guard let last else { return .zero }
    return max(.zero, last + interval - now)
  }

  /// True when a frame is due now; the caller then draws it.
  public mutating func take(now: ContinuousClock.Instant) -> Bool {
    guard isDirty, wait(now: now) == .zero else { return false }
    isDirty = false
    last = now
    return true
  }
}
