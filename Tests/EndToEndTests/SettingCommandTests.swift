// `--set key=value`: a setting that is accepted acts, in whichever spelling the file says it.

import Foundation
import Support
import Testing

struct SettingCommandTests {
  private func loss(_ model: String, _ settings: [String]) throws -> (status: Int32, loss: String, errors: String) {
    let path = try #require(Fixtures.own("models/\(model)"))
    let sets = settings.flatMap { ["--set", $0] }
    let result = try Binary.run(["run", path, "--tokens", path + "/input.json", "--no-trace", "--json"] + sets)
    let found = result.output.firstMatch(of: /"loss":([0-9.]+)/).map { String($0.1) } ?? "none"
    return (result.status, found, result.errors)
  }

  /// config.json of transformers 5 says the base in `rope_parameters`; people know it as `rope_theta`.
  @Test func theBaseOfPositionsIsSetInEitherSpelling() throws {
    let usual = try loss("olmoe", [])
    let short = try loss("olmoe", ["rope_theta=10"])
    let long = try loss("olmoe", ["rope_parameters.rope_theta=10"])
    #expect(short.status == 0 && short.loss != usual.loss && short.loss == long.loss, "\(usual) \(short) \(long)")
  }

  @Test func aStretchIsTurnedOffInEitherSpelling() throws {
    let usual = try loss("gpt_oss", [])
    let off = try loss("gpt_oss", ["rope_scaling=null"])
    #expect(off.status == 0 && off.loss != usual.loss, "\(usual) \(off)")
  }

  /// The file says `n_routed_experts`, and the user the other spelling: it counts, so the weights no longer fit.
  @Test func anotherSpellingIsNotPassedOver() throws {
    let result = try loss("deepseek_v3", ["num_experts=4"])
    #expect(result.status == 65 && result.errors.contains("expected [4, "), "\(result.errors)")
  }

  @Test func aFlagOfPositionsIsAFlag() throws {
    let result = try loss("gpt_oss", ["rope_parameters.truncate=0"])
    #expect(result.status == 65 && result.errors.contains("true or false"), "\(result)")
  }
}
