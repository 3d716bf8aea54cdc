// Which tensors does one file of torch.save hold, and where are their bytes? The archive is StoredZip.swift's, the pickle in it
// PickleMachine.swift's; here the state dictionary is chosen among what a training script saved, and its entries become the same
// views over the mapped file that safetensors have. Reading executes nothing, imports nothing and writes nothing.

/// One checkpoint written by torch.save (PyTorch 1.6 and later), mapped.
public final class PyTorchFile: Sendable {
  public let path: String
  /// The tensors of the state dictionary, in the order of their data. Several may share bytes (tied weights).
  public let tensors: [TensorView]
  /// The key under which the state dictionary was found; nil: the file is one.
  public let stateKey: String?
  /// Keys of the file's dictionary, in its order.
  public let keys: [String]

  private let indexByName: [String: Int]

  /// Where state dictionaries are looked for, in this order, before the file's own dictionary: averaged weights are those that are published.
  public static let stateKeys = ["ema", "model"]

  /// Whether `path` is named like such a file.
  public static func isAt(_ path: String) -> Bool { path.hasSuffix(".pt") || path.hasSuffix(".pth") }

  /// - Throws: `FormatError`: `.unsupported` for what is refused (other classes and functions than those of tensors, compressed entries,
  ///   files of PyTorch before 1.6, views that are not contiguous), `.malformed` for what contradicts itself or the file's size.
  public init(path: String) throws(FormatError) {
    let file = try MappedFile(path: path)
    let archive = try TorchArchive(file)
    let (root, heap) = try archive.unpickled()
    let reader = StateReader(archive: archive, heap: heap)
    let top = try reader.members(of: root, named: "the file")
    var state = (key: String?.none, members: top)
    for key in Self.stateKeys {
      guard let found = top.first(where: { $0.name == key })?.value, case .dictionary = found else { continue }
      let members = try reader.members(of: found, named: key)
      if members.contains(where: \.isTensor) {
        state = (key, members)
        break
      }
    }
    guard state.members.contains(where: \.isTensor) else {
      throw .malformed(
        file: path, place: "entry \(quoted(archive.pickle.name))",
        problem: "expected a dictionary of tensors in the file or under \(Self.stateKeys.map { "\"\($0)\"" }.joined(separator: " or ")),"
          + " found the keys \(top.prefix(8).map { quoted($0.name) }.joined(separator: ", "))",
        hint: "save {\"model\": model.state_dict()}")
    }
    var views: [TensorView] = []
    for member in state.members { if let view = try reader.view(member) { views.append(view) } }
    views.sort { ($0.byteOffset, $0.byteCount, $0.name) < ($1.byteOffset, $1.byteCount, $1.name) }
    self.path = path
    tensors = views
    stateKey = state.key
    keys = top.map(\.name)
    indexByName = Dictionary(uniqueKeysWithValues: zip(views.map(\.name), 0...))
  }

  /// The tensor called `name`, or nil.
  public subscript(name: String) -> TensorView? { indexByName[name].map { tensors[$0] } }
}

/// The archive as torch lays it out: one folder with data.pkl, version, byteorder and a file for every storage below data/.
private struct TorchArchive {
  let zip: StoredZip
  let folder: String
  let pickle: StoredZip.Entry

  init(_ file: MappedFile) throws(FormatError) {
    guard file.bytes.starts(with: [0x50, 0x4B, 0x03, 0x04]) else { throw Self.other(file) }
    zip = try StoredZip(file)
    let pickles = zip.entries.filter { $0.name.hasSuffix("/data.pkl") && $0.name.utf8.count(where: { $0 == ascii("/") }) == 1 }
    guard let pickle = pickles.first, pickles.count == 1 else {
      throw .malformed(
        file: file.path, place: "archive", problem: "expected one data.pkl in a folder, found \(pickles.count)",
        hint: "is this file written by torch.save?")
    }
    self.pickle = pickle
    folder = String(pickle.name.dropLast("data.pkl".count))
    try check(file)
  }

  private func check(_ file: MappedFile) throws(FormatError) {
    for entry in zip.entries where !entry.name.hasPrefix(folder) {
      throw .malformed(
        file: file.path, place: "entry \(quoted(entry.name))", problem: "expected all entries below \(quoted(folder))",
        hint: "is this file written by torch.save?")
    }
    if zip[folder + "constants.pkl"] != nil {
      throw .unsupported(
        file: file.path, place: "archive", found: "a TorchScript program", hint: "save the model's state_dict() with torch.save")
    }
    let version = text("version")?.filter { $0 != "\n" }
    guard let version, let number = Int(version), (1...10).contains(number) else {
      throw .unsupported(
        file: file.path, place: "entry \(quoted(folder + "version"))", found: "format version \(quoted(version ?? "none"))",
        hint: "versions 1 to 10 are read")
    }
    let order = text("byteorder") ?? "little"
    guard order == "little" else {
      throw .unsupported(
        file: file.path, place: "entry \(quoted(folder + "byteorder"))", found: "byte order \(quoted(order))",
        hint: "load and save it with torch on a little-endian machine")
    }
  }

  /// The content of a short entry.
  private func text(_ name: String) -> String? {
    zip[folder + name].flatMap { $0.range.count <= 64 ? String(decoding: zip.bytes(of: $0), as: UTF8.self) : nil }
  }

  func unpickled() throws(FormatError) -> (root: PickleValue, heap: PickleHeap) {
    var machine = PickleMachine(file: zip.file, entry: pickle) { key in zip[folder + "data/" + key]?.range }
    return try machine.run()
  }

  /// What a file is that is no ZIP archive.
  private static func other(_ file: MappedFile) -> FormatError {
    if let impostor = Impostor(file.bytes) { return impostor.error(file.path, place: "content") }
    guard file.bytes.first == 0x80 else {
      return .malformed(
        file: file.path, place: "header", problem: "expected the ZIP archive of torch.save, found neither that nor a pickle",
        hint: file.byteCount < 4096 ? "is it a link or a page instead of the file?" : "is the download complete?")
    }
    return .unsupported(
      file: file.path, place: "header", found: "a bare pickle, as PyTorch before 1.6 wrote it,",
      hint: "torch.save(torch.load(FILE, weights_only=True), NEW_FILE) with a newer PyTorch writes one that is")
  }
}

/// Dictionaries of the pickle by their text keys.
private struct StateReader {
  struct Member {
    var name: String
    var value: PickleValue

    var isTensor: Bool { if case .tensor = value { true } else { false } }
  }

  let archive: TorchArchive
  let heap: PickleHeap

  /// The members whose keys are text; others (an optimizer's numbers) are not ours.
  func members(of value: PickleValue, named place: String) throws(FormatError) -> [Member] {
    func malformed(_ problem: String) -> FormatError {
      .malformed(
        file: archive.zip.file.path, place: "entry \(quoted(archive.pickle.name)), \(place)", problem: problem,
        hint: "save {\"model\": model.state_dict()}")
    }
    guard case .dictionary(let dictionary) = value else { throw malformed("expected a dictionary, found \(value.kind)") }
    var members: [Member] = []
    var seen: Set<String> = []
    for (key, value) in heap.dictionaries[dictionary] {
      guard case .string(let range) = key else { continue }
      let bytes = UnsafeRawBufferPointer(rebasing: archive.zip.file.bytes[range])
      guard bytes.count <= StoredZip.nameLimit, let name = String(validating: bytes, as: UTF8.self) else {
        throw malformed("expected UTF-8 keys of at most \(StoredZip.nameLimit) bytes, found one of \(bytes.count) bytes")
      }
      guard seen.insert(name).inserted else { throw malformed("the key \(quoted(name, limit: 200)) is there twice") }
      members.append(Member(name: name, value: value))
    }
    return members
  }

  /// nil for members that are no tensors.
  func view(_ member: Member) throws(FormatError) -> TensorView? {
    guard case .tensor(let number) = member.value else { return nil }
    let tensor = heap.tensors[number]
    guard tensor.isContiguous else {
      throw .unsupported(
        file: archive.zip.file.path, place: "tensor \(quoted(member.name, limit: 200))",
        found: "a view \(tensor.shape) with strides \(tensor.strides)", hint: "save it with .contiguous()")
    }
    return TensorView(
      name: member.name, elementType: tensor.elementType, shape: tensor.shape, byteOffset: tensor.byteOffset,
      byteCount: tensor.byteCount, file: archive.zip.file)
  }
}
