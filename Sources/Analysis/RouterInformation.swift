// What a study of one router leaves behind for those who judge several together.

import Routing

/// Information at one router.
struct RouterInformation: Sendable {
  var router: RouterID
  var information: InformationEstimate
  /// `[draws]`: plug-in.
  var draws: [Double]

  var null: SpecializationStudy.Null { SpecializationStudy.Null(observed: information.plugIn, draws: draws) }

  /// The mean over routers, as the information of one: draws and omissions are averaged one by one.
  static func mean(_ routers: [RouterInformation]) -> RouterInformation? {
    guard let first = routers.first else { return nil }
    let n = Double(routers.count)
    let leftOut = first.information.leftOut.indices.map { index -> Double? in
      let values = routers.compactMap { own in
        own.information.leftOut.indices.contains(index) ? own.information.leftOut[index] : nil
      }
      return values.count == routers.count ? values.reduce(0, +) / n : nil
    }
    return RouterInformation(
      router: first.router,
      information: InformationEstimate(
        plugIn: routers.reduce(0) { $0 + $1.information.plugIn } / n, leftOut: leftOut, freedom: first.information.freedom),
      draws: first.draws.indices.map { index in routers.reduce(0) { $0 + $1.draws[index] } / n })
  }
}
