// Activations of one pass. Grown to the largest pass seen, reused by every layer, freed with the forward.

/// f32 activation memory of a forward pass.
struct ForwardBuffers: ~Copyable {
  private let plan: ModelPlan
  private var capacity = 0
  private var logitRows = 0
  private var expertFloats = 0

  /// `[tokens, hiddenSize]`: the residual stream.
  private(set) var hidden: UnsafeMutablePointer<Float>
  /// `[tokens, hiddenSize]`: the normalised input of the current half block; after a pass, the final hidden states.
  private(set) var normed: UnsafeMutablePointer<Float>
  /// `[tokens, headCount * headSize]`
  private(set) var queries: UnsafeMutablePointer<Float>
  /// `[tokens, max(headCount * headSize, hiddenSize)]`: attention's output, or a block's when a probe wants it apart.
  private(set) var mixed: UnsafeMutablePointer<Float>
  /// `[tokens, expertCount]`
  private(set) var routerLogits: UnsafeMutablePointer<Float>
  /// `[slots, intermediateSize]`
  private(set) var expertHidden: UnsafeMutablePointer<Float>
  /// `[rows, vocabularySize]`
  private(set) var logits: UnsafeMutablePointer<Float>

  init(plan: ModelPlan) {
    self.plan = plan
    hidden = .allocate(capacity: 1)
    normed = .allocate(capacity: 1)
    queries = .allocate(capacity: 1)
    mixed = .allocate(capacity: 1)
    routerLogits = .allocate(capacity: 1)
    expertHidden = .allocate(capacity: 1)
    logits = .allocate(capacity: 1)
  }

  deinit {
    for pointer in [hidden, normed, queries, mixed, routerLogits, expertHidden, logits] { pointer.deallocate() }
  }

  mutating func reserve(_ tokens: Int) {
    guard tokens > capacity else { return }
    capacity = tokens
    let queryWidth = plan.blocks.map { $0.attention.headCount * $0.attention.headSize }.max() ?? 0
    let experts = plan.blocks.map { block in if case .experts(let experts) = block.feedForward { experts.expertCount } else { 0 } }
    Self.grow(&hidden, tokens * plan.hiddenSize)
    Self.grow(&normed, tokens * plan.hiddenSize)
    Self.grow(&queries, tokens * queryWidth)
    Self.grow(&mixed, tokens * max(queryWidth, plan.hiddenSize))
    Self.grow(&routerLogits, tokens * (experts.max() ?? 0))
  }

  mutating func reserveExperts(_ floats: Int) {
    guard floats > expertFloats else { return }
    expertFloats = floats
    Self.grow(&expertHidden, floats)
  }

  mutating func reserveLogits(_ rows: Int) {
    guard rows > logitRows else { return }
    logitRows = rows
    Self.grow(&logits, rows * plan.vocabularySize)
  }

  /// `mixed`, cleared.
  func zeroedMixed(_ count: Int) -> UnsafeMutablePointer<Float> {
    mixed.update(repeating: 0, count: count)
    return mixed
  }

  private static func grow(_ pointer: inout UnsafeMutablePointer<Float>, _ count: Int) {
    pointer.deallocate()
    pointer = .allocate(capacity: max(1, count))
  }
}
