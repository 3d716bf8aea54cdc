// Expert counts for balancers and arrays for numpy: do they say what the decisions say? Counted by hand from the passes; .npz against the
// safetensors of the same run, array by array.

import Formats
import Foundation
import Routing
import Support
import Testing

@testable import Formats
@testable import Store

@Suite struct BalanceExportTests {
  let directory: TemporaryDirectory
  private var file: String { directory.file("trace.db") }

  init() throws { directory = try TemporaryDirectory() }

  private func export(_ format: TraceExport.Format, _ path: String, _ content: TraceExport.Content = .load) throws {
    let trace = try TraceReader(file: file)
    try TraceExport(trace: trace, run: try trace.run(.latest)).write(content, as: format, to: .file(path))
  }

  private static let shape = SampleShape(
    name: "x", routers: [RouterID(layer: 1), RouterID(layer: 3)], expertCount: 5, passes: [40, 30], hasDrops: true, hasPadding: true)

  /// `[routers][experts]`, counted from the decisions themselves.
  private func counted(_ passes: [RoutingPass]) -> [[Int64]] {
    Self.shape.routers.map { router in
      var counts = Array(repeating: Int64(0), count: 5)
      for batch in passes.flatMap(\.batches) where batch.router == router {
        for (slot, expert) in batch.selectedExperts.enumerated() where expert >= 0 && batch.dropped?[slot] != true {
          counts[Int(expert)] += 1
        }
      }
      return counts
    }
  }

  @Test func countsAreThoseOfTheDecisions() throws {
    let expected = counted(try Self.shape.record(in: file))
    let path = directory.file("counts.json")
    try export(.eplb, path)
    let json = try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: path))) as? [String: Any])
    #expect(json["schema"] as? String == "moetop.eplb/1" && json["unit"] as? String == "assignments")
    #expect(json["weight"] as? [[Int64]] == expected)
    #expect(json["layers"] as? [Int] == [1, 3] && json["routers"] as? [String] == ["ffn.1", "ffn.3"] && json["experts"] as? Int == 5)
    #expect(json["n"] as? Int == 70 && json["n_of"] as? String == "tokens")
    #expect(json["assignments"] as? [Int64] == expected.map { $0.reduce(0, +) })
    let zeros = [Int64](repeating: 0, count: 5)
    #expect(json["logical_count"] as? [[Int64]] == [zeros, expected[0], zeros, expected[1]], "a row for each layer of the model")
    // Bytes as numpy.save writes them.
    let array = directory.file("counts.npy")
    try export(.eplb, array)
    let npy = try NPYFile(path: array)
    #expect(npy.header.elementType == .i64 && npy.header.shape == [2, 5])
    let bytes = try Data(contentsOf: URL(fileURLWithPath: array)).dropFirst(npy.header.dataOffset)
    #expect(bytes.elementsEqual(expected.joined().flatMap { number in withUnsafeBytes(of: number.littleEndian) { Array($0) } }))
  }

  @Test func layersOfOtherWidthsAreNamed() throws {
    var description = Self.shape.run
    description.routers[1].spec = RouterSpec(expertCount: 7, scoring: .softmax, selection: .tokenChoice(topK: 2))
    let writer = try TraceWriter(file: file, description: description)
    try writer.finish(.completed)
    do {
      try export(.eplb, directory.file("counts.json"))
      Issue.record("expected a refusal")
    } catch let error as StoreError {
      #expect(error.kind == .unsupported && "\(error)".contains("found ffn.1 5, ffn.3 7") && error.advice?.contains("--filter") == true)
    }
    #expect(!FileManager.default.fileExists(atPath: directory.file("counts.json")))
  }

  @Test func namesSayWhatIsWritten() throws {
    try Self.shape.record(in: file)
    func kind(_ format: TraceExport.Format, _ name: String, _ content: TraceExport.Content) -> StoreError.Kind? {
      do { try export(format, directory.file(name), content) } catch { return (error as? StoreError)?.kind }
      return nil
    }
    #expect(kind(.eplb, "counts.pt", .load) == .usage && kind(.eplb, "x.json", .routing) == .usage && kind(.npz, "x.npz", .load) == .usage)
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["trace.db"])
  }

  @Test func stacksOfOneLayerHaveNoTableByLayer() throws {
    try SampleShape(name: "x", routers: [RouterID(stack: .attention, layer: 0), RouterID(layer: 0)], passes: [3]).record(in: file)
    try export(.eplb, directory.file("counts.json"))
    let data = try Data(contentsOf: URL(fileURLWithPath: directory.file("counts.json")))
    let json = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    #expect(json["logical_count"] is NSNull && json["routers"] as? [String] == ["attn.0", "ffn.0"])
  }

  // MARK: npz

  @Test func arraysAreThoseOfTheSafetensors() throws {
    var shape = Self.shape
    shape.recording = RecordingLevel(content: .full, logitsEvery: 3, extras: .all)
    try shape.record(in: file)
    let (tensors, arrays) = (directory.file("x.safetensors"), directory.file("x.npz"))
    try export(.safetensors, tensors, .routing)
    try export(.npz, arrays, .routing)
    let expected = try SafetensorsFile(path: tensors)
    let zip = try StoredZip(try MappedFile(path: arrays))
    #expect(Set(zip.entries.map(\.name)) == Set((expected.tensors.map(\.name) + expected.metadata.map(\.key)).map { $0 + ".npy" }))
    for tensor in expected.tensors {
      let bytes = zip.bytes(of: try #require(zip["\(tensor.name).npy"]))
      let header = try NPYHeader(bytes, file: arrays)
      #expect(header.elementType == tensor.elementType && header.shape == tensor.shape, "\(tensor.name)")
      #expect(bytes[header.dataOffset...].elementsEqual(tensor.bytes), "\(tensor.name)")
    }
  }
}
