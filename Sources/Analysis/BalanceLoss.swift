// What the training loss would say about this routing: the auxiliary losses that push routers towards balance, read off a trace.
// Two conventions differ by a factor of topK and are never mixed: each has its own name.

import Routing

extension RouterLoad {
  /// Auxiliary load-balancing loss of one layer: E sum_e f_e P_e, with f the share of choices and P the mean router probability.
  ///
  /// 1: uniform; E: every token gives everything to one expert. Choices dropped by capacity count, as in training; f and P are both of the
  /// decisions that have probabilities (`measuredCount`), and nil without one.
  ///
  /// - Source: Switch Transformer, arXiv:2101.03961; Megatron `switch_load_balancing_loss_func` (f divided by T k).
  /// - Test: uniform gives 1, one-hot gives E.
  public var balanceLoss: Double? {
    guard measuredCount > 0, let importance, let share = normalized(chosenByMeasured.map(Double.init)) else { return nil }
    return Double(experts) * zip(share, importance).reduce(0) { $0 + $1.0 * $1.1 }
  }

  /// The same without the division by k: E sum_e (n_e / T) P_e; k at uniform.
  ///
  /// - Source: transformers `load_balancing_loss_func`, which also concatenates all layers, so that opposite imbalances of two layers
  ///   cancel; here each layer stands for itself.
  public var balanceLossHF: Double? {
    guard measuredCount > 0, let importance else { return nil }
    return Double(experts) * zip(chosenByMeasured, importance).reduce(0) { $0 + Double($1.0) / Double(measuredCount) * $1.1 }
  }

  /// Mean squared log-sum-exp of the router logits: how large the logits have grown.
  ///
  /// No upper end; (ln E)^2 when all logits are 0. Needs the logits' sums (recorded with the statistics); over the decisions whose logits
  /// are finite, nil without one.
  ///
  /// - Source: ST-MoE, arXiv:2202.08906; Megatron `z_loss_func`.
  /// - Test: all-zero logits give (ln E)^2; none where every logit is NaN.
  public var zLoss: Double? {
    squaredLogSumExpCount > 0 ? squaredLogSumExpSum / Double(squaredLogSumExpCount) : nil
  }
}
