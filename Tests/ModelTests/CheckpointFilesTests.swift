// Are the weights of a folder found, whatever kind of file holds them? Files of torch.save beside the same tensors in safetensors.

import Formats
import Foundation
import Support
import Testing

@testable import Model

struct CheckpointFilesTests {
  let folder: TemporaryDirectory

  init() throws { folder = try TemporaryDirectory() }

  private func put(_ fixture: String, as name: String) throws {
    try FileManager.default.copyItem(atPath: #require(Fixtures.own("pytorch/\(fixture)")), toPath: folder.file(name))
  }

  private func bias(_ checkpoint: Checkpoint) throws -> [Float] {
    try checkpoint.vector("0.bias", count: 4, because: "the test").array
  }

  @Test func torchFilesAreCheckpoints() throws {
    try put("protocol4.pt", as: "weights.pth")
    let found = try Checkpoint(directory: folder.path)
    let alone = try Checkpoint(file: folder.file("weights.pth"))
    try put("protocol4.safetensors", as: "model.safetensors")
    let expected = try Checkpoint(directory: folder.path)
    #expect(expected.files.first is SafetensorsFile && found.files.first is PyTorchFile)
    let matrix = try found.matrix("2.weight", rows: 2, columns: 4, because: "the test").matrix
    #expect(matrix.type == .f32 && matrix.base == found.tensors.first { $0.name == "2.weight" }?.bytes.baseAddress)
    #expect(try bias(found) == bias(expected) && bias(alone) == bias(expected))
    #expect(found.has("1.weight") && !found.has("9.weight") && found.unusedTensors == ["0.weight", "1.bias", "1.weight"])
  }

  @Test func oneFileIsNeeded() throws {
    func why() -> String? {
      do {
        _ = try Checkpoint(directory: folder.path)
        return nil
      } catch { return "\(error)" }
    }
    #expect(why()?.contains("no .pt file") == true)
    try put("protocol4.pt", as: "a.pt")
    #expect(why() == nil)
    try put("training.pt", as: "b.pt")
    #expect(why()?.contains("several checkpoints in it: a.pt, b.pt") == true)
  }

  @Test func summariesSayTheKind() throws {
    try put("protocol4.pt", as: "a.pt")
    try folder.write(Array("{\"model_type\": \"unheard_of\"}".utf8), to: "config.json")
    let summary = ModelSummary(path: folder.path)
    #expect(summary.container == .pytorch && summary.parameters == 44 && summary.obstacle?.contains("unheard_of") == true)
  }

  /// A numbered set without an index is whole or refused, and has each tensor once; one file of another name is the weights.
  @Test func shardsWithoutAnIndex() throws {
    func why() -> String {
      do { return try CheckpointFiles(in: folder.path).choice ?? "opened" } catch { return "\(error)" }
    }
    let source = try #require(Fixtures.own("models/olmoe-shards"))
    let names = try FileManager.default.contentsOfDirectory(atPath: source).filter { $0.hasPrefix("model-") }.sorted()
    try #require(names.count > 1 && names[0].contains("-of-"))
    for name in names { try FileManager.default.copyItem(atPath: "\(source)/\(name)", toPath: folder.file(name)) }
    #expect(why().contains("the \(names.count) shards have no index"))
    let whole = try CheckpointFiles(SafetensorsIndex(path: source + "/model.safetensors.index.json"))
    #expect(try Set(CheckpointFiles(in: folder.path).table.tensors.map(\.name)) == Set(whole.table.tensors.map(\.name)))
    try FileManager.default.removeItem(atPath: folder.file(names[0]))
    #expect(why().contains("those that are missing: 1"))
    try FileManager.default.copyItem(atPath: folder.file(names[1]), toPath: folder.file(names[0]))
    #expect(why().contains("without an index that says which one counts"))
    let other = try TemporaryDirectory()
    try FileManager.default.copyItem(
      atPath: #require(Fixtures.own("models/olmoe")) + "/model.safetensors", toPath: other.file("weights.safetensors"))
    #expect(try CheckpointFiles(in: other.path).choice?.contains("weights.safetensors, the only safetensors file") == true)
    try FileManager.default.moveItem(atPath: other.file("weights.safetensors"), toPath: other.file("adapter_model.safetensors"))
    #expect(throws: ModelError.self) { try CheckpointFiles(in: other.path) }
  }
}
