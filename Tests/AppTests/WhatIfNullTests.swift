// Rules about decisions that a coin has chosen are no different from their control: over many coins their p is uniform. On a real model, through
// the reading, the conditions, the draws and the statistics that the command uses.

import Analysis
import Foundation
import Model
import Routing
import Support
import Testing

@testable import App

struct WhatIfNullTests {
  @Test func decisionsChosenByACoinAreLikeTheirControl() throws {
    let model = try LanguageModel(path: try #require(Fixtures.own("models/olmoe")))
    var random = SplitMix64(seed: 11)
    let texts = (0..<8).map { index in
      TokenSequence(SequenceDescription(name: "text \(index)"), tokens: (0..<14).map { _ in Int32(4 + random.below(56)) })
    }
    let rules = try RuleSet(parsing: "swap all if @coin=1")
    let coins = 120
    var ps: [Double] = []
    for coin in 0..<coins {
      // Four tokens of each text.
      let faces = texts.flatMap { _ -> [Double] in
        var faces = Array(repeating: 1.0, count: 4) + Array(repeating: 0, count: 10)
        random.shuffle(&faces)
        return faces
      }
      let context = FilterContext(
        routers: model.routers, sequences: texts.map(\.description), coordinates: ["coin"], coordinate: { _, row in faces[row] })
      let run = WhatIfRun(
        TextSubject(model, texts: texts, context: context, input: InputIdentity(source: "", hash: ""), threads: 1), showsProgress: false)
      let plan = try run.plan(.rules([rules]), draws: 2, seed: UInt64(coin))
      let effect = try #require(try run.measure(run.bind(plan), recorder: nil).effects().first)
      #expect(effect.unmatched == 0 && effect.touched ?? 0 > 0.1)
      ps.append(try #require(effect.p))
    }
    let sorted = ps.sorted()
    var distance = 0.0
    for (index, p) in sorted.enumerated() {
      distance = max(distance, abs(p - Double(index) / Double(coins)), abs(p - Double(index + 1) / Double(coins)))
    }
    #expect(distance < 1.63 / Double(coins).squareRoot(), "p <= .01 of Kolmogorov and Smirnov: \(sorted)")
  }
}
