// Entropies of routers of different size on one scale: the one division that filters, thresholds and metrics share.

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Router entropy divided by ln E; NaN for a router with one expert.
///
/// 0: the router is certain; 1: it cannot tell experts apart. One function, so that every comparison with a threshold rounds alike.
public func normalizedEntropy(_ nats: Float, experts: Int) -> Float {
  nats / largestEntropy(experts: experts)
}

/// ln E, what router entropies are divided by; NaN for a router with one expert.
public func largestEntropy(experts: Int) -> Float { experts > 1 ? log(Float(experts)) : .nan }
