// What a command reads is not what it writes: the trace, the model and the noise are still there afterwards, whatever name leads to them.

import Foundation
import Support
import Testing

struct InputsKeptTests {
  private let folder: TemporaryDirectory

  init() throws { folder = try TemporaryDirectory() }

  private func bytes(_ path: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path)) }

  private func refuses(_ arguments: [String], output: String, input: String) throws {
    let before = try? bytes(input)
    let result = try Binary.run(arguments)
    #expect(result.status == 64 && result.errors.contains(output) && result.errors.contains(input), "\(arguments): \(result.errors)")
    #expect(try before == nil || before == bytes(input), "\(arguments)")
  }

  @Test func anExportIsNotItsTrace() throws {
    let model = try #require(Fixtures.own("models/olmoe"))
    let trace = folder.file("a.db")
    #expect(try Binary.run(["run", model, "--tokens", model + "/input.json", "--trace", trace, "-q"]).status == 0)
    #expect(symlink("a.db", folder.file("link")) == 0 && link(trace, folder.file("hard")) == 0)
    #expect(symlink("a.db-wal", folder.file("log")) == 0)
    for name in ["a.db", "link", "hard"] {
      try refuses(["export", trace, "-o", folder.file(name)], output: folder.file(name), input: trace)
      try refuses(["export", folder.file("link"), "--format", "safetensors", "-o", folder.file(name)], output: name, input: folder.path)
    }
    for name in ["a.db", "link", "hard"] {
      try refuses(["merge", trace, "-o", folder.file(name), "--append"], output: folder.file(name), input: trace)
    }
    let log = try Binary.run(["export", trace, "-o", folder.file("log")])
    #expect(log.status == 64 && log.errors.contains(trace + "-wal"), "\(log.errors)")
    #expect(try Binary.run(["runs", "check", trace]).status == 0)
    #expect(try Binary.run(["export", trace, "-o", folder.file("b.csv")]).status == 0)
  }

  @Test func aScreenIsNotWhatItShows() throws {
    let model = try #require(Fixtures.own("models/olmoe"))
    let trace = folder.file("a.db")
    #expect(try Binary.run(["run", model, "--tokens", model + "/input.json", "--trace", trace, "-q"]).status == 0)
    #expect(symlink("a.db", folder.file("a.txt")) == 0)
    let plain = try folder.write("key j\n".utf8, to: "plain.script")
    let data = ["--data-dir", folder.path]
    try refuses(["ui", trace, "--script", plain, "--dump", folder.file("a.txt")] + data, output: folder.file("a.txt"), input: trace)
    let dump = try folder.write("key j\ndump \(folder.file("a.txt"))\n".utf8, to: "dump.script")
    try refuses(["ui", trace, "--script", dump] + data, output: folder.file("a.txt"), input: trace)
  }

  @Test func imagesAreNotWhatTheyAreMadeFrom() throws {
    let source = try #require(Fixtures.own("dit/flash"))
    let model = folder.file("model")
    try FileManager.default.copyItem(atPath: source, toPath: model)
    let weights = model + "/model.safetensors", trace = folder.file("b.db")
    let make = ["run", model, "--images", "1", "--steps", "1", "-q"]
    try refuses(make + ["--no-trace", "-o", weights], output: weights, input: weights)
    #expect(symlink("config.json", model + "/picture.png") == 0)
    try refuses(make + ["--no-trace", "-o", model + "/picture.png"], output: "picture.png", input: model + "/config.json")
    // The trace is not there yet: its name is taken all the same.
    #expect(symlink("b.db", folder.file("b.png")) == 0)
    try refuses(make + ["--trace", trace, "-o", folder.file("b.png")], output: folder.file("b.png"), input: trace)
    #expect(!FileManager.default.fileExists(atPath: trace))

    let noise = folder.file("noise.safetensors")
    #expect(try Binary.run(make + ["--no-trace", "-o", noise]).status == 0)
    try refuses(make + ["--no-trace", "--noise", noise, "-o", noise], output: noise, input: noise)
    // A picture beside the weights is none of the model's files.
    #expect(try Binary.run(make + ["--no-trace", "-o", model + "/other.png"]).status == 0)
  }
}
