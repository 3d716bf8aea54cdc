// Are checkpoints of torch.save read exactly, and is everything else in them refused without doing anything? Files of real torch beside the
// same tensors in safetensors; archives and pickles made here with one lie each; every truncation and 2,000 seeded bit flips.

import Formats
import Foundation
import Support
import Testing

@Suite struct PyTorchTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  // MARK: Good files

  @Test(arguments: ["training", "state", "protocol4"])
  func equalsSafetensors(_ name: String) throws {
    let file = try PyTorchFile(path: #require(Fixtures.own("pytorch/\(name).pt")))
    let expected = try SafetensorsFile(path: #require(Fixtures.own("pytorch/\(name).safetensors")))
    #expect(Set(file.tensors.map(\.name)) == Set(expected.tensors.map(\.name)))
    for tensor in expected.tensors {
      let found = try #require(file[tensor.name])
      #expect(found.elementType == tensor.elementType && found.shape == tensor.shape, "\(tensor.name)")
      #expect(found.bytes.elementsEqual(tensor.bytes), "\(tensor.name)")
      #expect(found.file.path == file.path && found.elementCount == tensor.elementCount)
    }
  }

  @Test func choosesTheAveragedWeights() throws {
    let file = try PyTorchFile(path: #require(Fixtures.own("pytorch/training.pt")))
    #expect(file.stateKey == "ema" && file.keys == ["model", "ema", "opt", "args", "step"])
    #expect(try PyTorchFile(path: #require(Fixtures.own("pytorch/protocol4.pt"))).stateKey == "model")
    #expect(try PyTorchFile(path: #require(Fixtures.own("pytorch/state.pt"))).stateKey == nil)
    #expect(file["nothing"] == nil && PyTorchFile.isAt("a/b.pth") && PyTorchFile.isAt("b.pt") && !PyTorchFile.isAt("b.ptx"))
  }

  /// An `ema` that is a number, or holds no tensors, is no state dictionary.
  @Test func passesOverOtherMembers() throws {
    let tensor = Pickle.text("weight") + Pickle.tensor()
    for ema in [Pickle.int(3), Pickle.dictionary(Pickle.text("decay") + Pickle.int(1))] {
      let file = try open(TorchBytes(Pickle.dictionary(Pickle.text("ema") + ema, Pickle.text("model") + Pickle.dictionary(tensor))).bytes)
      #expect(file.stateKey == "model" && file["weight"]?.shape == [2, 3])
    }
    #expect(try open(TorchBytes(Pickle.dictionary(tensor, Pickle.int(1) + Pickle.int(2))).bytes).keys == ["weight"])
  }

  @Test func readsMadeFiles() throws {
    #expect(try open(TorchBytes().bytes)["weight"].map { Array($0.bytes) } == (0..<24).map { UInt8($0) })
    #expect(try open(TorchBytes().changed { $0.has64End = true })["weight"] != nil)
    let wide = TorchBytes().changed { zip in
      zip.has64End = true
      for index in zip.entries.indices { zip.entries[index].is64 = true }
    }
    #expect(try open(wide)["weight"] != nil)
    let part = try open(TorchBytes(one(Pickle.tensor(at: 2, [1, 3], [99, 1]))).bytes)["weight"]
    #expect(part.map { Array($0.bytes) } == (8..<20).map { UInt8($0) })
    // Without a byte order, as PyTorch before 2.1 wrote it.
    #expect(try open(TorchBytes().changed { $0.entries.remove(at: 1) })["weight"] != nil)
    #expect(throws: FormatError.self) { try open(TorchBytes().changed { $0.entries[1].content = Array("big".utf8) }) }
    #expect(throws: FormatError.self) { try open(TorchBytes().changed { $0.entries[3].content = Array("11\n".utf8) }) }
  }

  // MARK: Refused files of torch

  @Test(arguments: [
    ("legacy", "before 1.6", "weights_only"), ("module", "torch.nn.modules.linear.Linear", "state_dict"),
    ("transposed", "[3, 2] with strides [1, 3]", ".contiguous()"), ("system", "\"posix.system\"", "(GLOBAL)"),
    ("eval", "\"__builtin__.eval\"", "(GLOBAL)"), ("nested", "\"__builtin__.getattr\"", "nothing is ever run"),
  ])
  func refusesOfTorch(_ name: String, _ found: String, _ hint: String) throws {
    let path = try #require(Fixtures.own("pytorch/\(name).pt"))
    let error = #expect(throws: FormatError.self) { try PyTorchFile(path: path) }
    let text = try #require(error).description
    #expect(text.hasPrefix(path) && text.contains(found) && text.contains(hint), "\(text)")
    #expect(!FileManager.default.fileExists(atPath: "executed"))
  }

  // MARK: Pickles that run something

  @Test func runsNothing() throws {
    let marker = directory.file("executed")
    let command = Pickle.tuple(Pickle.text("touch \(marker)"))
    let system = Pickle.global("os", "system")
    let ofStrings = Pickle.text("os") + Pickle.text("system") + [0x93]
    let instance = Array("(".utf8) + Pickle.text("touch \(marker)") + Array("ios\nsystem\n".utf8)
    let bodies: [(body: [UInt8], found: String)] = [
      (Pickle.reduce(system, command), "os.system"), (Pickle.reduce(ofStrings, command), "os.system"),
      (Pickle.reduce(Pickle.global("builtins", "exec"), command), "builtins.exec"),
      (Pickle.reduce(Pickle.reduce(Pickle.global("builtins", "getattr"), command), command), "builtins.getattr"),
      (Pickle.reduce(Pickle.global("torch", "load"), command), "torch.load"),
      (Pickle.reduce(Pickle.global("collections", "OrderedDict.__init__"), command), "OrderedDict.__init__"),
      (instance, "(INST)"), (Array("(".utf8) + system + Array("o".utf8), "os.system"),
      (Array("(".utf8) + Pickle.text("x") + Array("o".utf8), "(OBJ)"),
      ([0x82, 1], "(EXT1)"), ([0x83, 1, 0], "(EXT2)"), ([0x84, 1, 0, 0, 0], "(EXT4)"), (Array("Px\n".utf8), "(PERSID)"),
      (Pickle.text("x") + Array(")R".utf8), "a string, a tuple"),
      (Pickle.global("torch", "FloatStorage") + Array(")R".utf8), "a call of a storage"),
      (Pickle.global("torch", "FloatStorage") + Array(")".utf8) + [0x81], "(NEWOBJ)"),
      (Pickle.tensor() + Array("}b".utf8), "(BUILD)"), (system + command + [0x81], "os.system"),
      (Pickle.global("argparse", "Namespace") + Array(")".utf8) + [0x81] + Pickle.int(1) + Array("b".utf8), "(BUILD)"),
      (Pickle.text("x") + Array("Q".utf8), "(BINPERSID)"), ([0xFF], "instruction 255"),
    ]
    for (body, found) in bodies {
      try refuse(TorchBytes(one(body)).bytes, found, "data.pkl\", byte ")
      // Where nobody would look.
      let aside = Pickle.dictionary(Pickle.text("model") + one(Pickle.tensor()), Pickle.text("args") + body)
      try refuse(TorchBytes(aside).bytes, found)
    }
    #expect(!FileManager.default.fileExists(atPath: marker))
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["made.pt"])
  }

  /// Settings that hold themselves, and settings with more ways through them than anyone can walk.
  @Test func settingsEndWhereTheyTurnInCircles() throws {
    let instance = Pickle.global("argparse", "Namespace") + Array(")".utf8) + [0x81]
    let remember = { (place: UInt8) in Array("q".utf8) + [place] }
    let recall = { (place: UInt8) in Array("h".utf8) + [place] }
    let circle = instance + remember(0) + Array("}".utf8) + Pickle.text("own") + recall(0) + Array("sb".utf8)
    // Each dictionary holds the one before it 64 times: 64 to the power of 12 ways to the innermost.
    var tower = Array("}".utf8) + remember(1)
    for level in UInt8(2)...12 {
      let members = (0..<64).flatMap { Pickle.text("m\($0)") + recall(level - 1) }
      tower += Array("}".utf8) + remember(level) + Array("(".utf8) + members + Array("u".utf8)
    }
    let levels = Array("(".utf8) + tower + Array("t".utf8)
    let fan =
      instance + Array("}".utf8) + Pickle.text("levels") + levels + Array("s".utf8) + Pickle.text("top") + recall(12) + Array("sb".utf8)
    let folder = try TemporaryDirectory()
    for settings in [circle, fan] {
      let bytes = TorchBytes(Pickle.dictionary(Pickle.text("model") + one(Pickle.tensor()), Pickle.text("args") + settings)).bytes
      let file = try PyTorchFile(path: folder.write(bytes, to: "made.pt"))
      #expect(file.settings.isEmpty && file.tensors.count == 1)
    }
  }

  /// A value that is read past is no tensor, nor a storage or size of one.
  @Test func inertStaysInert() throws {
    let inert = Pickle.global("argparse", "Namespace") + Array(")".utf8) + [0x81]
    try refuse(TorchBytes(one(inert)).bytes, "expected a dictionary of tensors")
    try refuse(TorchBytes(one(Pickle.tensor(storage: inert))).bytes, "an instance that is read past")
    try refuse(TorchBytes(inert).bytes, "expected a dictionary, found an instance that is read past")
    let made = Pickle.reduce(Pickle.global("torch._utils", "_rebuild_parameter"), Pickle.tuple(inert))
    try refuse(TorchBytes(one(made)).bytes, "expected a tensor of a parameter")
  }

  // MARK: Tensors beyond their bytes

  @Test func checksTensors() throws {
    let bodies: [(body: [UInt8], found: String)] = [
      (Pickle.tensor(storage: Pickle.storage("0", count: 7)), "claims 7 elements"),
      (Pickle.tensor(storage: Pickle.storage("0", count: 6, kind: "DoubleStorage")), "claims 6 elements of 8 bytes"),
      (Pickle.tensor(storage: Pickle.storage("0", count: -1)), "claims -1 elements"),
      (Pickle.tensor(storage: Pickle.storage("1", count: 6)), "storage 1"),
      (Pickle.tensor(storage: Pickle.storage("../version", count: 6)), "as the key of a storage"),
      (Pickle.tensor(storage: Pickle.storage("0", count: 6, kind: "ComplexFloatStorage")), "ComplexFloatStorage"),
      (Pickle.tensor(at: 1), "reaches beyond its storage of 6 elements"), (Pickle.tensor(at: -1), "at element -1"),
      (Pickle.tensor([2, 4], [4, 1]), "reaches beyond"), (Pickle.tensor([2, 3], [4, 1]), "reaches beyond"),
      (Pickle.tensor([.max, .max, .max], [.max, .max, 1]), "expected a size"), (Pickle.tensor([-2, 3]), "expected a size"),
      (Pickle.tensor([2, 3], [3]), "expected a size"), (Pickle.tensor([2, 3], [-3, 1]), "expected a size"),
      (Pickle.tensor([2, 3], [.max, .max]), "reaches beyond"), (Pickle.tensor([.max, .max], [.max, .max]), "expected a size"),
      (Pickle.tensor([Int32](repeating: 1, count: 33), [Int32](repeating: 1, count: 33)), "expected a size"),
      (Pickle.tensor([3, 2], [1, 3]), "with strides [1, 3]"), (Pickle.tensor([2, 3], [0, 1]), "with strides [0, 1]"),
    ]
    for (body, found) in bodies { try refuse(TorchBytes(one(body)).bytes, found) }
    let twice = Pickle.dictionary(Pickle.text("weight") + Pickle.tensor(), Pickle.text("weight") + Pickle.tensor())
    try refuse(TorchBytes(twice).bytes, "is there twice")
    try refuse(TorchBytes(Pickle.dictionary(Pickle.text("a") + Pickle.int(1))).bytes, "found the keys \"a\"")
  }

  // MARK: Pickles that grow

  @Test func boundsMemory() throws {
    // Each list holds the one before it ten times: 10^40 values for whoever follows them.
    let again = (0..<10).flatMap { _ in Array("h\u{1}".utf8) }
    let stack = (0..<40).reduce(Array("]q\u{1}".utf8)) { body, _ in body + Array("](".utf8) + again + Array("eq\u{1}".utf8) }
    // 41 lists lie on the stack; a tuple gathers them.
    let gathered = Array("(".utf8) + stack + Array("t".utf8)
    let file = try open(
      TorchBytes(Pickle.dictionary(Pickle.text("model") + one(Pickle.tensor()), Pickle.text("args") + gathered)).bytes)
    #expect(file["weight"] != nil)
    // A list that holds itself, and a dictionary that is its own member.
    let cycle = Array("]q\u{1}h\u{1}a".utf8)
    #expect(
      try open(TorchBytes(Pickle.dictionary(Pickle.text("model") + one(Pickle.tensor()), Pickle.text("x") + cycle)).bytes).keys.count == 2)
    try refuse(TorchBytes(Array("}q\u{1}".utf8) + Pickle.text("model") + Array("h\u{1}s".utf8)).bytes, "expected a dictionary of tensors")
    // Deep nesting, with and without brackets.
    let deep = [UInt8](repeating: UInt8(ascii: "("), count: 100_000)
    try refuse(TorchBytes(one(deep)).bytes, "open brackets")
    let chain = [UInt8](repeating: UInt8(ascii: "]"), count: 500_000) + [UInt8](repeating: UInt8(ascii: "a"), count: 499_999)
    #expect(
      try open(TorchBytes(Pickle.dictionary(Pickle.text("model") + one(Pickle.tensor()), Pickle.text("x") + chain)).bytes).keys.count == 2)
    try refuse(TorchBytes([UInt8](repeating: UInt8(ascii: "N"), count: 1_100_000)).bytes, "values on the stack")
    // Numbers and lengths far beyond the file.
    try refuse(TorchBytes(one([0x58, 0xFF, 0xFF, 0xFF, 0xFF])).bytes, "needs 4294967295 bytes")
    try refuse(TorchBytes(one([0x6A, 0xFF, 0xFF, 0xFF, 0xFF])).bytes, "found none with the number 4294967295")
    #expect(
      try open(TorchBytes(Pickle.dictionary(Pickle.text("weight") + Pickle.tensor() + [0x72, 0xFF, 0xFF, 0xFF, 0xFF])).bytes)["weight"]
        != nil)
  }

  // MARK: Archives

  @Test func checksArchives() throws {
    let made = TorchBytes()
    let cases: [(change: (inout ZipBytes) -> Void, found: String)] = [
      ({ $0.entries[2].method = 8 }, "compressed (deflated)"), ({ $0.entries[2].method = 12 }, "compression method 12"),
      ({ $0.entries[2].flags = 1 }, "encrypted"),
      ({ $0.entries[2].name = "made/../../etc/passwd" }, "plain relative name"),
      ({ $0.entries[2].name = "/etc/passwd" }, "plain relative name"),
      ({ $0.entries[2].name = "made/data\\0" }, "plain relative name"), ({ $0.entries[2].name = "made/data/" }, "plain relative name"),
      ({ $0.entries[2].name = "made/\u{1}" }, "plain relative name"), ({ $0.entries[2].name = "other/data/0" }, "below \"made/\""),
      ({ $0.entries[3].name = "made/data/0" }, "is there twice"), ({ $0.entries[2].localName = "made/data/1" }, "differ in name"),
      ({ $0.entries[2].claimedOffset = 0 }, "differ in name"),
      ({ $0.entries.append($0.entries[2]) }, "is there twice"),
      ({ $0.entries[2].claimedSize = 25 }, "claims 24 bytes for a content of 25"),
      (
        {
          $0.entries[2].claimedPackedSize = 1 << 30; $0.entries[2].claimedSize = 1 << 30
        }, "the entries end at"
      ),
      ({ $0.entries[2].localSize = 23 }, "differ in name, method or size"),
      ({ $0.entries[2].claimedOffset = .max - 1 }, "the entries end at"), ({ $0.entries[2].claimedOffset = 1 }, "expected the header"),
      ({ $0.claimedCount = 40_000 }, "claims 40000 entries"), ({ $0.claimedCount = 3 }, "bytes follow its 3 entries"),
      ({ $0.claimedDirectory = 7 }, "expected it to end at"), ({ $0.entries.removeFirst() }, "expected one data.pkl"),
      ({ $0.entries.append(.init(name: "more/data.pkl", content: [])) }, "found 2"),
      ({ $0.entries.append(.init(name: "made/constants.pkl", content: [])) }, "a TorchScript program"),
      ({ $0.entries.remove(at: 3) }, "format version"), ({ $0.entries.remove(at: 2) }, "bytes of storage 0"),
    ]
    for (change, found) in cases { try refuse(made.changed(change), found) }
    // Two entries of one content, the second claiming the first's bytes and its own.
    let overlapping = made.changed { zip in
      let inner = ZipBytes(entries: [.init(name: "made/data/1", content: [1, 2])]).bytes.prefix(43)
      zip.entries.insert(.init(name: "made/outer", content: Array(inner)), at: 0)
      zip.entries.append(.init(name: "made/data/1", content: [1, 2], claimedOffset: 40))
    }
    try refuse(overlapping, "overlaps the entry before it")
    try refuse([], "neither that nor a pickle")
    try refuse(Array("<html>not found</html>".utf8), "is a web page")
  }

  // MARK: Damage

  @Test func everyTruncationIsRefused() throws {
    let path = directory.file("cut.pt")
    try FileManager.default.copyItem(atPath: #require(Fixtures.own("pytorch/training.pt")), toPath: path)
    let file = try #require(FileHandle(forUpdatingAtPath: path))
    for count in (0..<Int(try file.seekToEnd())).reversed() {
      try file.truncate(atOffset: UInt64(count))
      #expect(throws: FormatError.self, "\(count)") { try PyTorchFile(path: path) }
    }
    // The pickle alone, cut in a whole archive.
    let whole = TorchBytes().zip.entries[0].content
    for count in 0..<whole.count { try refuse(TorchBytes().changed { $0.entries[0].content = Array(whole.prefix(count)) }, "data.pkl") }
  }

  @Test func bitFlips() throws {
    let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: #require(Fixtures.own("pytorch/training.pt")))))
    var random = SeededRandom(seed: 7)
    var refused = 0
    for _ in 0..<2000 {
      var damaged = bytes
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        damaged[Int.random(in: 0..<bytes.count, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      }
      let path = try directory.write(damaged, to: "made.pt")
      do {
        for tensor in try PyTorchFile(path: path).tensors { _ = tensor.bytes.reduce(0) { $0 ^ $1 } }
      } catch {
        refused += 1
        #expect("\(error)".hasPrefix(path))
      }
    }
    #expect(refused > 500, "\(refused) refused")
  }

  // MARK: Support

  private func one(_ value: [UInt8]) -> [UInt8] { Pickle.dictionary(Pickle.text("weight") + value) }

  private func open(_ bytes: [UInt8]) throws -> PyTorchFile { try PyTorchFile(path: directory.write(bytes, to: "made.pt")) }

  private func refuse(_ bytes: [UInt8], _ found: String..., location: SourceLocation = #_sourceLocation) throws {
    let path = try directory.write(bytes, to: "made.pt")
    let error = #expect(throws: FormatError.self, sourceLocation: location) { try PyTorchFile(path: path) }
    let text = error?.description ?? "accepted"
    #expect(text.hasPrefix(path + ": ") && found.allSatisfy { text.contains($0) }, "\(text) for \(found)", sourceLocation: location)
  }
}
