// What the keys of time do: a live session is paused, stepped and slowed down by its engine, a recorded run is played by the clock.

import Terminal

extension AppModel {
  /// Pausing, stepping and speed, of a live session or of a replay.
  mutating func play(_ id: ActionID) -> [Effect] {
    switch id {
    case .pause where isTrace && playsSteps:
      // From its end a run is played again from its beginning.
      if isPaused, let look, buffer?.firstRow(sample: look.sample + 1, step: 0) == nil, lastStep(of: look.sample) == look.step {
        selected = shownRows.lowerBound
      }
      isPaused.toggle()
      lastPlay = now
    case .step where isTrace && playsSteps:
      scrub(steps: 1)
      isPaused = true
    case .pause where isTrace:
      guard let buffer else { return [] }
      if playhead == nil {
        playhead = selected.map { $0 + 1 } ?? min(buffer.end, buffer.first + 1)
        (selected, isPaused, lastPlay) = (nil, false, now)
      } else {
        isPaused.toggle()
        lastPlay = now
      }
    case .pause:
      isPaused.toggle()
      return [.engine(isPaused ? .pause : .resume)]
    case .step where isTrace:
      guard let buffer else { return [] }
      playhead = min(buffer.end, (playhead ?? selected.map { $0 + 1 } ?? buffer.first) + 1)
      (selected, isPaused) = (nil, true)
    case .step: return [.engine(.step)]
    default:
      let steps: [Double] = [1, 2, 4, 8, 12, 20, 40, 80, 200]
      let place = rate.flatMap { now in steps.lastIndex { $0 <= now } } ?? steps.count
      let moved = place + (id == .faster ? 1 : -1)
      rate = moved >= steps.count ? nil : steps[max(0, moved)]
      say("speed: " + (rate.map { "at most \(Show.fixed($0, 0)) \(kind.words.rate)" } ?? "as fast as it can"))
      return isLive ? [.engine(.limitRate(rate))] : []
    }
    return []
  }
}
