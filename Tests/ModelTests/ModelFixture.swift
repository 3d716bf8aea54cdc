// The tiny models under Tests/Fixtures/models, one folder each: a checkpoint, token ids, and what transformers computed on them.
// tools/make_models.py makes them; Tests/Fixtures/models/README.md says what lies there.

import Formats
import Foundation
import Routing
import Support
import Testing

@testable import Model

struct ModelFixture: CustomTestStringConvertible, Sendable {
  let name: String
  let folder: String
  /// `model_type` of its config.json, or of the text model in it.
  let modelType: String

  var testDescription: String { name }

  /// Every folder, by name.
  static let all: [ModelFixture] = {
    let root = Fixtures.root + "/Tests/Fixtures/models"
    let names = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
    return names.sorted().compactMap { name in
      let configuration = try? JSON.read("\(root)/\(name)/config.json")
      let type = try? (configuration?["text_config"] ?? configuration)?.string("model_type")
      return type.map { ModelFixture(name: name, folder: "\(root)/\(name)", modelType: $0) }
    }
  }()

  /// One folder of each model type.
  static let onePerFamily: [ModelFixture] = {
    var seen: Set<String> = []
    return all.filter { seen.insert($0.modelType).inserted }
  }()

  static func named(_ names: String...) -> [ModelFixture] { all.filter { names.contains($0.name) } }

  func file(_ name: String) -> String { "\(folder)/\(name)" }

  var configurations: [String] { ["config.json", "config_v4.json"].filter { FileManager.default.fileExists(atPath: file($0)) } }

  func sequences() throws -> [TokenSequence] {
    func ids(_ value: JSONValue) throws -> [Int32] { try value.requireArray().map { Int32(try $0.requireInteger(in: 0...Int(Int32.max))) } }
    return try JSON.read(file("input.json")).array("sequences").enumerated().map { index, sequence in
      let description = SequenceDescription(name: "sequence \(index)")
      guard sequence.kind == .object else { return TokenSequence(description, tokens: try ids(sequence)) }
      return TokenSequence(description, encoder: try ids(sequence.member("encoder")), tokens: try ids(sequence.member("decoder")))
    }
  }

  /// A folder with this model's files, some of them left out.
  func linked(without left: Set<String> = []) throws -> TemporaryDirectory {
    let copy = try TemporaryDirectory()
    let weights = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasPrefix("model") }
    for name in ["config.json"] + weights where !left.contains(name) {
      try FileManager.default.createSymbolicLink(atPath: copy.file(name), withDestinationPath: file(name))
    }
    return copy
  }

  /// Compares what `model` computes with the expected tensors of this folder.
  func report(_ model: LanguageModel, threads: Int? = nil, passLimit: Int = 512) throws -> VerificationReport {
    try Verifier(model, threads: threads, passLimit: passLimit).verify(
      sequences(), against: SafetensorsFile(path: file("expected.safetensors")))
  }
}

/// A tensor to be written.
struct StoredTensor {
  var name: String
  var type: ElementType
  var shape: [Int]
  var bytes: [UInt8]

  /// All tensors of a file.
  static func read(_ path: String) throws -> [StoredTensor] {
    try SafetensorsFile(path: path).tensors.map {
      StoredTensor(name: $0.name, type: $0.elementType, shape: $0.shape, bytes: Array($0.bytes))
    }
  }

  static func write(_ tensors: [StoredTensor], to path: String) throws {
    let writer = try SafetensorsWriter(path: path, tensors: tensors.map { .init($0.name, $0.type, $0.shape) })
    for tensor in tensors { try writer.append(tensor.bytes, to: tensor.name) }
    try writer.finish()
  }

  /// The same numbers, or the nearest, in another type.
  func converted(_ newType: ElementType) -> StoredTensor {
    let values: [Float] = stride(from: 0, to: bytes.count, by: 2).map {
      Float(bitPattern: UInt32(bytes[$0]) << 16 | UInt32(bytes[$0 + 1]) << 24)
    }
    var copy = self
    copy.type = newType
    copy.bytes = values.flatMap { value in
      newType == .f16 ? littleEndian(Float16(value).bitPattern) : littleEndian(value.bitPattern)
    }
    return copy
  }

  private func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }
}
