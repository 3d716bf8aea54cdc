// A part of an analysis on its way from one machine to another: the folds of some whole sequences as columns, and back into an analysis of
// the same plan, beside the parts that others folded.

import Routing

extension RunAnalysis {
  /// Why an analysis by this plan cannot be made of parts; nil where it can.
  ///
  /// - Throws: `AnalysisError`, also where the plan itself cannot be had.
  public static func requireParts(_ plan: AnalysisPlan) throws {
    try plan.validate()
    let analysis = try RunAnalysis(plan)
    if plan.denoising != nil {
      throw AnalysisError.invalidPlan(field: "fold", expected: "a run of texts", found: "a denoising run, which `merge --one` joins")
    }
    if analysis.keepsTokenRows {
      throw AnalysisError.invalidPlan(
        field: "--by", expected: "an axis that parts have in common", found: "token, whose rows are those of one run")
    }
    if analysis.needsTwoRounds {
      throw AnalysisError.invalidPlan(
        field: "--threshold", expected: "nats (1.6nat) or a share of ln E (0.92) where single decisions are judged by it",
        found: "\(plan.threshold), which is known when all parts are")
    }
  }

  /// Everything that was folded, as columns.
  ///
  /// - Precondition: `requireParts` holds for the plan.
  public func columns() -> FoldColumns {
    var columns = FoldColumns()
    let routers = plan.routers.map(\.id)
    columns.set("tokens", .numbers([tokens]))
    load?.save("load", routers, &columns)
    uncertainty?.save("uncertainty", routers, &columns)
    links?.save("links", routers, &columns)
    counts?.save("counts", routers, &columns)
    routes?.save("routes", routers, &columns)
    norms?.save("norms", routers, &columns)
    products?.save("products", routers, &columns)
    means?.save("means", routers, &columns)
    for (key, fold) in statistics { fold.save(key.rawValue, routers, &columns) }
    if let tally { columns.inside("filter", tally.save) }
    if let survey { columns.inside("survey", survey.save) }
    return columns
  }

  /// Adds a part.
  ///
  /// - Parameters:
  ///   - routers: of the part, in its order.
  ///   - place: where its sequences stand among those of the plan.
  /// - Throws: `FoldColumnError` for columns that no analysis of this plan left.
  public mutating func add(_ columns: FoldColumns, routers: [RouterID], at place: PartPlace) throws(FoldColumnError) {
    let reader = FoldReader(columns, place)
    let empty = emptyFolds
    tokens += try reader.numbers("tokens", 1)[0]
    try load?.load("load", routers, reader, empty: empty.load)
    try uncertainty?.load("uncertainty", routers, reader, empty: empty.uncertainty)
    try links?.load("links", routers, reader, empty: empty.links)
    try counts?.load("counts", routers, reader, empty: StratumCounts())
    try routes?.load("routes", routers, reader, empty: empty.routes)
    try norms?.load("norms", routers, reader, empty: empty.norms)
    try products?.load("products", routers, reader, empty: LogitProducts())
    try means?.load("means", routers, reader, empty: empty.means)
    for (key, fold) in emptyStatistics { try statistics[key]?.load(key.rawValue, routers, reader, empty: fold.prototype) }
    if tally != nil {
      var part = FilterTally()
      try part.load(reader.inside("filter"))
      tally?.merge(part)
    }
    if survey != nil {
      var part = EntropySurvey(form: plan.entropyForm)
      try part.load(reader.inside("survey"))
      survey?.merge(part)
    }
  }
}
