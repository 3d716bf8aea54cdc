// How every metric of the product is computed: as a fold over passes whose parts can be merged. The same code therefore serves the
// live screen (fold as it streams), a headless analysis (fold over a file) and several cores (fold the parts, merge). Reading passes
// is the business of Model and Store; printing results is the business of App.

import Routing

/// A metric as a fold over the passes of a run.
///
/// `merge` is associative and commutative (exactly for counts, up to rounding for sums of reals): folding a run whole and folding
/// any split of it and merging the parts give the same result.
public protocol PassFold: Sendable {
  associatedtype Output
  mutating func add(_ pass: RoutingPass)
  mutating func merge(_ other: Self)
  func result() -> Output
}

/// A metric of one router. `PerRouter` makes a `PassFold` of it.
public protocol RouterFold: Sendable {
  associatedtype Output
  /// - Precondition: `batch.validate()` holds and the batch's rows lie inside `tokens`.
  mutating func add(_ batch: RoutingBatch, tokens: TokenTable)
  mutating func merge(_ other: Self)
  func result() -> Output
}

/// One copy of a fold for each router of a run.
public struct PerRouter<Fold: RouterFold>: PassFold {
  public private(set) var folds: [RouterID: Fold] = [:]
  let prototype: Fold

  /// - Parameter prototype: an empty fold; a router seen for the first time starts with a copy of it.
  public init(_ prototype: Fold) { self.prototype = prototype }

  public subscript(router: RouterID) -> Fold? { folds[router] }

  /// In order of stack, then layer.
  public var routers: [RouterID] { folds.keys.sorted() }

  public mutating func add(_ pass: RoutingPass) {
    for batch in pass.batches { add(batch, tokens: pass.tokens) }
  }

  public mutating func add(_ batch: RoutingBatch, tokens: TokenTable) {
    let prototype = prototype
    folds[batch.router, default: prototype].add(batch, tokens: tokens)
  }

  public mutating func merge(_ other: Self) {
    let prototype = prototype
    for (router, fold) in other.folds { folds[router, default: prototype].merge(fold) }
  }

  /// The same routers with another fold each.
  public func mapped(_ body: (Fold) -> Fold) -> PerRouter {
    var other = self
    other.folds = folds.mapValues(body)
    return other
  }

  mutating func merge(_ fold: Fold, of router: RouterID) {
    let prototype = prototype
    folds[router, default: prototype].merge(fold)
  }

  /// Takes a fold that was made elsewhere for that of a router.
  mutating func adopt(_ fold: Fold, of router: RouterID) { folds[router] = fold }

  public func result() -> [RouterID: Fold.Output] { folds.mapValues { $0.result() } }

  /// Results in order of stack, then layer.
  public func sorted() -> [(router: RouterID, output: Fold.Output)] {
    folds.sorted { $0.key < $1.key }.map { ($0.key, $0.value.result()) }
  }
}

extension RoutingBatch {
  /// The batch's rows as rows of `tokens`.
  /// - Precondition: the table covers the batch.
  func rows(in tokens: TokenTable) -> Range<Int> {
    let first = firstToken - tokens.firstToken
    precondition(first >= 0 && first + count <= tokens.count, "tokens of another pass")
    return first..<first + count
  }
}

/// Mean and spread of a stream of numbers.
///
/// - Source: Welford's recurrence; parts are merged by the pairwise form of Chan, Golub and LeVeque.
public struct Moments: Sendable, Equatable {
  public private(set) var count = 0
  private var average = 0.0
  private var squares = 0.0

  public init() {}

  /// As `parts` gave them.
  init(count: Int, parts: [Double]) { (self.count, average, squares) = (count, parts[0], parts[1]) }

  /// Mean, and sum of squared distances from it.
  var parts: [Double] { [average, squares] }

  public mutating func add(_ value: Double) {
    count += 1
    let delta = value - average
    average += delta / Double(count)
    squares += delta * (value - average)
  }

  public mutating func merge(_ other: Moments) {
    guard other.count > 0 else { return }
    guard count > 0 else {
      self = other
      return
    }
    let total = Double(count + other.count)
    let delta = other.average - average
    average += delta * Double(other.count) / total
    squares += other.squares + delta * delta * Double(count) * Double(other.count) / total
    count += other.count
  }

  /// Nil before the first value.
  public var mean: Double? { count > 0 ? average : nil }
  /// Sample standard deviation (divisor n - 1); nil before the second value.
  public var standardDeviation: Double? { count > 1 ? (squares / Double(count - 1)).squareRoot() : nil }
}
