// Where one looks in a run of images: a sample, a step of it, a branch of guidance and a patch. The place is kept as a row and a patch, so
// that whatever shows rows of text shows patches too; moving by steps and samples is done here.

import Analysis
import Routing
import Terminal

/// The step of an image looked at.
struct StepLook: Sendable, Equatable {
  /// Sequence of the run.
  var sample: Int
  var step: Int
  var branch: Int
  /// First row of the step, over all branches.
  var first: Int
  /// Rows of the patches of the branch looked at.
  var rows: Range<Int>
}

extension AppModel {
  /// Of a run of images; nil for text.
  var layout: DenoisingLayout? { buffer?.layout }

  /// Facts of the live model that makes images.
  var images: ImageFacts? { if case .live(let summary) = source { summary.images } else { nil } }

  /// The branch looked at, as far as the run has it.
  var shownBranch: Int { min(branch, (layout?.branchCount ?? 1) - 1) }

  /// Counts of the branch looked at; nil for text.
  var branchCounts: DenoisingCounts? {
    guard let counts = buffer?.counts, counts.indices.contains(shownBranch) else { return nil }
    return counts[shownBranch]
  }

  /// The row of the patch looked at in the step that holds `row`; `row` itself where that has not come.
  func rowOfPatch(_ row: Int) -> Int {
    guard let layout, let buffer, buffer.place(row) != nil else { return row }
    let start = row - buffer.position(row) % (layout.branchCount * layout.patchCount)
    let wanted = start + shownBranch * layout.patchCount + min(patch, layout.patchCount - 1)
    return shownRows.contains(wanted) && buffer.sequence(wanted) == buffer.sequence(row) ? wanted : row
  }

  var look: StepLook? {
    guard let layout, let buffer, let row, let place = buffer.place(row) else { return nil }
    let start = row - buffer.position(row) % layout.patchCount
    let rows = (start..<start + layout.patchCount).clamped(to: shownRows)
    return StepLook(
      sample: buffer.sequence(row), step: place.step, branch: place.branch, first: start - place.branch * layout.patchCount, rows: rows)
  }

  // MARK: - Words

  /// What stands in place of a step there is none of.
  var noStepWords: String {
    if isTrace, !isLoading, buffer?.hasCounts == true {
      return "This run keeps counts of its samples, not their decisions: there is no step to look at. "
        + (screen == .specialization
          ? "Its tables show what was counted." : "\(key(SpecializationScreen.id.action)) shows what was counted.")
    }
    return "The first step has not come yet."
  }

  func branchName(_ branch: Int) -> String { branch == 0 ? "conditional" : "unconditional" }

  /// `step 12 of 0-49`
  func stepName(_ step: Int) -> String { layout.map { "step \(step) of 0-\($0.stepCount - 1)" } ?? "step \(step)" }

  /// The model's own t at a step.
  func timeName(_ step: Int) -> String {
    guard let layout, layout.timesteps.indices.contains(step) else { return "" }
    let t = layout.timesteps[step]
    // Rectified flow counts from 1 to 0, DDPM in steps of training.
    return "t \(Show.fixed(Double(t), t <= 1 && layout.timesteps.allSatisfy { $0 <= 1 } ? 2 : 0))"
  }

  /// Class of a sample, where it has one.
  func className(_ sample: Int) -> String? {
    guard let buffer, buffer.sequences.indices.contains(sample) else { return nil }
    return buffer.sequences[sample].labels[SampleClasses.label]
  }

  /// `sample 3  class circle  seed 4`
  func sampleName(_ sample: Int) -> String {
    var text = "sample \(sample)"
    if let name = className(sample) { text += "  class \(name)" }
    // Runs of the command name their samples by number.
    if let buffer, buffer.sequences.indices.contains(sample), buffer.sequences[sample].name != "sample \(sample)" {
      text += "  \(buffer.sequences[sample].name)"
    }
    return text
  }

  /// `patch (2,3) step 12`
  func patchName(_ place: DenoisingPlace) -> String { "patch (\(place.patchRow),\(place.patchColumn)) step \(place.step)" }

  // MARK: - Moving

  /// Looks at a row: a token, or a patch at a step.
  mutating func look(at row: Int) {
    selected = row
    guard let layout, let place = buffer?.place(row) else { return }
    patch = place.patchRow * layout.patchColumns + place.patchColumn
    turn(to: place.branch)
  }

  /// The other branch: what was counted is another thing now.
  mutating func turn(to wanted: Int) {
    guard wanted != branch else { return }
    branch = wanted
    states.turnAll()
  }

  /// Along the steps of a sample, at its ends on to the neighbour; past the last one of a live session the newest is followed again.
  /// - Returns: whether there was somewhere to go.
  @discardableResult
  mutating func scrub(steps: Int) -> Bool {
    guard let look, let buffer, let layout else { return false }
    let end = lastStep(of: look.sample) ?? look.step
    let wanted = look.step + steps
    var target: Int?
    if 0...end ~= wanted {
      target = buffer.firstRow(sample: look.sample, step: wanted)
    } else if steps > 0 {
      target = look.step < end ? buffer.firstRow(sample: look.sample, step: end) : buffer.firstRow(sample: look.sample + 1, step: 0)
    } else if look.step > 0 {
      target = (0..<look.step).lazy.compactMap { buffer.firstRow(sample: look.sample, step: $0) }.first
    } else {
      target = lastStep(of: look.sample - 1).flatMap { buffer.firstRow(sample: look.sample - 1, step: $0) }
    }
    guard let target else {
      if isLive, steps > 0 { selected = nil }
      return false
    }
    selected = isLive && target + layout.branchCount * layout.patchCount >= buffer.end ? nil : target
    return true
  }

  /// To the same step of a neighbouring sample, or as far as that one came.
  mutating func scrub(samples: Int) {
    guard let look, let buffer, let last = lastStep(of: look.sample + samples) else { return }
    if let row = buffer.firstRow(sample: look.sample + samples, step: min(last, look.step)) { selected = row }
  }

  /// The last step of a sample that is kept.
  func lastStep(of sample: Int) -> Int? {
    guard let layout, let buffer else { return nil }
    return (0..<layout.stepCount).last { buffer.firstRow(sample: sample, step: $0) != nil }
  }

  /// Over the grid of patches.
  mutating func movePatch(rows: Int, columns: Int) {
    guard let layout else { return }
    let row = max(0, min(layout.patchRows - 1, patch / layout.patchColumns + rows))
    let column = max(0, min(layout.patchColumns - 1, patch % layout.patchColumns + columns))
    patch = row * layout.patchColumns + column
  }

  /// Patch by patch, row by row.
  mutating func movePatch(by patches: Int) { patch = max(0, min((layout?.patchCount ?? 1) - 1, patch + patches)) }

  /// Arrows over steps and samples.
  mutating func moveSteps(_ id: ActionID) {
    switch id {
    case .left: scrub(steps: -1)
    case .right: scrub(steps: 1)
    case .up: scrub(samples: -1)
    case .down: scrub(samples: 1)
    case .pageUp, .halfUp: scrub(steps: -10)
    case .pageDown, .halfDown: scrub(steps: 10)
    case .first: if let look, let row = buffer?.firstRow(sample: look.sample, step: 0) { selected = row }
    default: selected = nil
    }
  }

  /// Arrows over the patch map.
  mutating func movePatch(_ id: ActionID) {
    switch id {
    case .left: movePatch(rows: 0, columns: -1)
    case .right: movePatch(rows: 0, columns: 1)
    case .up: movePatch(rows: -1, columns: 0)
    case .down: movePatch(rows: 1, columns: 0)
    case .first: patch = 0
    case .last: patch = (layout?.patchCount ?? 1) - 1
    default: break
    }
  }

  // MARK: - Classes

  /// Seed of the image that is begun next.
  var nextSeed: UInt64 { sampling.seed &+ UInt64(buffer?.sequences.count ?? 0) }

  /// Makes images of one class, by name, the start of a name or number; of each in turn with `all`.
  mutating func make(classNamed text: String) -> [Effect] {
    guard let names = images?.classNames else { return [] }
    guard let found = classes(named: text), let feed = ClassFeed(found, seed: nextSeed) else {
      return missing("a class: a name, 0 to \(names.count - 1), or all; found \(text)")
    }
    (isPaused, selected) = (false, nil)
    say(found.count == 1 ? "making class \(names[found[0]])" : "making each class in turn")
    return [.engine(.cancel), .engine(.resume), .engine(.feed(.classes(feed)))]
  }

  /// The classes that a text stands for; nil for none.
  func classes(named text: String) -> [Int]? {
    guard let names = images?.classNames else { return nil }
    let folded = text.lowercased()
    if folded == "all" { return Array(names.indices) }
    let exact = names.firstIndex { $0.lowercased() == folded } ?? Int(text).flatMap { names.indices.contains($0) ? $0 : nil }
    return (exact ?? names.firstIndex { $0.lowercased().hasPrefix(folded) }).map { [$0] }
  }

  // MARK: - Finding

  /// `step 12`, `sample 3`, or the name of a class, the next sample of it.
  mutating func find(inImages text: String) -> [Effect] {
    guard let look, let buffer else { return [] }
    let words = text.lowercased().split(separator: " ").map(String.init)
    var row: Int?
    if words.count == 2, let number = Int(words[1]), words[0] == "step" {
      row = buffer.firstRow(sample: look.sample, step: number)
    } else if words.count == 2, let number = Int(words[1]), words[0] == "sample" {
      row = lastStep(of: number).flatMap { buffer.firstRow(sample: number, step: min($0, look.step)) }
    } else {
      let order = Array(buffer.sequences.indices.dropFirst(look.sample + 1)) + Array(0..<min(look.sample + 1, buffer.sequences.count))
      let sample = order.first { className($0)?.localizedCaseInsensitiveContains(text) == true && lastStep(of: $0) != nil }
      row = sample.flatMap { sample in lastStep(of: sample).flatMap { buffer.firstRow(sample: sample, step: min($0, look.step)) } }
    }
    guard let row else {
      say("nothing here is \"\(text)\": step N, sample N, a class or an expert (e3)", .warning)
      return []
    }
    selected = row
    return []
  }
}
