// Which columns of the record are routers of the run, and have their rows the right width?

import Routing

extension RecordJudge {
  /// Decides which columns are routers of the run.
  /// - Returns: false where no row of the record can be trusted.
  mutating func judgeLayers() -> Bool {
    let shape = record.shape
    let model = request.model?.routers
    let hasIDs = shape.content == .ids
    var (live, dense, strangers) = ([Int](), [RouterID](), [Int]())
    let anyLive = !hasIDs || columns.routers.indices.contains(where: survey.isLive)
    for column in columns.routers.indices {
      let router = columns.routers[column]
      let isEmpty = hasIDs && (!survey.isLive(column) && columns.widths[column] > 1 || survey.isAllUnknown(column))
      if let model, !model.contains(where: { $0.id == router }), router.tower == nil {
        if isEmpty { dense.append(router) } else { strangers.append(column) }
      } else if isEmpty, model == nil, anyLive, !survey.isAllUnknown(column) || !shape.mayTakeFewer {
        dense.append(router)
      } else {
        live.append(column)
      }
    }
    if !dense.isEmpty {
      note(.denseLayers, "layers without a route in any row are taken for dense: \(dense.map { "\($0)" }.joined(separator: ", "))")
    }
    if let model, !strangers.isEmpty {
      for column in strangers {
        say(
          .shiftedLayers, columns.routers[column], total, of: total,
          "it has routes, and the model has no router there: no number of a layer can be trusted")
      }
      let column = strangers[0]
      judgement.routers = model.map {
        JudgedRouter(id: $0.id, slots: min(columns.widths[column], $0.spec.expertCount), experts: $0.spec.expertCount, isUnknown: true)
      }
      return false
    }
    var isGuessed = false
    judgement.routers = live.map { column in
      let router = columns.routers[column]
      let guess = survey.largest(live, widths: columns.widths).map { $0 + 1 }
      let known = shape.columns[column].experts
      if experts(of: router) == nil && known == nil { isGuessed = true }
      let experts = shape.content == .logits ? known ?? 1 : experts(of: router) ?? known ?? guess ?? 1
      return JudgedRouter(id: router, column: column, slots: columns.widths[column], experts: max(experts, columns.widths[column]))
    }
    if isGuessed { note(.expertsGuessed, "the number of experts is taken from the largest id of the record") }
    return judgeShapes(live)
  }

  private mutating func judgeShapes(_ live: [Int]) -> Bool {
    guard record.shape.content == .ids else {
      for place in judgement.routers.indices { judgeWidth(place) }
      return true
    }
    var isSound = true
    for place in judgement.routers.indices {
      let router = judgement.routers[place]
      guard let asked = topK(of: router.id), asked != router.slots else { continue }
      say(.wrongK, router.id, total, of: total, "rows have \(router.slots) ids, a token takes \(asked) experts")
      isSound = false
    }
    if !isSound { for place in judgement.routers.indices { judgement.routers[place].isUnknown = true } }
    return isSound
  }

  /// Logits of another number of experts than the model has.
  private mutating func judgeWidth(_ place: Int) {
    let router = judgement.routers[place]
    guard let asked = experts(of: router.id), asked != router.experts else { return }
    let isPhysical = router.experts > asked && router.experts < 2 * asked
    say(
      isPhysical ? .physicalIDs : .outOfRange, router.id, total, of: total,
      "it has logits of \(router.experts) experts, the router chooses among \(asked)"
        + (isPhysical ? ": these are physical slots of replicated experts" : ""))
    judgement.routers[place].isUnknown = true
  }
}
