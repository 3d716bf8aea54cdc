// Labels of single tokens: an axis of the screen of specialization, by what tokens are and not by what texts are.

import Routing
import Support
import Terminal
import Testing

@testable import App

struct TokenLabelAxisTests {
  @Test func tokensCanBeToldApartByTheirOwnLabels() throws {
    var model = AppModel(size: Size(width: 120, height: 40), theme: Theme())
    for event in try SyntheticSession.events(texts: 6, length: 40) {
      guard case .streamed(var part) = event else {
        _ = model.update(.engine([event]))
        continue
      }
      // By what layer 0 chose first, apart from what the domain of the text has it choose; of some tokens nothing is said.
      var facts = TokenFacts(count: part.pass.tokens.count)
      for row in 0..<facts.count {
        let first = part.pass.batches[0].selectedExperts[row * part.pass.batches[0].topK]
        facts.setLabel("kind", part.pass.tokens.position[row] % 5 == 0 ? nil : first / 4 % 2 == 0 ? "even" : "odd", of: row)
      }
      part.pass.tokens.facts = facts
      _ = model.update(.engine([.streamed(part)]))
    }
    model.overlay = nil
    model.press("4")
    #expect(model.facets.contains(.tokenLabel("kind")) && model.facets.contains(.label("domain")))
    model.play(.perform(ActionID("axis"), "kind"))
    #expect(model.special.resultFacet == .tokenLabel("kind"), "\(model.special.problem ?? "")")
    let found = try #require(model.special.results.first { $0.router == RouterID(layer: 0) })
    #expect(Set(found.cells.map(\.name)) == ["even", "odd", "without"])
    #expect(found.p < 0.05, "layer 0 is what the labels are of")
    let others = model.special.results.filter { $0.router != RouterID(layer: 0) }
    #expect(others.contains { $0.p > 0.05 })
  }
}
