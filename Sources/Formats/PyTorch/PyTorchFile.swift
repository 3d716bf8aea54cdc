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
  /// What the training script saved of its settings, by path: `args.num_experts`, `config.routing.param.k`.
  public let settings: [String: Setting]

  private let indexByName: [String: Int]

  /// Where state dictionaries are looked for, in this order, before the file's own dictionary: averaged weights are those that are published.
  public static let stateKeys = ["ema", "model", "module"]

  /// Whether `path` is named like such a file.
  public static func isAt(_ path: String) -> Bool { [".pt", ".pth", ".bin"].contains { path.hasSuffix($0) } }

  /// One value of a training script's settings.
  public enum Setting: Sendable, Equatable {
    case text(String)
    case whole(Int)
    case number(Double)
    case flag(Bool)

    public var whole: Int? { if case .whole(let value) = self { value } else { nil } }
    public var text: String? { if case .text(let value) = self { value } else { nil } }
    public var flag: Bool? { if case .flag(let value) = self { value } else { nil } }
    public var number: Double? {
      switch self {
      case .number(let value): value
      case .whole(let value): Double(value)
      case .text, .flag: nil
      }
    }
  }

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
    // A model that was wrapped for several machines when its state was taken has this before every name.
    let wrapper = "module."
    if state.members.allSatisfy({ !$0.isTensor || $0.name.hasPrefix(wrapper) }) {
      for index in state.members.indices where state.members[index].isTensor { state.members[index].name.removeFirst(wrapper.count) }
    }
    var views: [TensorView] = []
    for member in state.members { if let view = try reader.view(member) { views.append(view) } }
    views.sort { ($0.byteOffset, $0.byteCount, $0.name) < ($1.byteOffset, $1.byteCount, $1.name) }
    self.path = path
    tensors = views
    stateKey = state.key
    keys = top.map(\.name)
    settings = reader.settings(of: top)
    indexByName = Dictionary(uniqueKeysWithValues: zip(views.map(\.name), 0...))
  }

  /// The tensor called `name`, or nil.
  public subscript(name: String) -> TensorView? { indexByName[name].map { tensors[$0] } }
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

  /// Texts, numbers and flags of the instances among `members`. A hostile file can nest them and refer in circles: both ends are bounded.
  func settings(of members: [Member]) -> [String: PyTorchFile.Setting] {
    var found: [String: PyTorchFile.Setting] = [:]
    var visits = 0
    for member in members {
      if case .object = member.value { collect(member.value, path: member.name, depth: 0, visits: &visits, into: &found) }
    }
    return found
  }

  private static let settingsLimit = 1 << 14

  private func collect(
    _ value: PickleValue, path: String, depth: Int, visits: inout Int, into found: inout [String: PyTorchFile.Setting]
  ) {
    visits += 1
    guard depth < 16, visits < Self.settingsLimit else { return }
    switch value {
    case .bool(let flag): found[path] = .flag(flag)
    case .int(let number): found[path] = .whole(number)
    case .float(let number): found[path] = .number(number)
    case .string(let range):
      // What refers to another setting is no value of its own.
      if let text = text(range), !text.contains("${") { found[path] = .text(text) }
    case .object(let object):
      guard let attributes = heap.objects[object] else { return }
      let inner = heap.dictionaries[attributes].prefix(16).first { ["_content", "_val"].contains(text($0.key)) }
      collect(inner?.value ?? .dictionary(attributes), path: path, depth: depth + 1, visits: &visits, into: &found)
    case .dictionary(let dictionary):
      for (key, value) in heap.dictionaries[dictionary] where visits < Self.settingsLimit {
        if let name = text(key) { collect(value, path: "\(path).\(name)", depth: depth + 1, visits: &visits, into: &found) }
      }
    case .none, .tuple, .list, .storage, .tensor, .name, .inert: return
    }
  }

  /// A short text; nil for anything else.
  private func text(_ value: PickleValue) -> String? {
    guard case .string(let range) = value else { return nil }
    return text(range)
  }

  private func text(_ range: Range<Int>) -> String? {
    range.count <= StoredZip.nameLimit
      ? String(validating: UnsafeRawBufferPointer(rebasing: archive.zip.file.bytes[range]), as: UTF8.self) : nil
  }
}
