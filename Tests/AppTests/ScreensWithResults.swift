// Screens with something on them that takes work: two runs compared, rules that were tried.

import Foundation
import Routing
import Store
import Support
import Terminal
import Testing

@testable import Analysis
@testable import App

enum ComparedFixture {
  /// A trace of two runs on the same tokens; the second decides otherwise in a part of layer 1.
  private static func trace() throws -> (file: String, folder: TemporaryDirectory) {
    let folder = try TemporaryDirectory()
    let file = folder.file("two.db")
    for other in [false, true] {
      var description = try #require(SyntheticSession.runs().first).description
      description.name = other ? "other" : "first"
      description.recording = RecordingLevel(content: .weights)
      let writer = try TraceWriter(file: file, description: description)
      for event in try SyntheticSession.events(texts: 6) {
        switch event {
        case .began(let sequence): try writer.append(sequences: [sequence])
        case .streamed(var part):
          if other, part.pass.tokens.position[0] % 4 == 0 {
            let batch = part.pass.batches[1]
            let free = (0..<Int32(16)).first { !batch.selectedExperts.contains($0) } ?? 0
            part.pass.batches[1].selectedExperts[1] = free
          }
          try writer.receive(part.pass)
        default: break
        }
      }
      try writer.finish(.completed)
    }
    return (file, folder)
  }

  /// A session that compares two runs; the folder lives as long as it is held.
  static func model(_ size: Size = Size(width: 120, height: 40), theme: Theme = Theme()) throws -> (
    model: AppModel, folder: TemporaryDirectory
  ) {
    let (file, folder) = try trace()
    var model = try SyntheticSession.model(size, theme: theme)
    model.press("8")
    model.play(.runs(.success(try TraceReader(file: file).runs()), file: file))
    model.press("space j C")
    return (model, folder)
  }
}

enum TriedFixture {
  /// A session in which a rule was tried.
  static func model(_ size: Size = Size(width: 120, height: 40), theme: Theme = Theme()) throws -> AppModel {
    var model = try SyntheticSession.model(size, theme: theme)
    model.press("j x")
    model.play(.perform(.addRule, "swap 0-5 if entropy>0.9"))
    model.press("space")
    var effect = RoutingEffect(
      name: "mask 1:0", rules: "mask 1:0", control: EffectControl(kind: .equalLoad, variants: [1, 2, 3], loadRatio: 1.4), draws: 1,
      texts: 8,
      measure: .loss)
    func change(_ values: [Double]) -> RoutingEffect.Change {
      RoutingEffect.Change(
        values.map {
          var sum = MeanSum()
          sum.addOne($0)
          return sum
        })
    }
    effect.change = change([0.041, 0.052, 0.033, 0.047, 0.044, 0.039, 0.05, 0.036])
    effect.controlChange = change([0.004, 0.001, 0.006, 0.003, 0.002, 0.005, 0.004, 0.003])
    effect.difference = change([0.037, 0.051, 0.027, 0.044, 0.042, 0.034, 0.046, 0.033])
    var answer = TrialAnswer(effect: effect, baselineLoss: 2.913, scoredTokens: 312)
    answer.candidates = [(15, 0.512, 0.111), (5, 0.118, 0.301), (9, 0.091, 0.033)].map {
      TrialAnswer.Candidate(token: $0.0, before: $0.1, after: $0.2)
    }
    (answer.entropy, answer.divergence) = ((2.04, 2.71), 0.742)
    (answer.before, answer.after) = ([0, 1, 2, 3, 4, 5], [0, 1, 2, 9, 4, 15])
    answer.pieces = Dictionary(uniqueKeysWithValues: SyntheticSession.words.enumerated().map { (Int32($0), Array($1.utf8)) })
    _ = model.update(
      .report(TrialReport(number: model.interventions.number, rules: "mask 1:0", row: model.row, answer: answer)))
    return model
  }
}
