// What do the types IQ1, IQ2 and IQ3 look their numbers up in? Tables that were fitted to data and follow from no rule. They do not come with
// the program: tools/make_iq_tables.py takes them from the package gguf and says how its file is laid out. One content is known here, by its
// hash; a file with any other is refused, so that no number of a model comes from anywhere else.

import CKernels
import Formats

/// The tables, in memory of our own: nobody changes them once they are checked.
///
/// `@unchecked Sendable`: written before the initializer returns, then only read.
public final class LookupTables: @unchecked Sendable {
  /// What the file is called in the folder of moetop's data.
  public static let fileName = "iq-tables.bin"
  static let magic = Array("MOETOPIQ".utf8)
  static let version: UInt32 = 1
  static let headerBytes = 64
  /// Bytes of the tables, in their order: signs; entries of iq2_xxs, iq2_xs, iq2_s, iq3_xxs, iq3_s and of both iq1.
  static let sizes = [128, 256 * 8, 512 * 8, 1024 * 8, 256 * 4, 512 * 4, 2048 * 8]
  /// Of the tables alone.
  static let digest = "752a9eb3aca3e21273d53408e8a3ec996221791102262b20c8a7837eb0d7d720"

  /// Why there are none, in words that begin with the file.
  struct Absence: Error, Equatable {
    var why: String
  }

  private let memory: UnsafeMutableRawPointer

  /// For kernels; valid while this object lives.
  var pointer: OpaquePointer { OpaquePointer(memory) }

  /// - Throws: `Absence` when nothing can be read at `path`, or something else than the file that is known.
  init(path: String) throws(Absence) {
    let file: MappedFile
    do { file = try MappedFile(path: path) } catch { throw Absence(why: "\(error)".split(separator: "\n").first.map(String.init) ?? path) }
    let count = Self.sizes.reduce(0, +)
    let header = Self.header
    func require(_ isSo: Bool, _ what: String, _ expected: String, _ found: String) throws(Absence) {
      if !isSo { throw Absence(why: "\(path): damaged, or another file: \(what): expected \(expected), found \(found)") }
    }
    try require(file.byteCount == Self.headerBytes + count, "size", "\(Self.headerBytes + count) bytes", "\(file.byteCount)")
    let version = file.bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self).littleEndian
    let isOurs = file.bytes.prefix(8).elementsEqual(Self.magic)
    try require(isOurs, "first bytes", "MOETOPIQ", "others")
    try require(version == Self.version, "version", "\(Self.version)", "\(version)")
    try require(file.bytes.prefix(header.count).elementsEqual(header), "sizes of the tables", "\(Self.sizes)", "others")
    memory = .allocate(byteCount: count, alignment: 64)
    let content = UnsafeMutableRawBufferPointer(start: memory, count: count)
    content.copyMemory(from: UnsafeRawBufferPointer(rebasing: file.bytes[Self.headerBytes...]))
    // Of the copy: the file may change at any time.
    let found = SHA256.hexDigest(of: UnsafeRawBufferPointer(content))
    try require(found == Self.digest, "SHA-256 of the tables", Self.digest, found)
  }

  /// - Throws: `Absence` also when there is no name.
  fileprivate convenience init(named path: String?) throws(Absence) {
    guard let path else { throw Absence(why: "no \(Self.fileName) was named") }
    try self.init(path: path)
  }

  deinit { memory.deallocate() }

  /// The first bytes of the file.
  static var header: [UInt8] {
    let numbers = [version, UInt32(sizes.count)] + sizes.map { UInt32($0) }
    let bytes = magic + numbers.flatMap { number in (0..<4).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) } }
    return bytes + [UInt8](repeating: 0, count: headerBytes - bytes.count)
  }
}

/// The tables of one checkpoint: read when the first tensor needs them.
///
/// `@unchecked Sendable`: changed only while the model is bound, before it is shared, as the checkpoint itself.
final class TablesAtHand: @unchecked Sendable {
  private let path: String?
  private var tables: Result<LookupTables, LookupTables.Absence>?
  /// The first tensor that there are no tables for.
  private(set) var obstacle: ModelError?

  /// - Parameter path: their file; nil: whoever opens the model knows of none.
  init(_ path: String?) { self.path = path }

  /// The tables of a tensor whose numbers are entries of some; where there are none it is noted why.
  func read(for view: TensorView, _ name: String) -> LookupTables? {
    let read = tables ?? Result { [path] () throws(LookupTables.Absence) in try LookupTables(named: path) }
    tables = read
    switch read {
    case .success(let tables): return tables
    case .failure(let absence):
      let found = view.elementType.safetensorsName
      obstacle =
        obstacle ?? .lookupTables(file: view.file.path, name: name, found: found, tables: path ?? LookupTables.fileName, why: absence.why)
      return nil
    }
  }

  /// What was read, for a type that needs it.
  func known(for type: StoredType) -> LookupTables? { type.needsTables ? try? tables?.get() : nil }
}
