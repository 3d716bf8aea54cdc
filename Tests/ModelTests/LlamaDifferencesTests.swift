// Where llama.cpp routes otherwise is said of exactly the models it is true of.

import Support
import Testing

@testable import Model

@Suite struct LlamaDifferencesTests {
  @Test(arguments: [
    ("deepseek_v2-groups", "groups"), ("phimoe", "sparsemixer"), ("olmoe-clip", "never renormalises"), ("mixtral-window", "sliding window"),
    ("gpt_oss", "yarn's ramp"), ("deepseek-norm", "never renormalises"), ("step3p5", "of which half turns"), ("granitemoe_swa", "one base"),
  ])
  func isSaidWhereItHolds(_ folder: String, _ words: String) throws {
    let model = try LanguageModel(path: Fixtures.root + "/Tests/Fixtures/models/\(folder)")
    #expect(model.llamaDifferences.contains { $0.contains(words) }, "\(model.llamaDifferences)")
  }

  @Test(arguments: ["olmoe", "mixtral", "deepseek_v2", "deepseek_v3", "gpt_oss-truncate", "qwen3_moe", "deepseek", "granitemoe_swa-plain"])
  func isNotSaidElsewhere(_ folder: String) throws {
    #expect(try LanguageModel(path: Fixtures.root + "/Tests/Fixtures/models/\(folder)").llamaDifferences.isEmpty)
  }

  @Test func sharedExpertsAreCounted() throws {
    let model = try LanguageModel(path: Fixtures.root + "/Tests/Fixtures/models/deepseek_v3")
    #expect(model.sharedExpertCounts.count == model.routers.count && model.sharedExpertCounts.allSatisfy { $0 == 1 })
    #expect(try LanguageModel(path: Fixtures.root + "/Tests/Fixtures/models/olmoe").sharedExpertCounts.allSatisfy { $0 == 0 })
  }
}
