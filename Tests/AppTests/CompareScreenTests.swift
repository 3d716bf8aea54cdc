// Two recorded runs on a screen: chosen, compared aside by what the command uses, and drawn.

import Analysis
import Routing
import Store
import Support
import Terminal
import Testing

@testable import App

struct CompareScreenTests {
  private func text(_ model: AppModel) -> String { Painter.draw(model).screen.plainText }

  @Test func markedRunsAreCompared() throws {
    var (model, folder) = try ComparedFixture.model()
    withExtendedLifetime(folder) {}
    let found = try #require(model.comparison.found, "\(model.comparison.problem ?? "")")
    #expect(found.pair.row[.decisions] == 6 * 40 * 6 && found.a.description.name == "first")
    let agreements = found.pair.result.layers.map { $0.row[.setAgreement] ?? 0 }
    #expect(agreements.enumerated().allSatisfy { $0.offset == 1 ? $0.element < 1 : $0.element == 1 })
    #expect(text(model).contains("experts in common") && text(model).contains("taken for another"))
    model.press("!")
    #expect(model.focused == .flips && model.comparison.flips.selected == 1)
    model.press("enter")
    #expect(model.message?.text.contains("run A is not the one that is open") == true)
    // The other way round it is another question.
    let first = model.comparison.a
    model.press("S")
    #expect(model.comparison.b == first && model.comparison.found?.a.description.name == "other")
    #expect(model.log.last?.twin.hasPrefix("moetop compare ") == true)
    #expect(model.room.table(of: model).rows.count == 6 * 16)
  }

  /// Without marks the runs of the trace are listed, and a run is not set beside itself.
  @Test func aListedRunIsTaken() throws {
    let (_, folder) = try ComparedFixture.model()
    let file = folder.file("two.db")
    var model = try SyntheticSession.model()
    model.press("6")
    model.play(.runs(.success(try TraceReader(file: file).runs()), file: file))
    model.play(.perform(.chooseA, "\(file)#2"))
    #expect(model.comparableRuns.map(\.id) == [1] && text(model).contains("takes the run below"))
    model.press("enter")
    #expect(model.comparison.b == "\(file)#1" && model.comparison.found?.a.description.name == "other")
  }

  @Test func whatCannotBeComparedIsSaid() throws {
    var model = try SyntheticSession.model()
    model.press("6")
    #expect(text(model).contains("none chosen") && model.whyNot(.notable) != nil)
    model.play(.perform(.chooseA, "/no/such.db#1"))
    model.play(.perform(.chooseB, "/no/such.db#2"))
    #expect(model.comparison.problem?.contains("no such trace") == true && text(model).contains("no such trace"))
    let (_, folder) = try ComparedFixture.model()
    let file = folder.file("two.db")
    model.play(.perform(.chooseA, "\(file)#1"))
    _ = model.update(.perform(.chooseB, "\(file)#2"))
    #expect(model.comparison.progress != nil)
    guard case .cancelWork(CompareWork.lane)? = model.update(.key(.escape)).first else { Issue.record("not cancelled"); return }
    #expect(model.comparison.progress == nil && model.screen == .compare)
  }
}
