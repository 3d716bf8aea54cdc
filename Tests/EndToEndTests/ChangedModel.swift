// Checkpoints that a test needs and no fixture is: a copy of a tiny model with a number, a tensor, a setting or a key changed.

import Formats
import Foundation
import Support
import Testing

/// A copy of a model in a folder of its own.
struct ChangedModel {
  /// A tensor to be written.
  struct Tensor {
    var name: String
    var type: ElementType
    var shape: [Int]
    var bytes: [UInt8]

    /// The same shape in f32, every number multiplied. From bf16 or f32.
    func scaled(by factor: Float) -> Tensor {
      let width = type == .f32 ? 4 : 2
      let values: [Float] = stride(from: 0, to: bytes.count, by: width).map { place in
        let bits = bytes[place..<place + width].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        return Float(bitPattern: width == 4 ? bits : bits << 16) * factor
      }
      return Tensor(
        name: name, type: .f32, shape: shape, bytes: values.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian, Array.init) })
    }
  }

  let folder: TemporaryDirectory
  var path: String { folder.path }
  /// The fixture's own ids.
  let input: String

  /// - Parameters:
  ///   - fixture: the folder below Tests/Fixtures that is copied.
  ///   - settings: members of config.json that are replaced, and taken away where nil.
  init(_ fixture: String, settings: [String: Any?] = [:], _ change: (inout [Tensor]) throws -> Void = { _ in }) throws {
    let source = try #require(Fixtures.own(fixture))
    folder = try TemporaryDirectory()
    input = source + "/input.json"
    var configuration = try Self.configuration(source)
    for (key, value) in settings { configuration[key] = value }
    try Self.write(configuration, to: folder)
    var tensors = try Self.tensors(source + "/model.safetensors")
    try change(&tensors)
    try Self.write(tensors, to: folder.file("model.safetensors"))
  }

  /// One bf16 or f16 number of a tensor replaced by the bits of another.
  init(_ fixture: String, bits: UInt16, at element: Int = 0, of name: String) throws {
    try self.init(fixture) { tensors in
      let index = try #require(tensors.firstIndex { $0.name == name })
      tensors[index].bytes[2 * element] = UInt8(bits & 0xFF)
      tensors[index].bytes[2 * element + 1] = UInt8(bits >> 8)
    }
  }

  static let notANumber: UInt16 = 0x7FC0
  static let infinity: UInt16 = 0x7F80

  static func configuration(_ folder: String) throws -> [String: Any] {
    let data = try Data(contentsOf: URL(fileURLWithPath: folder + "/config.json"))
    return try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
  }

  static func write(_ configuration: [String: Any], to folder: TemporaryDirectory) throws {
    try folder.write(try JSONSerialization.data(withJSONObject: configuration), to: "config.json")
  }

  static func tensors(_ path: String) throws -> [Tensor] {
    try SafetensorsFile(path: path).tensors.map { Tensor(name: $0.name, type: $0.elementType, shape: $0.shape, bytes: Array($0.bytes)) }
  }

  static func write(_ tensors: [Tensor], to path: String) throws {
    let writer = try SafetensorsWriter(path: path, tensors: tensors.map { .init($0.name, $0.type, $0.shape) })
    for tensor in tensors { try writer.append(tensor.bytes, to: tensor.name) }
    try writer.finish()
  }

  /// A GGUF file in which keys have other names of the same length, as if they were not there.
  static func gguf(_ name: String, without keys: [String], in folder: TemporaryDirectory) throws -> String {
    var bytes = Array(try Data(contentsOf: URL(fileURLWithPath: try #require(Fixtures.own("gguf/\(name).gguf")))))
    for key in keys {
      let name = Array(key.utf8)
      let place = try #require(bytes.firstRange(of: [UInt8(name.count)] + [UInt8](repeating: 0, count: 7) + name)?.lowerBound, "\(key)")
      bytes[place + 8 + name.count - 1] = UInt8(ascii: "~")
    }
    return try folder.write(bytes, to: name + ".gguf")
  }
}

/// The one object a command prints.
struct Answer {
  let status: Int32
  let errors: String
  let root: JSONValue

  init(_ arguments: [String]) throws {
    let result = try Binary.run(arguments + ["--json"])
    status = result.status
    errors = result.errors
    root = try JSON.parse(text: result.output, name: arguments.joined(separator: " "))
  }

  subscript(key: String) -> JSONValue? { root[key] }

  func check(_ name: String) -> JSONValue? { root["checks"]?.elements.first { $0["name"]?.string == name } }
}

extension JSONValue {
  var firstElement: JSONValue? { elements.first { _ in true } }
}
