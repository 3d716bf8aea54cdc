// `moetop export --format eplb` and `--format npz` as a user calls them: the files that DeepSeek's EPLB, SGLang and numpy read, beside the load table of
// the same run; numpy itself reads them where it is installed.

import Formats
import Foundation
import Support
import Testing

struct BalancerCommandTests {
  private let folder: TemporaryDirectory

  init() throws { folder = try TemporaryDirectory() }

  private func trace(_ family: String, _ more: String...) throws -> String {
    let model = try #require(Fixtures.own("models/\(family)"))
    let path = folder.file("\(family).db")
    let result = try Binary.run(["run", model, "--tokens", model + "/input.json", "--trace", path, "-q"] + more)
    #expect(result.status == 0, "\(result.errors)")
    return path
  }

  private func export(_ arguments: String..., status: Int32 = 0) throws -> CommandResult {
    let result = try Binary.run(["export"] + arguments)
    #expect(result.status == status, "\(arguments.joined(separator: " ")): \(result.status) \(result.errors)")
    return result
  }

  private func object(_ text: String) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
  }

  /// A model whose first layer is dense: a row for each layer with experts, and one for each layer.
  @Test func countsOfAModelWithDenseLayers() throws {
    let path = try trace("deepseek_v3")
    let counts = try object(try export(path, "--format", "eplb").output)
    let weight = try #require(counts["weight"] as? [[Int]])
    let layers = try #require(counts["layers"] as? [Int])
    let all = try #require(counts["logical_count"] as? [[Int]])
    #expect(layers.count == weight.count && all.count > weight.count && layers[0] > 0)
    for (layer, row) in all.enumerated() {
      #expect(row == (layers.firstIndex(of: layer).map { weight[$0] } ?? Array(repeating: 0, count: row.count)))
    }
    var expected: [Int: [Int]] = [:]
    for line in try export(path, "--what", "load", "--format", "jsonl").output.split(separator: "\n") {
      let row = try object(String(line))
      expected[row["layer"] as? Int ?? -1, default: []].append(row["assignments"] as? Int ?? -1)
    }
    #expect(weight == layers.map { expected[$0] ?? [] } && counts["schema"] as? String == "moetop.eplb/1")
    // Of some decisions alone.
    let filtered = try object(try export(path, "--format", "eplb", "--filter", "layer=\(layers[0]) position<5").output)
    #expect((filtered["weight"] as? [[Int]])?.count == 1 && filtered["n"] as? Int ?? 0 < counts["n"] as? Int ?? 0)
    #expect(filtered["filter"] as? String == "layer=\(layers[0]) position<5")
    let wrong = try export(path, "--format", "eplb", "-o", folder.file("counts.pt"), status: 64)
    #expect(wrong.errors.contains(".json or .npy"))
    #expect(try export(path, "--what", "tokens", "--format", "eplb", status: 64).errors.contains("tokens has no eplb form"))
  }

  // MARK: numpy

  /// Python with numpy, where the tests are run with one.
  private static let python: String? = {
    for folder in (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin").split(separator: ":") {
      let program = "\(folder)/python3"
      guard FileManager.default.isExecutableFile(atPath: program) else { continue }
      if (try? Binary.run(["-c", "import numpy"], program: program, environment: ProcessInfo.processInfo.environment))?.status == 0 {
        return program
      }
    }
    return nil
  }()

  @Test(.enabled(if: python != nil, "numpy is not installed")) func numpyReadsBoth() throws {
    let path = try trace("mixtral", "--record", "full+norms+passes")
    let (arrays, tensors) = (folder.file("x.npz"), folder.file("x.safetensors"))
    _ = try export(path, "--format", "npz", "-o", arrays)
    _ = try export(path, "--format", "safetensors", "-o", tensors)
    _ = try export(path, "--format", "eplb", "-o", folder.file("counts.npy"))
    // numpy says name, type, shape and bytes of every array.
    let script = """
      import numpy, sys, hashlib
      with numpy.load(sys.argv[1]) as x:
        for name in sorted(x.files):
          a = x[name]
          print(name, a.dtype.str, list(a.shape), a.item() if a.dtype.kind == 'U' else hashlib.sha256(a.tobytes()).hexdigest())
      w = numpy.load(sys.argv[2])
      print(w.dtype.str, w.shape, int(w.sum()), w.flags['C_CONTIGUOUS'])
      """
    let python = try #require(Self.python)
    let said = try Binary.run(
      ["-c", script, arrays, folder.file("counts.npy")], program: python, environment: ProcessInfo.processInfo.environment)
    #expect(said.status == 0, "\(said.errors)")
    let lines = said.output.split(separator: "\n").map(String.init)
    let file = try SafetensorsFile(path: tensors)
    let types: [ElementType: String] = [.f32: "<f4", .i32: "<i4", .i64: "<i8", .u8: "|u1"]
    for tensor in file.tensors {
      let line = "\(tensor.name) \(types[tensor.elementType] ?? "") \(tensor.shape) \(SHA256.hexDigest(of: tensor.bytes))"
      #expect(lines.contains(line), "\(tensor.name): \(lines.first { $0.hasPrefix(tensor.name + " ") } ?? "not there")")
    }
    for (key, value) in file.metadata { #expect(lines.contains { $0.hasPrefix("\(key) <U") && $0.hasSuffix("[] \(value)") }, "\(key)") }
    #expect(lines.count == file.tensors.count + file.metadata.count + 1)
    // Two of six experts in each of two layers.
    let counts = try #require(lines.last)
    let total = try object(try export(path, "--format", "eplb").output)["assignments"] as? [Int] ?? []
    #expect(counts == "<i8 (\(total.count), 6) \(total.reduce(0, +)) True")
  }
}
