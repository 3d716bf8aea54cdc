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

  /// A trace of two runs on the same tokens; the second decides otherwise in a part of layer 1.
  private func trace() throws -> (file: String, folder: TemporaryDirectory) {
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

  private func compared() throws -> (model: AppModel, folder: TemporaryDirectory) {
    let (file, folder) = try trace()
    var model = try SyntheticSession.model()
    model.press("8")
    model.play(.runs(.success(try TraceReader(file: file).runs()), file: file))
    model.press("space j C")
    return (model, folder)
  }

  @Test func markedRunsAreCompared() throws {
    var (model, folder) = try compared()
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

  @Test func whatCannotBeComparedIsSaid() throws {
    var model = try SyntheticSession.model()
    model.press("6")
    #expect(text(model).contains("none chosen") && model.whyNot(.notable) != nil)
    model.play(.perform(.chooseA, "/no/such.db#1"))
    model.play(.perform(.chooseB, "/no/such.db#2"))
    #expect(model.comparison.problem?.contains("no such trace") == true && text(model).contains("no such trace"))
    let (_, folder) = try compared()
    let file = folder.file("two.db")
    model.play(.perform(.chooseA, "\(file)#1"))
    _ = model.update(.perform(.chooseB, "\(file)#2"))
    #expect(model.comparison.progress != nil)
    guard case .cancelWork(CompareWork.lane)? = model.update(.key(.escape)).first else { Issue.record("not cancelled"); return }
    #expect(model.comparison.progress == nil && model.screen == .compare)
  }
}
