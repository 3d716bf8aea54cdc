// Mouse reports in SGR form (1006) to events. ncurses decodes them only for some terminfo entries, so we do it for all.
// Double clicks are two presses of one button at one place within 400 ms, timed by an injected clock.

public struct MouseDecoder: Sendable {
  private var lastPress: (at: Point, button: MouseEvent.Button, when: ContinuousClock.Instant)?

  public init() {}

  /// - Parameter report: what follows `ESC [ <`, such as `0;12;5M`.
  /// - Returns: nil for what is no report, for plain motion, and for the release after a wheel step.
  public mutating func decode(_ report: String, now: ContinuousClock.Instant) -> MouseEvent? {
    guard let last = report.last, last == "M" || last == "m" else { return nil }
    let numbers = report.dropLast().split(separator: ";", omittingEmptySubsequences: false).map { Int($0) }
    guard numbers.count == 3, let code = numbers[0], let x = numbers[1], let y = numbers[2], x > 0, y > 0 else { return nil }
    let at = Point(x: x - 1, y: y - 1)
    if code & 64 != 0 {
      switch code & 3 {
      case 0: return MouseEvent(.wheelUp, at: at)
      case 1: return MouseEvent(.wheelDown, at: at)
      default: return nil
      }
    }
    let button: MouseEvent.Button
    switch code & 3 {
    case 0: button = .left
    case 1: button = .middle
    case 2: button = .right
    default: return nil
    }
    if last == "m" { return MouseEvent(.release, button: button, at: at) }
    if code & 32 != 0 { return MouseEvent(.drag, button: button, at: at) }
    if let before = lastPress, before.at == at, before.button == button, now - before.when <= .milliseconds(400) {
      lastPress = nil
      return MouseEvent(.doubleClick, button: button, at: at)
    }
    lastPress = (at, button, now)
    return MouseEvent(.press, button: button, at: at)
  }
}
