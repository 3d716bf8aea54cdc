// What a study of one router leaves behind for those who judge several together.

import Routing

/// Plug-in information at one router.
struct RouterInformation: Sendable {
  var router: RouterID
  var plugIn: Double
  /// `[draws]`
  var draws: [Double]
  /// `[sequences]`
  var leftOut: [Double?]

  var null: SpecializationStudy.Null { SpecializationStudy.Null(observed: plugIn, draws: draws) }

  /// The mean over routers, as the information of one: draws and omissions are averaged one by one.
  static func mean(_ routers: [RouterInformation]) -> RouterInformation? {
    guard let first = routers.first else { return nil }
    let n = Double(routers.count)
    let leftOut = first.leftOut.indices.map { index -> Double? in
      let values = routers.compactMap { $0.leftOut.indices.contains(index) ? $0.leftOut[index] : nil }
      return values.count == routers.count ? values.reduce(0, +) / n : nil
    }
    return RouterInformation(
      router: first.router, plugIn: routers.reduce(0) { $0 + $1.plugIn } / n,
      draws: first.draws.indices.map { index in routers.reduce(0) { $0 + $1.draws[index] } / n }, leftOut: leftOut)
  }
}
