// What writes named arrays to one file, whatever the format: all are declared first, then their elements come in pieces, in any order of arrays.

/// What an array will be, before its elements are known.
public struct TensorDeclaration: Sendable, Equatable {
  public var name: String
  public var elementType: ElementType
  /// Outermost axis first.
  public var shape: [Int]

  public init(_ name: String, _ elementType: ElementType, _ shape: [Int]) {
    self.name = name
    self.elementType = elementType
    self.shape = shape
  }
}

/// Writes one file of arrays in pieces; dropping it unfinished removes what was written.
public protocol TensorFileWriter: AnyObject {
  /// The next `bytes` (little-endian elements) of the array called `name`.
  ///
  /// - Throws: `FormatError.malformed` when the array was not declared or these are more bytes than its shape has.
  func append(_ bytes: UnsafeRawBufferPointer, to name: String) throws(FormatError)

  /// Gives the file its name; call once, after the last element.
  ///
  /// - Throws: `FormatError.malformed` naming an array that is not complete.
  func finish() throws(FormatError)
}

extension TensorFileWriter {
  /// The next elements of the array called `name`, as they lie in memory; `Element` must be the plain number that was declared.
  public func append<Element: BitwiseCopyable>(_ elements: [Element], to name: String) throws(FormatError) {
    let outcome: Result<Void, FormatError> = elements.withUnsafeBytes { bytes in
      do throws(FormatError) { return .success(try append(bytes, to: name)) } catch { return .failure(error) }
    }
    try outcome.get()
  }
}
