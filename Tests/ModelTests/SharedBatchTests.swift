// Texts that share a batch: nothing but a rule that counts rows knows of it, and what such a rule does is what an independent count over the rows
// of all texts says.

import Foundation
import Routing
import Support
import Testing

@testable import Model

struct SharedBatchTests {
  private func intervention(_ rules: String, _ model: LanguageModel) throws -> Intervention {
    try Intervention(RuleSet(parsing: rules), run: FilterContext(routers: model.routers), sharedExperts: model.sharedExpertCounts, seed: 3)
  }

  /// Everything of a reading as bits, so that NaN equals NaN.
  private func bits(_ reading: TextReading) -> [[UInt64]] {
    var columns: [[UInt64]] = [[reading.score.nats.bitPattern, UInt64(reading.tokens)]]
    func add(_ values: [Float]) { columns.append(values.map { UInt64($0.bitPattern) }) }
    for pass in reading.passes {
      for batch in pass.batches {
        for column in [batch.routingWeights, batch.routerEntropy, batch.selectionMargin, batch.top1Margin, batch.topKMass] { add(column) }
        add(batch.logits?.values ?? [])
        columns.append(batch.selectedExperts.map { UInt64(UInt32(bitPattern: $0)) })
        columns.append((batch.dropped ?? []).map { $0 ? 1 : 0 })
        columns.append(batch.importanceSum.map(\.bitPattern) + [UInt64(batch.firstToken), UInt64(batch.topK)])
      }
      add(pass.tokens.surprisal)
      columns.append(pass.tokens.sequence.map { UInt64($0) } + [UInt64(pass.tokens.firstToken)])
    }
    return columns
  }

  /// Three texts of different length.
  private func texts(_ fixture: ModelFixture) throws -> [TokenSequence] {
    let given = try fixture.sequences()
    return [given[0], given[given.count - 1].prefix(7), given[0].prefix(5)]
  }

  private func alone(_ texts: [TokenSequence], _ model: LanguageModel, _ rules: Intervention?) throws -> [TextReading] {
    let reader = VariantReader(model, threads: 1)
    return try texts.enumerated().map { index, text in
      (reader.sequence, reader.firstToken) = (index, texts[..<index].reduce(0) { $0 + $1.count })
      return try #require(try reader.batch([text], under: rules, demand: RoutingDemand(logitsEvery: 1))?.first)
    }
  }

  private func together(_ texts: [TokenSequence], _ model: LanguageModel, _ rules: Intervention?, threads: Int = 1) throws -> [TextReading]
  {
    try #require(try VariantReader(model, threads: threads).batch(texts, under: rules, demand: RoutingDemand(logitsEvery: 1)))
  }

  @Test(arguments: ModelFixture.onePerFamily)
  func withoutACapacityNoTextKnowsOfAnother(_ fixture: ModelFixture) throws {
    let model = try LanguageModel(path: fixture.folder)
    let texts = try texts(fixture)
    let plain = try alone(texts, model, nil).map(bits)
    #expect(try together(texts, model, nil).map(bits) == plain)
    // Where tokens take all above a threshold they have no places to give.
    guard model.routers.allSatisfy({ $0.spec.lists == nil }) else { return }
    for text in ["redraw all=router; scale all:top1=0.5", "swap all if position>2"] {
      let rules = try intervention(text, model)
      #expect(try together(texts, model, rules, threads: 2).map(bits) == alone(texts, model, rules).map(bits), "\(text)")
    }
    // Of a single text a batch is the text.
    let capacity = try intervention("capacity all=0.75", model)
    #expect(try together([texts[0]], model, capacity).map(bits) == alone([texts[0]], model, capacity).map(bits))
    // Room for all is no rule, where the model has no limit of its own.
    guard model.routers.allSatisfy({ $0.spec.capacity == nil }) else { return }
    #expect(try together(texts, model, intervention("capacity all=100000tok", model)).map(bits) == plain)
  }

  /// A baseline that keeps its streams does not change what a batch is.
  @Test(arguments: ModelFixture.named("olmoe", "switch_transformers", "nllb_moe", "jetmoe"))
  func aBatchBeginsWhereItsRulesBegin(_ fixture: ModelFixture) throws {
    let model = try LanguageModel(path: fixture.folder)
    let texts = try texts(fixture)
    for router in model.routers {
      let rules = try intervention("capacity \(router.id)=0.5", model)
      let reader = VariantReader(model, threads: 1)
      let demand = RoutingDemand(logitsEvery: 1)
      let baselines = try texts.enumerated().map { index, text in
        (reader.sequence, reader.firstToken) = (index, texts[..<index].reduce(0) { $0 + $1.count })
        return try #require(try reader.baseline(text, demand: demand, keeping: reader.places(for: [rules])))
      }
      (reader.sequence, reader.firstToken) = (0, 0)
      let got = try #require(try reader.batch(texts, under: rules, baselines: baselines, references: baselines, demand: demand))
      #expect(try got.map(bits) == together(texts, model, rules).map(bits), "\(router.id)")
    }
  }

  /// Which choices find room, counted here over the rows of all texts.
  @Test(arguments: ["", ",switch", ",priority"])
  func aCapacityCountsTheRowsOfTheBatch(_ order: String) throws {
    let fixture = try #require(ModelFixture.named("olmoe").first)
    let model = try LanguageModel(path: fixture.folder)
    let texts = try texts(fixture)
    let router = try #require(model.routers.first)
    let (k, experts) = (router.spec.topK, router.spec.expertCount)
    // The first router sees the same logits with and without the rule.
    let plain = try together(texts, model, nil).map { try #require($0.passes[0].batches.first) }
    let ids = plain.flatMap(\.selectedExperts)
    var first: [Double] = []
    for batch in plain {
      for row in 0..<batch.count {
        let logits = (batch.logits?.values ?? [])[row * experts..<(row + 1) * experts].map { Double($0) }
        let chosen = logits[Int(batch.selectedExperts[row * k])]
        first.append(1 / logits.reduce(0) { $0 + exp($1 - chosen) })
      }
    }
    let rows = Array(0..<ids.count / k)
    let sorted: [Int] = order == ",priority" ? rows.sorted { first[$0] == first[$1] ? $0 < $1 : first[$0] > first[$1] } : rows
    var served: [Int] = []
    if order == ",switch" {
      for row in rows { for rank in 0..<k { served.append(row * k + rank) } }
    } else {
      for rank in 0..<k { for row in sorted { served.append(row * k + rank) } }
    }
    let room = Int((0.75 * Double(k * rows.count) / Double(experts)).rounded(.up))
    var used: [Int32: Int] = [:]
    var dropped = Array(repeating: false, count: ids.count)
    for slot in served {
      used[ids[slot], default: 0] += 1
      dropped[slot] = used[ids[slot]] ?? 0 > room
    }
    let rule = try intervention("capacity \(router.id)=0.75\(order)", model)
    let got = try together(texts, model, rule).map { try #require($0.passes[0].batches.first) }
    #expect(got.flatMap(\.selectedExperts) == ids)
    #expect(got.flatMap { $0.dropped ?? Array(repeating: false, count: $0.count * k) } == dropped)
    #expect(dropped.contains(true))
    #expect(zip(got.flatMap(\.routingWeights), dropped).allSatisfy { ($0 == 0) == $1 })
  }

  @Test func expertsChooseAmongTheRowsOfAllTexts() throws {
    let fixture = try #require(ModelFixture.named("olmoe").first)
    let model = try LanguageModel(path: fixture.folder)
    let texts = try texts(fixture)
    let router = try #require(model.routers.first)
    let rules = try intervention("capacity \(router.id)=1,expert-choice", model)
    let got = try together(texts, model, rules).map { try #require($0.passes[0].batches.first) }
    let rows = got.reduce(0) { $0 + $1.count }
    let room = Int((Double(router.spec.topK * rows) / Double(router.spec.expertCount)).rounded(.up))
    var load: [Int32: Int] = [:]
    for id in got.flatMap(\.selectedExperts) where id >= 0 { load[id, default: 0] += 1 }
    #expect(load.count == router.spec.expertCount && load.values.allSatisfy { $0 == room })
    // Who stands first does not matter to experts that choose, but for equal probabilities.
    let turned = Array(texts[1...]) + [texts[0]]
    let again = try together(turned, model, rules).map { try #require($0.passes[0].batches.first) }
    #expect(again.map(\.selectedExperts) == Array(got[1...] + [got[0]]).map(\.selectedExperts))
  }

  @Test func aBatchThatIsStoppedIsNoReading() throws {
    let fixture = try #require(ModelFixture.named("olmoe").first)
    let model = try LanguageModel(path: fixture.folder)
    let reader = VariantReader(model, threads: 1)
    var calls = 0
    reader.onProgress = { _ in
      calls += 1
      return calls < 3
    }
    #expect(try reader.batch(texts(fixture), under: intervention("capacity all=1", model), demand: RoutingDemand()) == nil)
    reader.onProgress = nil
    #expect(try reader.batch(texts(fixture), under: intervention("capacity all=1", model), demand: RoutingDemand())?.count == 3)
  }
}
