// A verify that compared nothing does not hold: rows that are not there, an input that is the input. What is left out is said.

import Formats
import Foundation
import Support
import Testing

struct VerifyNothingTests {
  private let folder: TemporaryDirectory
  private let model: String

  init() throws {
    folder = try TemporaryDirectory()
    model = try #require(Fixtures.own("models/mixtral"))
  }

  private func verify(_ change: (inout [ChangedModel.Tensor]) throws -> Void) throws -> (text: CommandResult, json: Answer) {
    var tensors = try ChangedModel.tensors(model + "/expected.safetensors").filter {
      $0.name.hasPrefix("ffn.0.") || ["input_ids", "sequence_lengths"].contains($0.name)
    }
    try change(&tensors)
    try ChangedModel.write(tensors, to: folder.file("e.safetensors"))
    let command = ["verify", model, "--tokens", model + "/input.json", "--expected", folder.file("e.safetensors")]
    return (try Binary.run(command), try Answer(command))
  }

  @Test func aTensorWithoutRowsIsNamed() throws {
    let (text, json) = try verify { tensors in
      let place = try #require(tensors.firstIndex { $0.name == "ffn.0.router_logits" })
      tensors[place].shape[0] = 0
      tensors[place].bytes = []
      tensors.append(.init(name: "ffn.0.rows", type: .i32, shape: [0], bytes: []))
    }
    #expect(text.status == 2 && text.output.contains("NOT COMPARED, not one row: ffn.0.router_logits"), "\(text.output)")
    #expect(json["not_compared"]?.elements.compactMap(\.string) == ["ffn.0.router_logits"])
  }

  @Test func theInputAloneProvesNothing() throws {
    let (text, json) = try verify { $0.removeAll { $0.name.hasPrefix("ffn.") } }
    #expect(text.status == 2 && text.output.contains("NOTHING but the input") && !text.output.contains("all holds"), "\(text.output)")
    #expect(json["holds"]?.bool == false && json["compares_nothing"]?.bool == true)
  }

  @Test(arguments: [UInt8(0), 1]) func aPhaseOfAnotherKindIsSaid(_ phase: UInt8) throws {
    let (text, json) = try verify { tensors in
      let rows = try #require(tensors.first { $0.name == "input_ids" }).shape[0]
      tensors.removeAll { $0.name == "phase" }
      tensors.append(.init(name: "phase", type: .u8, shape: [rows], bytes: Array(repeating: phase, count: rows)))
    }
    #expect(text.status == 0 && text.output.contains("note: phase is not compared") == (phase == 1), "\(text.output)")
    #expect(json["not_considered"]?.elements.compactMap(\.string) == (phase == 1 ? ["phase"] : []) && json["holds"]?.bool == true)
  }

  @Test func weightsWithoutIdsHaveTheToleranceOfWeights() throws {
    for (shift, status) in [(Float(0), Int32(0)), (5e-4, 2)] {
      let (text, json) = try verify { tensors in
        tensors.removeAll { !["input_ids", "ffn.0.weights"].contains($0.name) }
        let place = try #require(tensors.firstIndex { $0.name == "ffn.0.weights" })
        let first = tensors[place].bytes.prefix(4).reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        let moved = (Float(bitPattern: first) + shift).bitPattern
        tensors[place].bytes.replaceSubrange(0..<4, with: withUnsafeBytes(of: moved.littleEndian, Array.init))
      }
      #expect(text.status == status, "\(text.output)")
      let entry = json["tensors"]?.elements.first { $0["name"]?.string == "ffn.0.weights" }
      #expect(abs((entry?["tolerance"]?.double ?? 0) - 1e-4) < 1e-9)
    }
  }
}
