// What does it cost to open a checkpoint? Its headers. Models whose experts are stored with inputs as rows, gigabytes of them and none on
// the disk, are described within little memory; and a run takes the file and what it computes with, not a second copy of the weights.

import Formats
import Foundation
import Support
import Testing

struct OpeningCostTests {
  /// A model of the fixtures whose experts are `factor` times as wide, all numbers zero: headers and a hole.
  private func widened(_ family: String, by factor: Int) throws -> TemporaryDirectory {
    let folder = try TemporaryDirectory()
    let source = try #require(Fixtures.own("models/\(family)"))
    var configuration = try String(contentsOfFile: source + "/config.json", encoding: .utf8)
    for key in ["intermediate_size", "ffn_hidden_size"] {
      if let width = try JSON.parse(text: configuration, name: "config.json").find(key) {
        configuration = configuration.replacingOccurrences(of: "\"\(key)\": \(width)", with: "\"\(key)\": \(width * factor)")
      }
    }
    try folder.write(Array(configuration.utf8), to: "config.json")
    var (offset, members) = (0, [String]())
    for tensor in try SafetensorsFile(path: source + "/model.safetensors").tensors {
      var shape = tensor.shape
      if let axis = Self.widthAxis(of: tensor.name) { shape[axis < 0 ? shape.count - 1 : axis] *= factor }
      let end = offset + shape.reduce(1, *) * tensor.elementType.byteCount
      members.append(
        "\"\(tensor.name)\":{\"dtype\":\"\(tensor.elementType.safetensorsName)\",\"shape\":\(shape),\"data_offsets\":[\(offset),\(end)]}")
      offset = end
    }
    let header = Array("{\(members.joined(separator: ","))}".utf8)
    let length = withUnsafeBytes(of: UInt64(header.count).littleEndian) { Array($0) }
    let path = try folder.write(length + header, to: "model.safetensors")
    let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    try handle.truncate(atOffset: UInt64(8 + header.count + offset))
    try handle.close()
    return folder
  }

  /// Which axis of a tensor counts the width of an expert; -1: the last.
  private static func widthAxis(of name: String) -> Int? {
    let axes = [
      "experts.gate_up_proj": -1, "experts.gate_up_proj_bias": -1, "experts.down_proj": 1, "shared_expert.gate_proj.weight": 0,
      "shared_expert.up_proj.weight": 0, "shared_expert.down_proj.weight": 1, "mlp.w1": 0, "mlp.v1": 0, "mlp.w2": 0,
    ]
    return axes.first { name.hasSuffix($0.key) }?.value
  }

  /// The most memory a command had, in MB, and how it ended.
  private func memory(_ arguments: [String]) throws -> (megabytes: Int, status: Int32) {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for descriptor in Int32(0)..<3 { posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0) }
    var words: [UnsafeMutablePointer<CChar>?] = ([Binary.path] + arguments).map { strdup($0) } + [nil]
    var environment: [UnsafeMutablePointer<CChar>?] = [strdup("HOME=" + NSTemporaryDirectory()), strdup("LANG=C.UTF-8"), nil]
    defer { for word in words + environment { free(word) } }
    var child = pid_t()
    #expect(posix_spawn(&child, Binary.path, &actions, nil, &words, &environment) == 0)
    var status = Int32(0)
    #if os(Linux)
      // What wait4 tells begins with the memory of whoever started the command, which is a whole test run. The kernel's own mark of the
      // process only rises, so the last look before the end is the one that counts.
      var kilobytes = 0
      while waitpid(child, &status, WNOHANG) == 0 {
        let facts = (try? String(contentsOfFile: "/proc/\(child)/status", encoding: .utf8)) ?? ""
        let line = facts.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        kilobytes = max(kilobytes, line.flatMap { Int($0.filter(\.isNumber)) } ?? 0)
        usleep(1000)
      }
    #else
      var usage = rusage()
      #expect(wait4(child, &status, 0, &usage) == child)
      let kilobytes = Int(usage.ru_maxrss) / 1024
    #endif
    #expect(kilobytes > 0)
    return (kilobytes / 1024, status)
  }

  /// Gigabytes of experts.
  @Test(arguments: ["gpt_oss", "llama4_text", "dbrx"])
  func aModelIsDescribedFromItsHeaders(_ family: String) throws {
    let folder = try widened(family, by: 32_768)
    let bytes = try #require(FileManager.default.attributesOfItem(atPath: folder.file("model.safetensors"))[.size] as? Int)
    #expect(bytes > 1 << 30)
    let (megabytes, status) = try memory(["inspect", folder.path])
    #expect(status == 0)
    #expect(megabytes < 150, "\(bytes >> 20) MB of file")
  }

  /// Two tokens of gpt-oss' shape: what they touch of the file, their activations, and no second copy of the experts.
  @Test func aRunTakesItsFileAndNoCopyOfIt() throws {
    let folder = try widened("gpt_oss", by: 2048)
    try folder.write(Array("{\"sequences\": [[3, 4]]}".utf8), to: "two.json")
    let file = try #require(FileManager.default.attributesOfItem(atPath: folder.file("model.safetensors"))[.size] as? Int)
    #expect(file > 90 << 20)
    let (megabytes, status) = try memory(["run", folder.path, "--tokens", folder.file("two.json"), "--no-trace", "--threads", "2"])
    #expect(status == 0)
    #expect(megabytes < file >> 20 + 100, "\(file >> 20) MB of file")
  }
}

extension JSONValue {
  /// The number under `key`, here or one level down.
  fileprivate func find(_ key: String) -> Int? {
    members.compactMap { $0.key.string == key ? $0.value.int64.map(Int.init) : $0.value.kind == .object ? $0.value.find(key) : nil }.first
  }
}
