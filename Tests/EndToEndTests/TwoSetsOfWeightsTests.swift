// A folder may hold more than one model's worth of tensors: a single file beside shards, the same tensor under two prefixes, tensors that
// nothing uses. Which were taken is what the reference takes, and is said; what cannot be decided is refused.

import Formats
import Foundation
import Support
import Testing

struct TwoSetsOfWeightsTests {
  private static let router = "model.layers.0.block_sparse_moe.gate.weight"

  private func loss(_ model: String, _ input: String) throws -> (loss: Double, errors: String, root: JSONValue) {
    let answer = try Answer(["run", model, "--tokens", input, "--no-trace"])
    #expect(answer.status == 0, "\(answer.errors)")
    return (try #require(answer["loss"]?.double), answer.errors, answer.root)
  }

  /// Adds shards of another router, and the index that lists them, to a folder.
  private func addShards(to model: ChangedModel, turned: Float = -1.5) throws {
    var tensors = try ChangedModel.tensors(try #require(Fixtures.own("models/mixtral")) + "/model.safetensors")
    let place = try #require(tensors.firstIndex { $0.name == Self.router })
    tensors[place] = tensors[place].scaled(by: turned)
    let names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    try ChangedModel.write(Array(tensors[..<place]), to: model.folder.file(names[0]))
    try ChangedModel.write(Array(tensors[place...]), to: model.folder.file(names[1]))
    let map = Dictionary(uniqueKeysWithValues: tensors.enumerated().map { ($1.name, names[$0 < place ? 0 : 1]) })
    try model.folder.write(
      try JSONSerialization.data(withJSONObject: ["metadata": [:], "weight_map": map] as [String: Any]), to: "model.safetensors.index.json")
  }

  /// transformers looks for model.safetensors first, and for the index only without it.
  @Test func theSingleFileIsTakenAndSaid() throws {
    let (alone, both) = (try ChangedModel("models/mixtral"), try ChangedModel("models/mixtral"))
    try addShards(to: both)
    let right = try loss(alone.path, alone.input)
    let taken = try loss(both.path, both.input)
    #expect(taken.loss == right.loss)
    let words =
      "the weights are those of model.safetensors, as in transformers, and not the 2 shards that model.safetensors.index.json lists"
    #expect(taken.errors.contains("note: \(words)") && !right.errors.contains("the weights are"), "\(taken.errors)")
    #expect(taken.root["notes"]?.firstElement?.string?.hasPrefix(words) == true && right.root["notes"]?.count == 0)
    #expect(try Binary.run(["inspect", both.path]).output.contains(words))
    let expected = try #require(Fixtures.own("models/mixtral")) + "/expected.safetensors"
    let verified = try Binary.run(["verify", both.path, "--tokens", both.input, "--expected", expected])
    #expect(verified.status == 0 && verified.errors.contains("note: \(words)"), "\(verified.output)\(verified.errors)")

    try FileManager.default.removeItem(atPath: both.folder.file("model.safetensors"))
    let sharded = try loss(both.path, both.input)
    #expect(abs(sharded.loss - right.loss) > 1e-3 && sharded.root["notes"]?.count == 0)
  }

  /// A file of weights is answered with its own folder, or not at all.
  @Test func aLoneShardIsNotAnsweredWithOtherWeights() throws {
    let model = try ChangedModel("models/mixtral")
    try addShards(to: model)
    let shard = model.folder.file("model-00001-of-00002.safetensors")
    let other = try Binary.run(["run", shard, "--tokens", model.input, "--no-trace"])
    #expect(other.status == 66 && other.errors.contains("not among those that its folder is opened with (model.safetensors)"))
    #expect(!other.errors.contains("try: \(model.path)\n"), "\(other.errors)")
    try FileManager.default.removeItem(atPath: model.folder.file("model.safetensors"))
    // Where the folder is opened with it, the shard means the folder.
    #expect(try loss(shard, model.input).loss == loss(model.path, model.input).loss)
  }

  // MARK: Tensors that nothing uses

  private func with(_ names: [String], settings: [String: Any?] = [:]) throws -> ChangedModel {
    try ChangedModel("models/mixtral", settings: settings) { tensors in
      let norm = try #require(tensors.first { $0.name == "model.norm.weight" })
      for name in names { tensors.append(.init(name: name, type: norm.type, shape: norm.shape, bytes: norm.bytes)) }
    }
  }

  @Test func whatNothingUsesIsSaid() throws {
    let odd = try with(["model.layers.0.mystery.weight", "model.layers.1.mystery.weight"])
    let words =
      "note: 2 tensors of the files are used by nothing: model.layers.0.mystery.weight, model.layers.1.mystery.weight"
    let run = try loss(odd.path, odd.input)
    #expect(run.errors.components(separatedBy: words).count == 2 && run.root["notes"]?.count == 1, "\(run.errors)")
    let expected = try #require(Fixtures.own("models/mixtral")) + "/expected.safetensors"
    let verified = try Answer(["verify", odd.path, "--tokens", odd.input, "--expected", expected])
    #expect(verified.status == 0 && verified.errors.contains(words) && verified["notes"]?.count == 1, "\(verified.errors)")
    // What is known not to be run is listed, and no news.
    let known = try with(["mtp.norm.weight", "vision_tower.norm.weight", "model.layers.0.self_attn.rotary_emb.inv_freq"])
    #expect(try !loss(known.path, known.input).errors.contains("used by nothing"))
    #expect(try Answer(["inspect", known.path])["unused_tensors"]?.count == 3)
  }

  @Test func aTensorUnderTwoPrefixesIsRefused() throws {
    let twice = try with(["language_model.model.norm.weight"])
    for command in [["inspect", twice.path], ["run", twice.path, "--tokens", twice.input, "--no-trace"]] {
      let answer = try Binary.run(command)
      #expect(answer.status == 65, "\(answer.errors)")
      #expect(
        answer.errors.contains("found 2 times: \"model.norm.weight\", \"language_model.model.norm.weight\"")
          || answer.errors.contains("found 2 times: \"language_model.model.norm.weight\", \"model.norm.weight\""), "\(answer.errors)")
    }
  }

  /// Blocks behind the last one look ahead where the configuration says so; else nothing says what they are for.
  @Test func blocksBeyondTheModelAreNamed() throws {
    let short = try ChangedModel("models/mixtral", settings: ["num_hidden_layers": 1])
    let others = try Answer(["inspect", short.path])["other_parameters"]
    #expect(others?["mtp"]?.int64 == 0 && others?["surplus_layers"]?.int64 ?? 0 > 0)
    let text = try Binary.run(["inspect", short.path])
    #expect(text.output.contains("layers beyond num_hidden_layers") && !text.output.contains("mtp"), "\(text.output)")
    #expect(try loss(short.path, short.input).errors.contains("used by nothing: model.layers.1."))
  }

  @Test func declaredBlocksLookAhead() throws {
    for (declared, looksAhead) in [(1, true), (0, false)] {
      let model = try ChangedModel("models/deepseek_v3", settings: ["num_nextn_predict_layers": declared]) { tensors in
        let norm = try #require(tensors.first { $0.name == "model.norm.weight" })
        tensors.append(.init(name: "model.layers.2.input_layernorm.weight", type: norm.type, shape: norm.shape, bytes: norm.bytes))
      }
      let others = try Answer(["inspect", model.path])["other_parameters"]
      #expect((others?["mtp"]?.int64 ?? 0 > 0) == looksAhead, "\(declared)")
      #expect((others?["surplus_layers"]?.int64 ?? 0 > 0) == !looksAhead, "\(declared)")
    }
  }
}
