// How does a safetensors file come to be? All tensors are declared first, so that the header can be written; then their bytes arrive
// in pieces, in any order of tensors. `OutputFile` lets them appear when every byte has come (`finish`), never half written.

/// Writes one safetensors file in pieces.
///
/// Not `Sendable`: one writer belongs to one task. Dropping it unfinished removes what was written.
public final class SafetensorsWriter: TensorFileWriter {
  public typealias Declaration = TensorDeclaration

  private struct Slot {
    var start: Int
    var byteCount: Int
    var written = 0
  }

  public let path: String
  private let output: OutputFile
  private var slots: [String: Slot] = [:]

  /// Creates the (still hidden) file and writes its header.
  ///
  /// - Parameters:
  ///   - tensors: laid out by falling element size, else in this order, so that each is aligned to its elements.
  ///   - metadata: written to `__metadata__` in this order.
  /// - Throws: `FormatError.system` when the directory cannot be written, `.malformed` for repeated names and impossible shapes.
  public init(path: String, tensors: [Declaration], metadata: [(key: String, value: String)] = []) throws(FormatError) {
    self.path = path
    var slots: [String: Slot] = [:]
    var end = 0
    var header = JSONWriter()
    let order = tensors.indices.sorted {
      (-tensors[$0].elementType.byteCount, $0) < (-tensors[$1].elementType.byteCount, $1)
    }
    var failure: FormatError?
    header.object { json in
      if !metadata.isEmpty {
        json.member("__metadata__") { $0.object { for (key, value) in metadata { $0.member(key, value) } } }
      }
      for tensor in order.map({ tensors[$0] }) {
        guard let slot = Self.slot(for: tensor, at: end), slots.updateValue(slot, forKey: tensor.name) == nil,
          tensor.name != "__metadata__"
        else {
          failure = .malformed(
            file: path, place: "tensor \(quoted(tensor.name))",
            problem: "cannot be written: \(tensor.elementType.safetensorsName) \(tensor.shape), or a repeated name",
            hint: nil)
          return
        }
        end = slot.start + slot.byteCount
        json.member(tensor.name) { json in
          json.object {
            $0.member("dtype", tensor.elementType.safetensorsName)
            $0.member("shape", tensor.shape)
            $0.member("data_offsets", [slot.start, end])
          }
        }
      }
    }
    if let failure { throw failure }
    var bytes = header.bytes
    while bytes.count % 8 != 0 { bytes.append(0x20) }  // the format pads with spaces, so that the data are aligned
    guard bytes.count <= SafetensorsFile.headerLimit else {
      throw .malformed(file: path, place: "header", problem: "\(bytes.count) bytes, at most \(SafetensorsFile.headerLimit)", hint: nil)
    }
    output = try OutputFile(path: path, order: .any)
    self.slots = slots.mapValues { Slot(start: $0.start + 8 + bytes.count, byteCount: $0.byteCount) }
    let length = withUnsafeBytes(of: UInt64(bytes.count).littleEndian) { Array($0) }
    try write(length + bytes, at: 0)
  }

  private static func slot(for tensor: Declaration, at start: Int) -> Slot? {
    guard tensor.elementType.blockSize == 1, tensor.shape.count <= SafetensorsFile.rankLimit, let count = elementCount(of: tensor.shape)
    else { return nil }
    let (byteCount, overflow) = count.multipliedReportingOverflow(by: tensor.elementType.byteCount)
    let limit = Int.max / 4  // far beyond any disk, and no sum of two overflows
    return overflow || byteCount > limit || start > limit ? nil : Slot(start: start, byteCount: byteCount)
  }

  /// The next `bytes` (little-endian elements) of the tensor called `name`.
  ///
  /// - Throws: `FormatError.malformed` when the tensor was not declared or these are more bytes than its shape has.
  public func append(_ bytes: UnsafeRawBufferPointer, to name: String) throws(FormatError) {
    guard let slot = slots[name] else {
      throw .malformed(file: path, place: "tensor \(quoted(name))", problem: "was not declared", hint: nil)
    }
    guard bytes.count <= slot.byteCount - slot.written else {
      throw .malformed(
        file: path, place: "tensor \(quoted(name))", problem: "got \(slot.written + bytes.count) bytes, its shape has \(slot.byteCount)",
        hint: nil)
    }
    try output.write(bytes, at: slot.start + slot.written)
    slots[name]?.written += bytes.count
  }

  /// Gives the file its name; call once, after the last byte.
  ///
  /// - Throws: `FormatError.malformed` naming a tensor that is not complete.
  public func finish() throws(FormatError) {
    if let (name, slot) = slots.filter({ $0.value.written < $0.value.byteCount }).min(by: { $0.key < $1.key }) {
      throw .malformed(
        file: path, place: "tensor \(quoted(name))", problem: "got \(slot.written) of \(slot.byteCount) bytes", hint: nil)
    }
    try output.commit()
  }

  private func write(_ bytes: [UInt8], at offset: Int) throws(FormatError) {
    let outcome: Result<Void, FormatError> = bytes.withUnsafeBytes { buffer in
      do throws(FormatError) { return .success(try output.write(buffer, at: offset)) } catch { return .failure(error) }
    }
    try outcome.get()
  }
}
