// Where a block stands. Most blocks are a layer of their own; where a layer runs several times, each run is a block with keys, values and
// decisions of its own, over weights that all of its runs share. How routers are called and whose experts they choose among follows from it.

import Routing

/// Which run of which layer a block is.
struct LayerRun: Sendable {
  var layer: Int
  /// How often the layer ran before; nil: it runs once.
  var repetition: Int?
  /// How often the layer runs.
  var count = 1

  init(layer: Int) { self.layer = layer }

  /// - Parameter count: 1 is a layer like any other.
  init(layer: Int, repetition: Int, of count: Int) {
    (self.layer, self.count) = (layer, count)
    if count > 1 { self.repetition = repetition }
  }

  func router(_ stack: RouterStack = .feedForward, module: RouterModule? = nil, head: Int? = nil) -> RouterID {
    var id = RouterID(stack: stack, layer: layer)
    // The first run is called as a layer that runs once.
    (id.module, id.head, id.repetition) = (module, head, repetition == 0 ? nil : repetition)
    return id
  }

  /// Weights of experts that a token does not meet in any run when each of them takes others; counted with the layer's first run, as these
  /// experts are.
  ///
  /// - Parameters:
  ///   - expert: one of `experts`, or their mean.
  ///   - topK: experts that one run takes.
  func idle(_ expert: WeightSize, of experts: Int, taking topK: Int) -> WeightSize {
    (repetition ?? 0) == 0 ? expert * max(0, experts - topK * count) : WeightSize()
  }
}

extension RouterDescription {
  /// A router of a model that runs here. All runs of a layer choose among the same experts, which have the path without the run.
  init(_ id: RouterID, _ spec: RouterSpec) {
    guard id.repetition != nil else {
      self.init(id: id, spec: spec)
      return
    }
    var bank = id
    bank.repetition = nil
    self.init(id: id, spec: spec, more: RouterFacts(bank: bank.description))
  }
}
