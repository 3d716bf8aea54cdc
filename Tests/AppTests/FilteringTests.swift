// The key `f` and the palette read the grammar of `--filter`; what is wrong is said in the footer, and Tab knows the run's own words.

import Analysis
import Routing
import Support
import Terminal
import Testing

@testable import App

struct FilteringTests {
  private func filtered(_ text: String, texts: Int = 4) throws -> AppModel {
    var model = try SyntheticSession.model(texts: texts)
    model.play(.perform(.filter, text))
    return model
  }

  /// A token shows when one of its decisions passes, whichever layer it is at.
  @Test(arguments: [
    "layer=2 expert=3,5", "expert=3 rank=0", "!expert=3 layer=2", "entropy<=q0.02", "entropy>q0.98 layer=0", "token~river",
    "token=\" the\"",
    "!domain=law,code position>10", "phase=decode surprisal>4", "weight>0.3 layer>3", "id=5,7 margin<0.05",
  ]) func tokensShowOfWhichADecisionPasses(_ text: String) throws {
    let model = try filtered(text)
    #expect(model.filter?.text == text, "\(model.message?.text ?? "")")
    let buffer = try #require(model.buffer)
    let context = FilterContext(
      routers: buffer.routers, sequences: buffer.sequences, hasTexts: true,
      text: { SyntheticSession.words.indices.contains(Int($0)) ? SyntheticSession.words[Int($0)] : nil })
    let filter = try Filter(parsing: text).resolved(in: context) { buffer.uncertainty.pooledEntropy.lowerEdge(ofQuantile: $0) }
    let shown = model.shownRows.filter { model.isAdmitted($0) }
    #expect(shown == model.shownRows.filter { filter.shows($0 - buffer.first, of: buffer.pass) })
    #expect(!shown.isEmpty && shown.count < model.shownRows.count)
  }

  @Test func quantilesFollowTheRun() throws {
    let model = try filtered("entropy>=q0.95")
    let buffer = try #require(model.buffer)
    let edge = try #require(buffer.uncertainty.pooledEntropy.lowerEdge(ofQuantile: 0.95))
    #expect(model.knownQuantiles?.values == [0.95: edge])
    let wanted = model.shownRows.filter { row in buffer.routers.indices.contains { Double(buffer.entropy(row, router: $0)) >= edge } }
    #expect(model.shownRows.filter { model.isAdmitted($0) } == wanted)
  }

  @Test(arguments: [
    ("entropy=banana", "character 9: expected a share"), ("layer=9", "no router at layer 9"), ("expert=99", "experts 0 to 15"),
    ("layer", "a comparison right behind 'layer'"), ("step=1", "run of text"), ("@depth>1", "no coordinates"),
  ]) func whatIsWrongIsSaidInTheFooter(_ text: String, _ words: String) throws {
    var model = try filtered("layer=1")
    model.play(.perform(.filter, text))
    #expect(model.message?.role == .error && model.message?.text.contains(words) == true, "\(model.message?.text ?? "")")
    #expect(model.filter?.text == "layer=1", "the filter of before stays")
    #expect(Painter.draw(model).screen.plainText.contains("filter"))
    // As a command of the palette.
    model.press(":")
    for letter in "filter \(text)" { _ = model.update(.key(.char(letter))) }
    model.press("enter")
    #expect(model.message?.role == .error && model.filter?.text == "layer=1")
    model.play(.perform(.filter, " "))
    #expect(model.filter == nil)
  }

  @Test func theLineListsTermsAndTabCompletesThem() throws {
    var model = try SyntheticSession.model()
    model.press("f")
    let screen = Painter.draw(model).screen.plainText
    for form in ["layer=3-7,9", "expert=23,40", "token~part", "domain=VALUE"] { #expect(screen.contains(form), "\(form)") }
    #expect(!screen.contains("patch-row"))
    #expect(model.filterCompletions("ent") == ["entropy"] && model.filterCompletions("layer=1 !dom") == ["layer=1 !domain"])
    #expect(model.filterCompletions("domain=l") == ["domain=law"] && model.filterCompletions("domain=").count == 4)
    #expect(model.filterCompletions("zzz").isEmpty)
    for letter in "entr" { _ = model.update(.key(.char(letter))) }
    model.press("tab")
    guard case .entry(.filter, let field, _)? = model.overlay else {
      Issue.record("the line has gone")
      return
    }
    #expect(field.text == "entropy")
  }
}
