// Metrics that training adds to its loss: what is said about them. They are read off RouterLoad (BalanceLoss.swift).

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

extension Metric {
  static let balanceLoss = Metric(
    key: .balanceLoss, name: "auxiliary balance loss", unit: "dimensionless", range: "about 1...E",
    reading: "1: uniform; E: every token gives everything to one expert",
    grain: .layer, format: .number(3), baseline: "1 at uniform",
    baselineValue: { _ in 1 }, facets: .none, interval: .none("importance is kept for the run, not for each sequence"),
    source: "arXiv:2101.03961; Megatron `switch_load_balancing_loss_func`",
    glossary: "E times the sum of load x importance: 1 when balanced",
    missing: "where no decision has probabilities (not recorded, or logits that are not finite)", isSummedByPass: true,
    measure: RunLoadMeasure(of: .tokens, n: { $0.measuredCount }, value: { $0.balanceLoss }))

  static let balanceLossHF = Metric(
    key: .balanceLossHF, name: "auxiliary balance loss, Hugging Face form", unit: "dimensionless", range: "about k...kE",
    reading: "k: uniform; kE: one expert takes everything; k times balance_loss when nothing is padded",
    grain: .layer, format: .number(3), baseline: "k at uniform",
    baselineValue: { Double($0.chance.topK) }, facets: .none,
    interval: .none("importance is kept for the run, not for each sequence"),
    source: "transformers `load_balancing_loss_func`, here for each layer alone",
    glossary: "balance loss as transformers counts it: k when balanced",
    missing: "where no decision has probabilities (not recorded, or logits that are not finite)", isSummedByPass: true,
    measure: RunLoadMeasure(of: .tokens, n: { $0.measuredCount }, value: { $0.balanceLossHF }))

  static let zLoss = Metric(
    key: .zLoss, name: "z-loss", unit: "nat squared", range: "0 and above",
    reading: "(ln E)^2 when all logits are 0; grows with the size of the logits",
    grain: .layer, format: .number(3), baseline: "(ln E)^2 for logits of 0",
    baselineValue: { log(Double($0.chance.experts)) * log(Double($0.chance.experts)) }, facets: .none,
    interval: .none("summed for each batch, not for each sequence"),
    source: "ST-MoE, arXiv:2202.08906; Megatron `z_loss_func`",
    glossary: "mean squared log-sum-exp of the router logits",
    missing: "where no decision has finite logits that were seen", isSummedByPass: true,
    measure: RunLoadMeasure(of: .tokens, n: { $0.squaredLogSumExpCount }, value: { $0.zLoss }))
}
