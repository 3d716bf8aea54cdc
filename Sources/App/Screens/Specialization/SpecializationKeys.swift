// What keys do on Specialization, and the studies that are made for it in the background.

import Analysis
import Routing
import Terminal

extension SpecializationScreen {
  static func move(_ motion: ActionID, in model: inout AppModel) {
    if model.focused == .axes { return model.moveList(\.special.list, motion, count: model.special.results.count) }
    if model.kind.move(motion, over: model.focused, in: &model) { return }
    model.move(\.expert, motion, count: model.spec?.expertCount ?? 0) { $0.moveCell($1) }
  }

  static func enter(_ model: inout AppModel) -> [Effect] {
    if model.focused == .axes, model.special.results.indices.contains(model.special.list.selected) {
      model.router = model.special.list.selected
    }
    return []
  }

  static func back(_ model: inout AppModel) -> [Effect]? {
    guard model.special.progress != nil else { return nil }
    model.special.giveUpStudies()
    // What was asked for is not asked again by itself.
    model.special.cancelledAt = model.buffer?.end
    if model.special.resultFacet != model.special.facet {
      (model.special.results, model.special.resultFacet, model.special.end) = ([], model.special.facet, 0)
      model.special.problem = "cancelled; z starts again"
    }
    model.say("cancelled")
    return [.cancelWork(StudyQuery.lane)]
  }

  /// What is studied aside is for the panel that is left.
  static func leave(_ model: inout AppModel) -> [Effect] {
    guard model.special.aside != nil else { return [] }
    model.special.giveUpStudies()
    return [.cancelWork(StudyQuery.lane)]
  }

  static func perform(_ id: ActionID, _ argument: String, in model: inout AppModel) -> [Effect]? {
    switch id {
    case .metric: model.special.scale = model.next(model.special.scale)
    case .order: model.special.ordersByLoad.toggle()
    case .axis: return argument.isEmpty ? nextAxis(&model) : setAxis(argument, &model)
    case .nullTest:
      model.say("testing against 1,000 shuffles; \(model.key(.back)) cancels")
      return model.special.facet.map { model.study($0, draws: 1000) } ?? []
    default: return nil
    }
    return []
  }

  static func refusal(of id: ActionID, _ argument: String, in model: AppModel) -> String? {
    id == .nullTest && model.special.facet == nil ? "there is no axis yet" : nil
  }

  /// The next cell of that name, where the axis has names.
  static func find(_ text: String, forward: Bool, in model: inout AppModel) -> [Effect]? {
    guard AppModel.expertNumber(text) == nil, model.special.facet?.isDenoising != true, let names = model.cellTable?.names, !names.isEmpty
    else { return nil }
    for offset in 1...names.count {
      let place = ((model.cell + (forward ? offset : -offset)) % names.count + names.count) % names.count
      if names[place].localizedCaseInsensitiveContains(text) {
        model.special.cell = place
        return []
      }
    }
    return nil
  }

  static func choices(for id: ActionID, in model: AppModel) -> [String]? { id == .axis ? model.facets.map(\.name) : nil }

  static func point(at place: Point, in area: Rect, of panel: PanelID, model: inout AppModel) -> [Effect] {
    switch panel {
    case .patches: model.point(atPatch: place, in: area)
    case .axes: model.pick(\.special.list, at: place, in: area, count: model.special.results.count)
    case .cells: return model.pointAtCell(place, in: area)
    default: break
    }
    return []
  }

  static func twin(of id: ActionID, _ argument: String, in model: AppModel) -> String? {
    func study(_ axis: String) -> String { "moetop analyze \(model.runReference) --metric specialization --by \(axis)" }
    switch id {
    case Self.id.action: return study((model.special.facet ?? model.facets.first)?.name ?? "domain")
    case .axis: return model.special.facet.map { study($0.name) }
    case .nullTest: return study(model.special.facet?.name ?? "domain") + " --null 1000"
    default: return nil
    }
  }

  // MARK: - Axes

  private static func nextAxis(_ model: inout AppModel) -> [Effect] {
    guard let next = model.nextFacet else { return model.missing("a run with tokens") }
    return turn(to: next, &model)
  }

  private static func setAxis(_ name: String, _ model: inout AppModel) -> [Effect] {
    if let facet = model.facets.first(where: { $0.name == name }) { return turn(to: facet, &model) }
    let missing = model.missingFacets
    model.say(
      missing.names.contains(name)
        ? "\(name): \(missing.reason)" : "there is no axis \(name); there are \(model.facets.map(\.name).joined(separator: ", "))", .warning
    )
    return []
  }

  static func turn(to facet: Facet, _ model: inout AppModel) -> [Effect] {
    guard facet != model.special.facet else { return [] }
    model.special.giveUpStudies()
    (model.special.facet, model.special.cell, model.special.cancelledAt) = (facet, 0, nil)
    return [.cancelWork(StudyQuery.lane)]
  }

  /// Forgets what is under way; answers to it are dropped.
  mutating func giveUpStudies() {
    (progress, aside) = (nil, nil)
    number += 1
  }

  // MARK: - In the background

  static func refresh(_ model: inout AppModel) -> [Effect] {
    guard let buffer = model.buffer, !buffer.isEmpty || buffer.hasCounts else { return [] }
    let facets = model.facets
    if model.special.facet == nil { model.special.facet = facets.first }
    let special = model.special
    guard let facet = special.facet, special.progress == nil, !model.isLoading else { return [] }
    let isStale = special.resultFacet != facet || AxisFigures(end: max(special.end, special.cancelledAt ?? 0)).isStale(at: buffer.end)
    if isStale { return model.study(facet, draws: max(200, special.resultFacet == facet ? special.draws : 200)) }
    guard model.showsAxes else { return [] }
    let other = facets.first { $0 != facet && special.axes[$0]?.isStale(at: buffer.end) != false }
    guard let other, special.aside == nil else { return [] }
    return model.study(other, draws: 200)
  }
}

extension AppModel {
  /// Axes this run can be looked at along.
  var facets: [Facet] {
    guard let buffer else { return [] }
    let keys = Set(buffer.sequences.flatMap(\.labels.keys)).sorted()
    let ordered = keys.filter { $0 == "domain" } + keys.filter { $0 != "domain" }
    let labels = ordered.map { Facet.label($0) } + buffer.tokenLabels.names.filter { !keys.contains($0) }.map { Facet.tokenLabel($0) }
    guard let layout = buffer.layout else { return labels + [.position, .tokenClass, .vocabulary] }
    return [.step] + (layout.patchCount > 1 ? [.patch, .patchRow, .patchColumn] : []) + labels
  }

  /// Axes this run cannot be looked at along, and why.
  var missingFacets: (names: [String], reason: String) {
    guard let layout else { return (Facet.denoising.map(\.name), "no timestep: not a denoising run") }
    let text = layout.patchCount > 1 ? [] : [Facet.patch.name]
    return (
      text + ([Facet.position] + Facet.ofTokens).map(\.name),
      layout.patchCount > 1 ? "no text: a denoising run" : "decided once a step; no text"
    )
  }

  /// The axis after the one looked at.
  var nextFacet: Facet? {
    let all = facets
    let place = special.facet.flatMap { all.firstIndex(of: $0) } ?? -1
    return all.isEmpty ? nil : all[(place + 1) % all.count]
  }

  /// Asks for a study; one that is under way is given up.
  mutating func study(_ facet: Facet, draws: Int) -> [Effect] {
    guard let buffer else { return [] }
    let (textOf, printable) = (buffer.textOfTokens, theme.glyphs.printable)
    let words: @Sendable (Int32) -> String? = { id in textOf(id).map { printable.bytes(Array($0.utf8)) } }
    var query = StudyQuery(
      facet: facet, strata: buffer.strata, routes: buffer.routes, counts: branchCounts, sequences: buffer.sequences,
      hasTokenIDs: !buffer.lacksIDs, words: words, draws: draws, end: buffer.end, number: special.number + 1)
    if case .tokenLabel(let label) = facet {
      let values = buffer.tokenLabels.values(of: label)
      (query.labels, query.hasTokenIDs) = (buffer.tokenLabels.numbers(of: label), true)
      query.words = { number in values.indices.contains(Int(number)) ? printable.bytes(Array(values[Int(number)].utf8)) : nil }
    }
    special.number += 1
    (special.progress, special.aside) = facet == special.facet ? ((0, draws), nil) : (nil, facet)
    return [.work(query)]
  }
}
