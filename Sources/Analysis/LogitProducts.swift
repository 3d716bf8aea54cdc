// Which experts does a router ask for in the same breath? Products of its raw logits summed over tokens: the cosine of two experts' columns
// follows from them, whatever the number of tokens.

import Routing

/// Products of one router's logits.
///
/// - Memory: 8 bytes for each pair of experts. - Complexity: experts^2 / 2 products a token with recorded logits.
struct LogitProducts: RouterFold {
  private(set) var experts = 0
  /// Tokens with finite logits.
  private(set) var tokens = 0
  /// `[experts, experts]`: sums over tokens of logit i times logit j, where j is not below i; 0 elsewhere.
  private var products: [Double] = []

  mutating func add(_ batch: RoutingBatch, tokens table: TokenTable) {
    grow(batch.expertCount)
    guard let logits = batch.logits, batch.expertCount == experts else { return }
    for row in 0..<logits.rows.count {
      let own = logits.values[row * experts..<(row + 1) * experts]
      guard own.allSatisfy(\.isFinite) else { continue }
      tokens += 1
      own.withUnsafeBufferPointer { own in
        products.withUnsafeMutableBufferPointer { products in
          for i in 0..<experts {
            let a = Double(own[i])
            for j in i..<experts { products[i * experts + j] += a * Double(own[j]) }
          }
        }
      }
    }
  }

  mutating func merge(_ other: LogitProducts) {
    grow(other.experts)
    tokens += other.tokens
    guard other.experts == experts else { return }
    for place in products.indices { products[place] += other.products[place] }
  }

  func result() -> LogitProducts { self }

  private mutating func grow(_ count: Int) {
    guard experts == 0, count > 0 else { return }
    (experts, products) = (count, Array(repeating: 0, count: count * count))
  }

  /// (1 + cosine of the columns of two experts) / 2: 1 for columns of one direction, 1/2 where they have nothing in common, 0 for opposite ones.
  ///
  /// - Source: Li et al. 2023, MC-SMoE, arXiv:2310.01334, `similarity_base="router-logits"`; the lengths of columns are at least f32's epsilon.
  func similarity(_ a: Int, _ b: Int) -> Double {
    if a == b { return 1 }
    func length(_ expert: Int) -> Double { max(products[expert * experts + expert].squareRoot(), Double(Float.ulpOfOne)) }
    let cosine = products[min(a, b) * experts + max(a, b)] / (length(a) * length(b))
    return (1 + min(1, max(-1, cosine))) / 2
  }
}

extension LogitProducts: ColumnFold {
  func save(_ columns: inout FoldColumns) {
    columns.set("shape", .numbers([experts, tokens]))
    columns.set("products", .reals(products))
  }

  mutating func load(_ columns: FoldReader) throws(FoldColumnError) {
    let shape = try columns.numbers("shape", 2)
    (experts, tokens) = (shape[0], shape[1])
    try columns.shape(experts, 0)
    products = try columns.reals("products", experts * experts)
  }
}
