// Where llama.cpp computes a model otherwise than its own definition does, as far as its routing feels it: facts about another program,
// read off a plan. Nothing here is executed; people who compare ids want to know.
// Source: llama.cpp's graphs, and runs of both programs on the same weights (docs/models.md lists them).

import Routing

extension LanguageModel {
  /// One sentence each; empty where the two agree.
  public var llamaDifferences: [String] {
    LlamaDifference.all.filter { $0.families.isEmpty || $0.families.contains(family) }.filter { $0.applies(self) }.map(\.words)
  }

  var attentions: [AttentionPlan] { plan.decoder.blocks.flatMap(\.sublayers).compactMap { $0.operation as? AttentionPlan } }
}

private struct LlamaDifference: Sendable {
  /// Empty: any.
  var families: Set<String> = []
  var applies: @Sendable (LanguageModel) -> Bool
  var words: String

  static let all: [LlamaDifference] = [
    LlamaDifference(
      families: ["deepseek_v2"], applies: { $0.hasRouter { $0.groupLimit?.groupScore == .maximum } },
      words: "scores groups by their two best experts; the model by the best one: other experts"),
    LlamaDifference(
      applies: { $0.hasRouter { if case .sparsemixer = $0.scoring { true } else { false } } },
      words: "takes the two best of a softmax and renormalises instead of sparsemixer, and RMS norm for LayerNorm: other weights"),
    LlamaDifference(
      families: ["olmoe", "qwen2_moe", "deepseek"], applies: { $0.hasRouter { $0.normalization != .none } },
      words: "never renormalises this family's weights, whatever norm_topk_prob says"),
    LlamaDifference(
      families: ["qwen3_moe", "ernie4_5_moe", "lfm2_moe", "mixtral"],
      applies: { $0.hasRouter { $0.normalization == .none && !$0.weighsSelected } },
      words: "always renormalises this family's weights, whatever norm_topk_prob says"),
    LlamaDifference(
      applies: {
        $0.attentions.contains { if case .yarn(_, _, _, _, let truncates) = $0.rotary?.scaling { !truncates } else { false } }
      },
      words: "rounds the bounds of yarn's ramp, which this model does not: positions are turned otherwise"),
    LlamaDifference(
      families: ["mixtral"], applies: { $0.attentions.contains { $0.window != nil } },
      words: "ignores the sliding window of this family: other hidden states beyond it"),
    LlamaDifference(
      families: ["granitemoehybrid"],
      applies: { model in
        model.attentions.contains { $0.rotary != nil }
          && model.plan.decoder.blocks.contains { $0.sublayers.contains { $0.operation is StateSpacePlan } }
      },
      words: "never encodes positions in files with state space layers: other hidden states"),
    LlamaDifference(
      families: ["step3p5"],
      applies: { model in
        model.attentions.contains { if case .llama3 = $0.rotary?.scaling { true } else { false } }
      },
      words: "stretches as if heads turned whole, of which half turns: positions are turned otherwise"),
    LlamaDifference(
      families: ["granitemoe_swa"], applies: { Set($0.attentions.compactMap { $0.rotary?.base }).count > 1 },
      words: "has one base for all layers, of which this model has several: positions are turned otherwise"),
    LlamaDifference(
      families: ["llama4_text"],
      applies: { model in
        model.attentions.contains { attention in
          attention.chunk.map { $0 != 8192 } ?? false
            || attention.temperature.map { $0 != TemperaturePlan(floor: 8192, scale: 0.1) } ?? false
        }
      },
      words: "has chunk size 8192, temperature floor 8192 and scale 0.1 as constants; this model says otherwise"),
  ]
}

extension LanguageModel {
  fileprivate func hasRouter(_ matches: (RouterSpec) -> Bool) -> Bool { routers.contains { matches($0.spec) } }

  /// Experts that every token takes, by router in the order of `routers`.
  public var sharedExpertCounts: [Int] {
    ((weights.encoder?.stack.blocks ?? []) + weights.decoder.blocks).flatMap { block in
      let beside = block.count { ($0.operation as? BoundDense)?.isSharedExpert == true }
      return block.map(\.operation).flatMap { operation in
        operation.routers.map { _ in (operation as? BoundExperts).map { $0.sharedGates.count + beside } ?? 0 }
      }
    }
  }
}

extension RouterSpec {
  /// Whether the weights sum to 1 by their own rule.
  fileprivate var weighsSelected: Bool { weighting == .softmaxOfSelectedLogits }
}
