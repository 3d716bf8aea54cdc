// A model whose weights hold a NaN answers with numbers that are none. They are said, counted and fail the command, wherever the NaN
// stands and whether or not a trace is kept; a loss is never the mean of what was left over, and nothing is generated from them.

import Formats
import Foundation
import Support
import Testing

struct NumbersNotThereTests {
  private static let expert = "model.layers.1.block_sparse_moe.experts.0.w2.weight"

  /// Texts of 24 tokens: 46 have a surprisal.
  private func broken(_ name: String, at element: Int = 0, _ bits: UInt16 = ChangedModel.notANumber) throws -> ChangedModel {
    try ChangedModel("models/mixtral", bits: bits, at: element, of: name)
  }

  /// What a run over the fixture's texts says of itself.
  private func read(_ model: ChangedModel) throws -> Answer { try Answer(["run", model.path, "--tokens", model.input, "--no-trace"]) }

  @Test func aSoundModelHasNone() throws {
    let model = try ChangedModel("models/mixtral")
    let answer = try read(model)
    #expect(answer.status == 0 && answer["not_finite_surprisals"]?.int64 == 0 && answer["not_finite_outputs"]?.int64 == 0)
    #expect(answer["loss"]?.double ?? 0 > 1 && answer["scored_tokens"]?.int64 == 46)
    let folder = try TemporaryDirectory()
    let traced = try Answer(["run", model.path, "--tokens", model.input, "--trace", folder.file("t.db")])
    #expect(traced.check("finite_outputs")?["outcome"]?.string == "held")
    // What a model wrote itself is no part of the loss.
    let continued = try Answer([
      "run", model.path, "--tokens", model.input, "--generate", "--max-tokens", "3", "--trace", folder.file("t.db"),
    ])
    #expect(continued["scored_tokens"]?.int64 == 46 && abs((continued["loss"]?.double ?? 0) - (answer["loss"]?.double ?? 1)) < 1e-6)
  }

  /// In one expert some positions are sound: their mean is not the loss.
  @Test func oneNaNInOneExpertIsSaid() throws {
    let model = try broken(Self.expert)
    let answer = try read(model)
    let count = try #require(answer["not_finite_surprisals"]?.int64)
    #expect(answer.status == 1 && answer["loss"]?.isNull == true && (1..<46).contains(count))
    #expect(try answer.root.array("sequences").map { try $0.integer("not_finite_surprisals") }.reduce(0, +) == Int(count))
    let text = try Binary.run(["run", model.path, "--tokens", model.input, "--no-trace"])
    #expect(text.status == 1 && text.output.contains("loss     not a number: \(count) of 46 surprisals are not finite"), "\(text.output)")
    #expect(text.errors.contains("\(count) of 46") && !text.output.contains("nat per token"), "\(text.errors)")
  }

  /// Behind every router, where no check of routing looks.
  @Test(arguments: [
    ("model.norm.weight", ChangedModel.notANumber), ("lm_head.weight", ChangedModel.notANumber),
    ("lm_head.weight", ChangedModel.infinity), ("model.norm.weight", ChangedModel.infinity),
  ])
  func nothingIsLeftOfTheOutput(_ name: String, _ bits: UInt16) throws {
    let model = try broken(name, at: 7, bits)
    let answer = try read(model)
    // One logit that is infinite spoils every position's output; below zero it leaves the others their probabilities.
    #expect(answer.status == 1 && answer["loss"]?.isNull == true && answer["not_finite_outputs"]?.int64 == 48)
    let isInfiniteLogit = name == "lm_head.weight" && bits == ChangedModel.infinity
    #expect(isInfiniteLogit || answer["not_finite_surprisals"]?.int64 == 46)
    let folder = try TemporaryDirectory()
    let traced = try Answer(["run", model.path, "--tokens", model.input, "--trace", folder.file("t.db")])
    let check = try #require(traced.check("finite_outputs"))
    #expect(check["outcome"]?.string == "failed" && check["detail"]?.string?.contains("48 of 48 tokens") == true)
    #expect(traced.status == 1 && traced.errors.contains("finite_outputs"), "\(traced.errors)")
    // What is stored says so later too.
    let kept = try Binary.run(["runs", "check", folder.file("t.db")])
    #expect(kept.status == 1 && kept.errors.contains("finite_outputs"), "\(kept.errors)")
  }

  @Test func anEmbeddingThatIsNoneIsSaid() throws {
    let token = try #require(try JSON.read(ChangedModel("models/mixtral").input).member("sequences").firstElement?.firstElement?.int64)
    let answer = try read(try broken("model.embed_tokens.weight", at: Int(token) * 32))
    #expect(answer.status == 1 && answer["loss"]?.isNull == true && answer["not_finite_surprisals"]?.int64 ?? 0 >= 23)
  }

  /// The largest of numbers that are none is the first token, for ever.
  @Test(arguments: [true, false])
  func generationEndsWhereNothingCanBeDrawn(traced: Bool) throws {
    let model = try broken("model.norm.weight")
    let folder = try TemporaryDirectory()
    let trace = traced ? ["--trace", folder.file("t.db")] : ["--no-trace"]
    let command = ["run", model.path, "--tokens", model.input, "--generate", "--max-tokens", "6"] + trace
    let answer = try Answer(command)
    #expect(answer.status == 1 && answer["not_finite_outputs"]?.int64 ?? 0 > 0)
    for sequence in try answer.root.array("sequences") {
      #expect(try sequence.member("generated").count == 0 && sequence.string("stopped") == "not finite")
    }
    let text = try Binary.run(command)
    #expect(text.status == 1 && text.output.contains("after 0 tokens: the output logits are not finite"), "\(text.output)")
  }

  @Test func generationOfASoundModelIsNotStopped() throws {
    let model = try ChangedModel("models/mixtral")
    let answer = try Answer(["run", model.path, "--tokens", model.input, "--generate", "--max-tokens", "3", "--no-trace"])
    #expect(answer.status == 0)
    for sequence in try answer.root.array("sequences") { #expect(sequence["stopped"]?.isNull == true) }
  }

  /// Images have no loss: the latent is looked at after every step.
  @Test func anImageThatIsNoneIsSaid() throws {
    let sample = Fixtures.root + "/samples/dit-moe-tiny"
    let folder = try TemporaryDirectory()
    try FileManager.default.copyItem(atPath: sample + "/config.json", toPath: folder.file("config.json"))
    var tensors = try ChangedModel.tensors(sample + "/model.safetensors")
    let index = try #require(tensors.firstIndex { $0.name == "final_layer.linear.bias" })
    // f16: not a number.
    (tensors[index].bytes[0], tensors[index].bytes[1]) = (0x00, 0x7E)
    try ChangedModel.write(tensors, to: folder.file("model.safetensors"))
    let command = ["run", folder.path, "--class", "star", "--steps", "2", "--trace", folder.file("t.db")]
    let answer = try Answer(command)
    #expect(answer.status == 1 && answer.check("finite_outputs")?["outcome"]?.string == "failed")
    #expect(try answer.root.member("denoising").integer("not_finite_steps") > 0)
    let text = try Binary.run(["run", folder.path, "--class", "star", "--steps", "2", "--no-trace"])
    #expect(text.status == 1 && text.errors.contains("not finite"), "\(text.errors)")
    let sound = try Answer(["run", sample, "--class", "star", "--steps", "2", "--no-trace"])
    #expect(try sound.status == 0 && sound.root.member("denoising").integer("not_finite_steps") == 0)
  }

  /// Equal tokens are routed alike, and so are all tokens by a router of zeros: right, and at most odd.
  @Test func equalDecisionsAreNoFailure() throws {
    let folder = try TemporaryDirectory()
    let equal = Array(repeating: 17, count: 41), other = (0..<41).map { 3 + $0 }
    for (name, ids) in [("equal", equal), ("other", other)] {
      try folder.write(Array("{\"sequences\": [\(ids)]}".utf8), to: name + ".json")
    }
    let olmoe = try ChangedModel("models/olmoe")
    let alike = try Answer(["run", olmoe.path, "--tokens", folder.file("equal.json"), "--trace", folder.file("t.db")])
    #expect(alike.status == 0 && alike.check("distinct_rows")?["outcome"]?.string == "notApplicable", "\(alike.errors)")
    let still = try ChangedModel("models/olmoe") { tensors in
      for index in tensors.indices where tensors[index].name.hasSuffix("mlp.gate.weight") { tensors[index] = tensors[index].scaled(by: 0) }
    }
    let constant = try Answer(["run", still.path, "--tokens", folder.file("other.json"), "--trace", folder.file("t.db")])
    #expect(constant.status == 0 && constant.check("distinct_rows")?["outcome"]?.string == "suspicious", "\(constant.errors)")
    #expect(constant.errors.contains("warning: capture check distinct_rows") && constant.errors.contains("a router that is constant"))
  }
}
