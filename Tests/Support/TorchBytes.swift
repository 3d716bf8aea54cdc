// Archives and pickles put together byte by byte: what torch.save would write, and what it never would.

/// A ZIP archive whose claims can be set apart from its content.
public struct ZipBytes {
  public struct Entry {
    public var name: String
    public var content: [UInt8]
    public var method: UInt16 = 0
    public var flags: UInt16 = 0
    /// What the entry's own header says; nil: the same as the directory.
    public var localName: String?
    public var localSize: UInt32?
    /// What the directory says instead of the truth.
    public var claimedSize: UInt32?
    public var claimedPackedSize: UInt32?
    public var claimedOffset: UInt32?
    /// Sizes and place in a 64-bit extra field.
    public var is64 = false

    public init(name: String, content: [UInt8], claimedOffset: UInt32? = nil) {
      self.name = name
      self.content = content
      self.claimedOffset = claimedOffset
    }
  }

  public var entries: [Entry]
  /// With the 64-bit end record that torch writes.
  public var has64End = false
  public var claimedCount: UInt16?
  public var claimedDirectory: UInt32?

  public init(entries: [Entry]) { self.entries = entries }

  public var bytes: [UInt8] {
    var out: [UInt8] = []
    var directory: [UInt8] = []
    for entry in entries {
      let offset = out.count
      let size = UInt32(entry.content.count)
      let name = Array((entry.localName ?? entry.name).utf8)
      let local = entry.localSize ?? size
      out += le(UInt32(0x0403_4B50)) + le(UInt16(20)) + le(entry.flags) + le(entry.method) + le(UInt32(0)) + le(UInt32(0))
      out += le(local) + le(local) + le(UInt16(name.count)) + le(UInt16(0)) + name + entry.content
      let claimed = Array(entry.name.utf8)
      let place = entry.claimedOffset ?? UInt32(offset)
      let extra = entry.is64 ? le(UInt16(1)) + le(UInt16(24)) + le(UInt64(size)) + le(UInt64(size)) + le(UInt64(place)) : []
      directory += le(UInt32(0x0201_4B50)) + le(UInt16(20)) + le(UInt16(20)) + le(entry.flags) + le(entry.method) + le(UInt64(0))
      directory += le(entry.is64 ? .max : entry.claimedPackedSize ?? size) + le(entry.is64 ? .max : entry.claimedSize ?? size)
      directory += le(UInt16(claimed.count)) + le(UInt16(extra.count)) + le(UInt16(0)) + le(UInt16(0)) + le(UInt16(0)) + le(UInt32(0))
      directory += le(entry.is64 ? UInt32.max : place) + claimed + extra
    }
    let start = out.count
    out += directory
    if has64End {
      let end = out.count
      out += le(UInt32(0x0606_4B50)) + le(UInt64(44)) + le(UInt16(30)) + le(UInt16(45)) + le(UInt64(0))
      out += le(UInt64(entries.count)) + le(UInt64(entries.count)) + le(UInt64(directory.count)) + le(UInt64(start))
      out += le(UInt32(0x0706_4B50)) + le(UInt32(0)) + le(UInt64(end)) + le(UInt32(1))
    }
    let count = has64End ? UInt16.max : claimedCount ?? UInt16(entries.count)
    out += le(UInt32(0x0605_4B50)) + le(UInt32(0)) + le(count) + le(count)
    out += le(has64End ? .max : UInt32(directory.count)) + le(has64End ? .max : claimedDirectory ?? UInt32(start)) + le(UInt16(0))
    return out
  }
}

private func le<Number: FixedWidthInteger>(_ value: Number) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }

/// Pieces of pickles, by pickletools' names.
public enum Pickle {
  public static func text(_ text: String) -> [UInt8] { [0x58] + le(UInt32(text.utf8.count)) + Array(text.utf8) }
  public static func global(_ module: String, _ name: String) -> [UInt8] { Array("c\(module)\n\(name)\n".utf8) }
  public static func int(_ value: Int32) -> [UInt8] { [0x4A] + le(value) }
  public static func tuple(_ items: [UInt8]...) -> [UInt8] { Array("(".utf8) + items.flatMap(\.self) + Array("t".utf8) }
  public static func ints(_ values: [Int32]) -> [UInt8] { Array("(".utf8) + values.flatMap(int) + Array("t".utf8) }
  public static func reduce(_ function: [UInt8], _ arguments: [UInt8]) -> [UInt8] { function + arguments + Array("R".utf8) }
  public static func dictionary(_ members: [UInt8]...) -> [UInt8] { Array("}(".utf8) + members.flatMap(\.self) + Array("u".utf8) }
  public static let hooks = reduce(global("collections", "OrderedDict"), Array(")".utf8))

  public static func storage(_ key: String, count: Int32, kind: String = "FloatStorage") -> [UInt8] {
    tuple(text("storage"), global("torch", kind), text(key), text("cpu"), int(count)) + Array("Q".utf8)
  }

  public static func tensor(
    storage: [UInt8] = storage("0", count: 6), at offset: Int32 = 0, _ shape: [Int32] = [2, 3], _ strides: [Int32] = [3, 1]
  ) -> [UInt8] {
    reduce(
      global("torch._utils", "_rebuild_tensor_v2"),
      tuple(storage, int(offset), ints(shape), ints(strides), Array("\u{89}".unicodeScalars.map { UInt8($0.value) }), hooks))
  }

  public static func whole(_ body: [UInt8]) -> [UInt8] { [0x80, 2] + body + Array(".".utf8) }
}

/// A file of torch.save with one storage of 24 bytes.
public struct TorchBytes {
  public var zip: ZipBytes

  public init(_ body: [UInt8] = Pickle.dictionary(Pickle.text("weight") + Pickle.tensor())) {
    zip = ZipBytes(entries: [
      .init(name: "made/data.pkl", content: Pickle.whole(body)), .init(name: "made/byteorder", content: Array("little".utf8)),
      .init(name: "made/data/0", content: (0..<24).map { UInt8($0) }), .init(name: "made/version", content: Array("3\n".utf8)),
    ])
  }

  public var bytes: [UInt8] { zip.bytes }

  /// The same with one thing changed.
  public func changed(_ change: (inout ZipBytes) -> Void) -> [UInt8] {
    var copy = zip
    change(&copy)
    return copy.bytes
  }
}
