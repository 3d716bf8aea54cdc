// Does any damage to a file crash, hang or deceive its reader? Small files of both formats, cut at 200 places and with 2,000 seeded bit
// flips, most of them in the header, where they hurt. A file that is still accepted must be readable to its last byte.

import Formats
import Foundation
import Support
import Testing

@Suite struct HostileFileTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  /// Reads a file as its format and everything in it; the error text when it is refused.
  private func refusal(_ path: String) -> String? {
    do {
      let tensors: [TensorView]
      if path.hasSuffix(".gguf") {
        let file = try GGUFFile(path: path)
        for (_, value) in file.metadata { _ = value.array?.elements.reduce(0) { count, _ in count + 1 } }
        tensors = file.tensors
      } else {
        tensors = try SafetensorsFile(path: path).tensors
      }
      for tensor in tensors { _ = tensor.bytes.reduce(0) { $0 ^ $1 } }
      return nil
    } catch { return "\(error)" }
  }

  private func check(_ bytes: [UInt8], name: String, header: Int, cutMayPass: Bool) throws {
    var random = SeededRandom(seed: 7)
    let path = directory.file(name)
    for _ in 0..<200 {
      try directory.write(bytes.prefix(Int.random(in: 0..<bytes.count, using: &random)), to: name)
      let refusal = refusal(path)
      #expect(refusal?.hasPrefix(path) ?? cutMayPass)
    }
    try directory.write(bytes, to: name)
    let file = try #require(FileHandle(forUpdatingAtPath: path))
    var refused = 0
    for flip in 0..<2000 {
      let places = (0..<Int.random(in: 1...3, using: &random)).map { _ in
        Int.random(in: 0..<(flip % 10 == 0 ? bytes.count : header), using: &random)
      }
      for place in places {
        try file.seek(toOffset: UInt64(place))
        try file.write(contentsOf: [bytes[place] ^ 1 << UInt8.random(in: 0..<8, using: &random)])
      }
      if let refusal = refusal(path) {
        refused += 1
        #expect(refusal.hasPrefix(path), "\(refusal)")
      }
      for place in places {
        try file.seek(toOffset: UInt64(place))
        try file.write(contentsOf: [bytes[place]])
      }
    }
    #expect(refusal(path) == nil && refused > 500, "\(refused) refused")
  }

  @Test func gguf() throws {
    let sample = GGUFBytes.sample()
    try check(sample, name: "sample.gguf", header: sample.count, cutMayPass: false)
  }

  @Test func ggufOfAModel() throws {
    let model = try #require(Fixtures.own("gguf/mixtral/gguf/q4_0.gguf"))
    let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: model)))
    let start = try #require(GGUFFile(path: model).tensors.map(\.byteOffset).min())
    // The padding behind the last tensor may be missing.
    try check(bytes, name: "model.gguf", header: start, cutMayPass: true)
  }

  @Test func safetensors() throws {
    let path = directory.file("made.safetensors")
    let writer = try SafetensorsWriter(
      path: path, tensors: [.init("a.weight", .f32, [2, 3]), .init("b", .u8, [3])], metadata: [("format", "pt")])
    try writer.append([Float](repeating: 1, count: 6), to: "a.weight")
    try writer.append([UInt8](repeating: 1, count: 3), to: "b")
    try writer.finish()
    let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
    try check(bytes, name: "cut.safetensors", header: bytes.count - 27, cutMayPass: false)
  }
}
