// Where in an archive of torch.save are the pickle and the bytes of its storages? The archive itself is StoredZip.swift's.

/// The archive as torch lays it out: one folder with data.pkl, version, byteorder and a file for every storage below data/.
struct TorchArchive: Sendable {
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

  /// - Parameter limit: bytes that the pickle may have.
  func unpickled(limit: Int = PickleMachine.byteLimit) throws(FormatError) -> (root: PickleValue, heap: PickleHeap) {
    var machine = PickleMachine(file: zip.file, entry: pickle, limit: limit) { key in zip[folder + "data/" + key]?.range }
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
