// The numbers of tensors that are data and no weights: noise, expected values.

import Formats

extension TensorView {
  /// All values, in the file's order.
  ///
  /// - Throws: `ModelError.tensorType` for anything but f32: such files are written in it, and nothing is rounded on the way.
  func floats() throws -> [Float] {
    guard elementType == .f32 else {
      throw ModelError.tensorType(file: file.path, name: name, found: elementType.safetensorsName, supported: "F32")
    }
    return (0..<elementCount).map { Float(bitPattern: bytes.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self).littleEndian) }
  }
}
