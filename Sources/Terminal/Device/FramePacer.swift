// When to draw: never without a change, never more often than the frame rate, and never so often that drawing takes more than a
// tenth of a core: the model works on the same ones. Time is injected, so tests need none.

/// Decides for each turn of a run loop whether to draw now or how long to wait.
public struct FramePacer: Hashable, Sendable {
  /// Share of the time that frames may take while nobody presses a key.
  public static let budget = 0.1
  /// However dear frames are, two a second are drawn.
  public static let longestInterval = Duration.milliseconds(500)

  public let interval: Duration
  private var isDirty = true
  private var isUrgent = false
  private var last: ContinuousClock.Instant?
  private var cost = Duration.zero

  /// - Parameter framesPerSecond: the most frames a second.
  public init(framesPerSecond: Int = 30) {
    interval = .seconds(1) / max(1, framesPerSecond)
  }

  /// Something to show has changed.
  /// - Parameter isUrgent: a person waits for it: the next frame comes at the full rate whatever frames cost.
  public mutating func invalidate(isUrgent: Bool = false) {
    isDirty = true
    self.isUrgent = self.isUrgent || isUrgent
  }

  /// How long a caller may wait for events: nil when there is nothing to draw, zero when a frame is due.
  public func wait(now: ContinuousClock.Instant) -> Duration? {
    guard isDirty else { return nil }
    guard let last else { return .zero }
    return max(.zero, last + (isUrgent ? interval : pause) - now)
  }

  /// True when a frame is due now; the caller then draws it and reports its cost.
  public mutating func take(now: ContinuousClock.Instant) -> Bool {
    guard isDirty, wait(now: now) == .zero else { return false }
    // A little late is no reason to be late again: the next one comes when it would have come.
    if let due = last.map({ $0 + (isUrgent ? interval : pause) }), now - due < interval { last = due } else { last = now }
    (isDirty, isUrgent) = (false, false)
    return true
  }

  /// What the last frame took to draw, in processor time: waiting for a core or a slow line takes nothing from others. Smoothed, so that
  /// one slow frame does not stop the picture.
  public mutating func spent(_ duration: Duration) {
    cost = cost == .zero ? duration : (cost * 3 + duration) / 4
  }

  /// Between frames that nobody asked for.
  private var pause: Duration { min(max(interval, cost / Self.budget), Self.longestInterval) }
}
