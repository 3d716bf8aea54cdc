// A script that asks `inspect --json` of a model that is refused gets an object that says so, and the exit code as before.

import Formats
import Foundation
import Support
import Testing

struct RefusedInspectTests {
  @Test func aRefusalIsAnAnswer() throws {
    let cases: [(settings: [String: Any?], without: String?, status: Int32, facts: [String: String])] = [
      (["model_type": "frobnicated"], nil, 69, ["key": "model_type", "found": "frobnicated"]),
      (["hidden_act": "gelu"], nil, 69, ["key": "hidden_act", "found": "\"gelu\"", "supported": "\"silu\""]),
      (["frobnication": 3], nil, 69, ["key": "frobnication"]),
      (["hidden_size": -1], nil, 65, ["key": "hidden_size", "found": "-1.0"]),
      ([:], "model.norm.weight", 65, ["tensor": "model.norm.weight"]),
    ]
    for row in cases {
      let model = try ChangedModel("models/mixtral", settings: row.settings) { tensors in tensors.removeAll { $0.name == row.without } }
      let answer = try Answer(["inspect", model.path])
      #expect(answer.status == row.status && answer.errors.contains("error: "), "\(answer.errors)")
      #expect(answer["schema"]?.string == "moetop.inspect/1" && answer["supported"]?.bool == false)
      #expect(answer["parameters"]?.int64 ?? 0 > 0 && answer["weight_bytes"]?.int64 ?? 0 > 0)
      #expect(answer["family"]?.string == row.settings["model_type"] as? String ?? "mixtral")
      #expect(answer["refused"]?["reason"]?.string?.isEmpty == false && answer["refused"]?["exit_code"]?.int64 == Int64(row.status))
      for (key, value) in row.facts { #expect(answer["refused"]?[key]?.string == value, "\(key)") }
    }
  }

  /// A damaged file is a model that is refused; where nothing lies there is no model to speak of.
  @Test func onlyWhatIsThereIsDescribed() throws {
    let model = try ChangedModel("models/mixtral")
    try model.folder.write(Array("{".utf8), to: "model.safetensors")
    let damaged = try Answer(["inspect", model.path])
    #expect(damaged.status == 65 && damaged["family"]?.string == "mixtral" && damaged["parameters"]?.isNull == true)
    let missing = try Binary.run(["inspect", model.path + "/nothing", "--json"])
    #expect(missing.status == 66 && missing.output.isEmpty)
  }
}
