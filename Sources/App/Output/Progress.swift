// Progress of long work on standard error, only where that is a terminal: a bar, the rate, and the time left. The line is redrawn at
// most ten times a second and removed when the work is done.

struct Progress {
  private let label: String
  private let isShown: Bool
  private let start = steadyClock()
  private var lastDrawn = 0.0

  init(_ label: String, enabled: Bool) {
    self.label = label
    isShown = enabled && StandardError.isTerminal
  }

  mutating func update(done: Int, of total: Int, unit: String) {
    let now = steadyClock()
    guard isShown, now - lastDrawn > 0.1 else { return }
    lastDrawn = now
    StandardError.draw("\r\u{1B}[K" + Self.line(label: label, done: done, total: total, unit: unit, seconds: now - start))
  }

  /// Removes the line.
  func finish() {
    if isShown { StandardError.draw("\r\u{1B}[K") }
  }

  static func line(label: String, done: Int, total: Int, unit: String, seconds: Double) -> String {
    let share = total > 0 ? Double(done) / Double(total) : 0
    let filled = Int((share * 24).rounded(.down))
    let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: 24 - filled)
    let rate = seconds > 0 ? Double(done) / seconds : 0
    let left = rate > 0 ? Int((Double(total - done) / rate).rounded(.up)) : 0
    return
      "\(label) \(bar) \(Show.grouped(done)) of \(Show.grouped(total)) \(unit)  \(Show.fixed(rate, 1))/s  \(left / 60):\(left % 60 < 10 ? "0" : "")\(left % 60) left"
  }
}
