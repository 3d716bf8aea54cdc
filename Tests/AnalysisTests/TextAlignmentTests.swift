// Which token stands beside which: texts in the same order, in another one, parted, shortened, renamed, and with an encoder.

import Routing
import Testing

@testable import Analysis

@Suite struct TextAlignmentTests {
  private func texts(
    _ ids: [[Int32]], names: [String] = [], encoder: [[Int32]] = [], firstPosition: Int = 0
  ) -> RunTexts {
    var texts = RunTexts(sequences: names.map { SequenceDescription(name: $0) })
    var table = TokenTable()
    for text in ids.indices {
      if encoder.indices.contains(text) {
        for (position, id) in encoder[text].enumerated() { table.append(sequence: text, position: position, tokenID: id, phase: .encode) }
      }
      for (position, id) in ids[text].enumerated() {
        table.append(sequence: text, position: firstPosition + position, tokenID: id, phase: .prefill)
      }
    }
    texts.add(table)
    return texts
  }

  private func stretch(_ text: Int, _ a: Int, _ b: Int, _ count: Int) -> AlignedStretch {
    AlignedStretch(text: text, rowA: a, rowB: b, count: count)
  }

  @Test func sameTextsInTheSameOrder() {
    let run = texts([[1, 2, 3], [1, 5]])
    let alignment = TextAlignment(run, run)
    #expect(alignment.stretches == [stretch(0, 0, 0, 3), stretch(1, 3, 3, 2)] && alignment.ground == .order)
    #expect(alignment.tokens == 5 && alignment.partedAt == nil && alignment.turned == [stretch(0, 0, 3, 2), stretch(1, 3, 0, 2)])
  }

  @Test func whatFollowsAPartingIsNotCompared() {
    let alignment = TextAlignment(texts([[1, 2, 3, 4], [7, 8]]), texts([[1, 2, 9, 4], [7, 8, 9]]))
    #expect(alignment.stretches == [stretch(0, 0, 0, 2), stretch(1, 4, 4, 2)])
    #expect(alignment.partedAt == 2 && alignment.partedTexts == 1 && alignment.pairs.map(\.tokens) == [2, 2])
    // Nor do parted tokens stand in the baseline.
    #expect(alignment.turned == [stretch(0, 0, 4, 2), stretch(1, 4, 0, 2)])
  }

  /// Without ids texts pair by their order and tokens by position, up to the first that a model wrote itself.
  @Test func withoutIDsPlacesDecide() {
    func run(_ given: [Int], _ generated: [Int]) -> RunTexts {
      var texts = RunTexts(sequences: [])
      var table = TokenTable()
      for text in given.indices {
        for position in 0..<given[text] + generated[text] {
          table.append(sequence: text, position: position, tokenID: -1, phase: position < given[text] ? .prefill : .decode)
        }
      }
      texts.add(table)
      return texts
    }
    let alignment = TextAlignment(run([3, 2, 4], [0, 5, 2]), run([3, 2, 4], [0, 5, 0]), byPlace: true)
    #expect(alignment.isByPlace && alignment.pairs.map(\.b) == [0, 1, 2] && alignment.pairs.map(\.tokens) == [3, 2, 4])
    #expect(alignment.stretches == [stretch(0, 0, 0, 3), stretch(1, 3, 3, 2), stretch(2, 10, 10, 4)] && alignment.partedAt == nil)
    // The same texts with ids on one side: what they are plays no part.
    let mixed = TextAlignment(run([2, 2], [0, 0]), texts([[7, 8], [9, 9]]), byPlace: true)
    #expect(mixed.tokens == 4 && mixed.ground == .order)
  }

  @Test func textsInAnotherOrderAreFoundByContent() {
    let alignment = TextAlignment(texts([[1, 2], [3, 4, 5], [1, 2]]), texts([[3, 4, 5], [1, 2], [1, 2]]))
    #expect(alignment.pairs.map(\.b) == [1, 0, 2] && alignment.ground == .content)
    #expect(alignment.pairs.map(\.ground) == [.content, .content, .order])
    #expect(alignment.stretches == [stretch(0, 0, 3, 2), stretch(1, 2, 0, 3), stretch(2, 5, 5, 2)])
  }

  @Test func partedTextsInAnotherOrderAreFoundByName() {
    let a = texts([[1, 2, 3], [1, 5, 6]], names: ["x", "y"])
    let alignment = TextAlignment(a, texts([[1, 5, 9], [1, 2, 3, 4]], names: ["y", "x"]))
    #expect(alignment.pairs.map(\.b) == [1, 0] && alignment.ground == .name && alignment.tokens == 5 && alignment.partedAt == 2)
    // Names that say nothing leave texts where they are.
    let unnamed = TextAlignment(
      texts([[1, 2, 3], [1, 5, 6]], names: ["t", "t"]), texts([[1, 5, 9], [1, 2, 3, 4]], names: ["t", "t"]))
    #expect(unnamed.pairs.map(\.b) == [0, 1] && unnamed.ground == .order && unnamed.tokens == 2)
  }

  @Test func nothingInCommon() {
    let alignment = TextAlignment(texts([[1, 2], [3]]), texts([[5, 2], [4]]))
    #expect(alignment.pairs.isEmpty && alignment.tokens == 0 && alignment.stretches.isEmpty && alignment.turned.isEmpty)
    #expect(TextAlignment(texts([]), texts([[1]])).tokens == 0)
  }

  @Test func idsThatStandForOtherTextEqualNothing() {
    let run = texts([[1, 2, 3]])
    #expect(TextAlignment(run, run, different: [2]).tokens == 1 && TextAlignment(run, run, different: [2]).partedAt == 1)
    #expect(TextAlignment(run, run, different: [1]).tokens == 0)
  }

  @Test func moreTextsOrFewer() {
    let alignment = TextAlignment(texts([[1, 2], [3, 4], [5, 6]]), texts([[1, 2], [5, 6]]))
    #expect(alignment.pairs.map(\.a) == [0, 2] && alignment.pairs.map(\.b) == [0, 1] && alignment.stretches[1] == stretch(1, 4, 2, 2))
  }

  /// An encoder sees its whole text at once.
  @Test func encodersMustHaveReadTheSame() {
    let a = texts([[1, 2]], encoder: [[7, 8, 9]])
    #expect(TextAlignment(a, texts([[1, 3]], encoder: [[7, 8, 9]])).tokens == 4)
    for other in [[7, 8, 1], [7, 8], [7, 8, 9, 10]] as [[Int32]] {
      #expect(TextAlignment(a, texts([[1, 2]], encoder: [other])).tokens == 0)
    }
  }

  @Test func positionsThatOneRunLacksArePassedOver() {
    let alignment = TextAlignment(texts([[1, 2, 3, 4]]), texts([[3, 4, 5]], firstPosition: 2))
    #expect(alignment.stretches == [stretch(0, 2, 0, 2)])
  }

  /// Rows of texts may alternate, and arrive in any passes.
  @Test func rowsOfTextsMayAlternate() {
    var texts = RunTexts(sequences: [])
    for (row, token) in [(0, 0, 5), (1, 0, 7), (0, 1, 6), (1, 1, 8)].enumerated() {
      var table = TokenTable(firstToken: row)
      table.append(sequence: token.0, position: token.1, tokenID: Int32(token.2), phase: .decode)
      texts.add(table)
    }
    let alignment = TextAlignment(texts, self.texts([[5, 6], [7, 8]]))
    #expect(alignment.stretches == [stretch(0, 0, 0, 1), stretch(1, 1, 2, 1), stretch(0, 2, 1, 1), stretch(1, 3, 3, 1)])
  }

  /// Images are what their labels say, at the places of one branch.
  @Test func imagesPairByPlace() {
    let layout = DenoisingLayout(sampler: "s", timesteps: [1, 0], branchCount: 2, patchRows: 1, patchColumns: 2, guidanceScale: 2)
    func images(_ classes: [String]) -> RunTexts {
      var texts = RunTexts(
        sequences: classes.map { SequenceDescription(name: "", labels: ["class": $0]) }, layout: layout, branch: 1)
      var table = TokenTable()
      for image in classes.indices {
        for position in 0..<8 { table.append(sequence: image, position: position, tokenID: -1, phase: .denoise) }
      }
      texts.add(table)
      return texts
    }
    let alignment = TextAlignment(images(["cat", "dog"]), images(["cat", "dog"]))
    #expect(alignment.stretches == [stretch(0, 2, 2, 2), stretch(0, 6, 6, 2), stretch(1, 10, 10, 2), stretch(1, 14, 14, 2)])
    #expect(TextAlignment(images(["cat", "dog"]), images(["dog", "cat"])).pairs.map(\.b) == [1, 0])
    #expect(TextAlignment(images(["cat"]), images(["dog"])).tokens == 0)
  }
}
