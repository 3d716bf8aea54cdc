// A model with an encoder through the commands a user has: verify, run, export, analyze, sql. The export must say what the reference
// says, drops included, in the tensors of both stacks.

import Formats
import Foundation
import Support
import Testing

struct EncoderDecoderCommandTests {
  private func model(_ family: String) throws -> String { try #require(Fixtures.own("models/\(family)")) }

  private func integers(_ file: SafetensorsFile, _ name: String) throws -> [Int32] {
    let view = try file.tensor(name)
    return (0..<view.elementCount).map { Int32(littleEndian: view.bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Int32.self)) }
  }

  private func floats(_ file: SafetensorsFile, _ name: String) throws -> [Float] {
    try integers(file, name).map { Float(bitPattern: UInt32(bitPattern: $0)) }
  }

  @Test(arguments: [("switch_transformers", "72 of 72 decisions equal"), ("nllb_moe", "71 of 71 decisions equal")])
  func verifyHolds(_ family: String, decisions: String) throws {
    let model = try model(family)
    let result = try Binary.run(["verify", model, "--tokens", model + "/input.json", "--expected", model + "/expected.safetensors"])
    #expect(result.status == 0 && result.errors.isEmpty, "\(result)")
    #expect(result.output.contains(decisions))
  }

  @Test(arguments: [("switch_transformers", 1, 6), ("nllb_moe", 2, 18)])
  func aRunExportsWhatTheReferenceDecided(_ family: String, topK: Int, drops: Int) throws {
    let folder = try TemporaryDirectory()
    let model = try model(family)
    let trace = folder.file("t.db")
    let run = try Binary.run(["run", model, "--tokens", model + "/input.json", "--trace", trace, "--record", "full"])
    #expect(run.status == 0, "\(run.errors)")
    let output = folder.file("routing.safetensors")
    let export = try Binary.run(["export", trace, "--what", "routing", "--format", "safetensors", "-o", output])
    #expect(export.status == 0, "\(export.errors)")

    let got = try SafetensorsFile(path: output)
    let expected = try SafetensorsFile(path: model + "/expected.safetensors")
    for stack in ["enc.1", "dec.1"] {
      #expect(try integers(got, "\(stack).expert_ids") == integers(expected, "\(stack).expert_ids"))
      for column in ["weights", "router_logits"] {
        let pairs = zip(try floats(got, "\(stack).\(column)"), try floats(expected, "\(stack).\(column)"))
        #expect(pairs.allSatisfy { abs($0 - $1) < 1e-4 && ($1 != 0 || $0 == 0) }, "\(stack).\(column)")
      }
      #expect(try got.tensor("\(stack).expert_ids").shape.last == topK)
    }
    let encoder = try integers(got, "encoder_lengths")
    #expect(encoder.reduce(0, +) == (try got.tensor("encoder_ids").shape.first).map(Int32.init))
    #expect(try got.tensor("phase").shape == got.tensor("decoder_ids").shape)

    let sql =
      "SELECT (SELECT sum(dropped) FROM layer_summary), (SELECT count(*) FROM routing WHERE dropped AND weight = 0), "
      + "(SELECT count(*) FROM tokens WHERE phase = 'encode')"
    let counts = try Binary.run(["sql", trace, sql, "--format", "csv"])
    #expect(counts.output.split(separator: "\n").last == "\(drops),\(drops),\(encoder.reduce(0, +))", "\(counts.output)\(counts.errors)")
    let analysis = try Binary.run(["analyze", trace])
    #expect(analysis.status == 0 && analysis.output.contains("enc"), "\(analysis.output)\(analysis.errors)")
  }

  @Test func textAndGenerationAreRefusedWithAReason() throws {
    let model = try model("switch_transformers")
    let folder = try TemporaryDirectory()
    let generate = try Binary.run(["run", model, "--tokens", model + "/input.json", "--generate", "--no-trace"])
    #expect(generate.status == 69 && generate.errors.contains("does not generate"), "\(generate.errors)")
    let single = try folder.write(Array(#"{"sequences": [[1, 2, 3]]}"#.utf8), to: "single.json")
    let wrong = try Binary.run(["run", model, "--tokens", single, "--no-trace"])
    #expect(wrong.status == 64 && wrong.errors.contains("\"decoder\""), "\(wrong.errors)")
    let cut = try folder.write(Array(#"{"sequences": [{"encoder": [1]}]}"#.utf8), to: "cut.json")
    let missing = try Binary.run(["run", model, "--tokens", cut, "--no-trace"])
    #expect(missing.status == 65 && missing.errors.contains("decoder"), "\(missing.errors)")
  }
}
