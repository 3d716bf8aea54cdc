// Where routing comes out of an engine. A sink says beforehand what it wants, so an engine without a listener does nothing for it.

/// Receives the routing of a run, pass by pass, on the engine's thread.
///
/// A sink must return quickly or hand the pass on; it may throw to stop the run (disk full, cancelled), and the engine passes the
/// error through.
public protocol RoutingSink: AnyObject {
  /// What the engine must fill in; asked once per run.
  var demand: RoutingDemand { get }
  func receive(_ pass: RoutingPass) throws
}

/// What a listener wants to know beyond ids and weights.
public struct RoutingDemand: Sendable, Equatable {
  /// Entropy, margins, mass, importance.
  public var statistics: Bool
  /// Raw router logits of every n-th token of the run; nil for none.
  public var logitsEvery: Int?
  /// What is computed on request only.
  public var extras: RecordingExtras

  public init(statistics: Bool = true, logitsEvery: Int? = nil, extras: RecordingExtras = []) {
    self.statistics = statistics
    self.logitsEvery = logitsEvery
    self.extras = extras
  }

  /// The smallest demand that serves both.
  public func union(_ other: RoutingDemand) -> RoutingDemand {
    let every: Int? =
      switch (logitsEvery, other.logitsEvery) {
      case (let a?, let b?): a == b ? a : 1
      case (let a, let b): a ?? b
      }
    return RoutingDemand(statistics: statistics || other.statistics, logitsEvery: every, extras: extras.union(other.extras))
  }
}

/// Hands each pass to several sinks, in order.
public final class RoutingFanOut: RoutingSink {
  private let sinks: [any RoutingSink]

  public init(_ sinks: [any RoutingSink]) { self.sinks = sinks }

  public var demand: RoutingDemand {
    sinks.reduce(RoutingDemand(statistics: false)) { $0.union($1.demand) }
  }

  public func receive(_ pass: RoutingPass) throws {
    for sink in sinks { try sink.receive(pass) }
  }
}
