// Is every tensor found by its published name, whichever file and whichever spelling it has?

import Support
import Testing

@testable import Formats

struct TensorTableTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  /// A file of empty tensors of these names.
  private func tensors(_ names: [String]) throws -> [TensorView] {
    let header = "{" + names.map { "\"\($0)\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}" }.joined(separator: ",") + "}"
    let length = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian, Array.init)
    return try SafetensorsFile(path: try directory.write(length + Array(header.utf8), to: "\(names[0]).safetensors")).tensors
  }

  @Test func listsAreOneAfterTheOther() throws {
    let runs = [try tensors(["a", "b"]), [], try tensors(["c"]), try tensors(["d", "e", "f"])]
    let list = TensorList(runs)
    #expect(list.map(\.name) == ["a", "b", "c", "d", "e", "f"] && list.count == 6 && TensorList([]).isEmpty)
    #expect(list.indices.map { list[$0].name } == list.map(\.name) && list.last?.name == "f")
  }

  @Test func namesAreFoundByTheirPublishedSpelling() throws {
    let spelling = TensorSpelling(
      renamed: ["blk.0": "model.layers.0"], prefixes: [("language_model.", ""), ("model.language_model.", "model.")])
    let names = ["language_model.x", "model.language_model.y", "blk.0", "z", "language_model.", "language_modelx"]
    let table = TensorTable(TensorTable(TensorList([try tensors(names)])), spelling: spelling)
    let published = ["x", "model.y", "model.layers.0", "z", "", "language_modelx"]
    #expect(names.map(spelling.published) == published)
    #expect(published.map { table[$0] } == [0, 1, 2, 3, 4, 5])
    #expect(published.map { table.numbers(of: $0) } == (0..<6).map { [$0] })
    for name in ["language_model.x", "model.language_model.y", "blk.0", "y", "xx"] { #expect(table[name] == nil, "\(name)") }
  }

  @Test func theFirstOfSeveralIsFoundAndAllAreNamed() throws {
    let spelling = TensorSpelling(prefixes: [("language_model.", "")])
    let stored = TensorTable(TensorList([try tensors(["language_model.x", "q"]), try tensors(["x", "w"]), try tensors(["q", "v"])]))
    #expect(stored.doubled == ["q": [1, 4]] && stored["q"] == 1 && stored.numbers(of: "q") == [1, 4] && stored["x"] == 2)
    let table = TensorTable(stored, spelling: spelling)
    #expect(table["x"] == 0 && table["w"] == 3 && table.numbers(of: "x") == [0, 2] && table.numbers(of: "q") == [1, 4])
    #expect(table.numbers(of: "language_model.x").isEmpty)
  }

  @Test func manyNamesAreAllFound() throws {
    let names = (0..<3000).map { "model.layers.\($0 / 60).experts.\($0 % 60).weight" }
    let table = TensorTable(TensorList([try tensors(names)]))
    for (number, name) in names.enumerated() { #expect(table[name] == number) }
    #expect(table["model.layers.50.experts.0.weight"] == nil)
  }
}
