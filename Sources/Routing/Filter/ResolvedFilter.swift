// A filter at work on the decisions of one run: a pure function of rows, without memory, so that it says the same of a row in a stream, in a
// stored page and under a rule.

/// A filter with its thresholds known.
public struct ResolvedFilter: Sendable {
  public let filter: Filter
  /// With quantiles as shares.
  public let clauses: [Filter.Clause]
  public let context: FilterContext

  private let ofRouters: [Filter.Clause]
  private let ofTokens: [Filter.Clause]
  private let ofDecisions: [Filter.Clause]
  /// Terms that one assignment must meet together.
  private let ofAssignments: [FilterTerm]
  /// Each a term that no assignment may meet.
  private let ofNoAssignment: [FilterTerm]
  /// Of part texts, in lower case.
  private let parts: [String: [UInt8]]

  /// A filter as it was asked for, of what was filtered elsewhere: it says what passed, and lets routers pass. Quantiles stay quantiles.
  public init(asked filter: Filter, of context: FilterContext) { self.init(filter, clauses: filter.clauses, context: context) }

  init(_ filter: Filter, clauses: [Filter.Clause], context: FilterContext) {
    self.filter = filter
    self.clauses = clauses
    self.context = context
    func of(_ subject: FilterTerm.Subject) -> [Filter.Clause] { clauses.filter { $0.term.subject == subject } }
    (ofRouters, ofTokens, ofDecisions) = (of(.router), of(.token), of(.decision))
    ofAssignments = of(.assignment).filter { !$0.isNegated }.map(\.term)
    ofNoAssignment = of(.assignment).filter(\.isNegated).map(\.term)
    var parts: [String: [UInt8]] = [:]
    for clause in clauses { if case .textPart(let part) = clause.term { parts[part] = Array(part.lowercased().utf8) } }
    self.parts = parts
  }

  /// Whether the router passes its terms.
  public func admits(_ router: RouterID) -> Bool { ofRouters.allSatisfy { $0.term.holds(of: router) != $0.isNegated } }

  /// Whether a token passes its terms.
  /// - Parameter row: of the table.
  public func admits(token row: Int, of tokens: TokenTable) -> Bool {
    ofTokens.allSatisfy { holds($0.term, row, tokens) != $0.isNegated }
  }

  /// Whether a decision passes the terms of decisions and of assignments.
  /// - Parameter row: of the batch.
  public func admits(decision row: Int, of batch: RoutingBatch) -> Bool {
    for clause in ofDecisions where Self.holds(clause.term, row, batch) == clause.isNegated { return false }
    if ofAssignments.isEmpty && ofNoAssignment.isEmpty { return true }
    var isFound = ofAssignments.isEmpty
    for rank in 0..<batch.topK where batch.selectedExperts[row * batch.topK + rank] >= 0 {
      if ofNoAssignment.contains(where: { Self.holds($0, row, rank: rank, batch) }) { return false }
      if !isFound { isFound = ofAssignments.allSatisfy { Self.holds($0, row, rank: rank, batch) } }
    }
    return isFound
  }

  /// Whether a decision passes all terms.
  ///
  /// - Parameters:
  ///   - row: of the batch.
  ///   - tokens: the table that holds the batch's tokens.
  public func passes(_ row: Int, of batch: RoutingBatch, tokens: TokenTable) -> Bool {
    admits(batch.router) && admits(decision: row, of: batch) && admits(token: batch.firstToken - tokens.firstToken + row, of: tokens)
  }

  /// Whether a token is shown in a list: one of its decisions passes.
  /// - Parameter row: of the pass's table.
  public func shows(_ row: Int, of pass: RoutingPass) -> Bool {
    guard admits(token: row, of: pass.tokens) else { return false }
    if filter.looksAtTokensOnly { return true }
    return pass.batches.contains { batch in
      let own = pass.tokens.firstToken + row - batch.firstToken
      return (0..<batch.count).contains(own) && admits(batch.router) && admits(decision: own, of: batch)
    }
  }

  /// Which rows of a pass pass.
  ///
  /// - Complexity: each token's terms once, each decision's where router and token pass.
  public func selection(of pass: RoutingPass) -> FilterSelection {
    let tokens = pass.tokens
    let admitted = (0..<tokens.count).map { admits(token: $0, of: tokens) }
    var selection = FilterSelection(
      tokens: filter.looksAtTokensOnly ? admitted : Array(repeating: false, count: tokens.count), decisions: [])
    for batch in pass.batches {
      var own = Array(repeating: false, count: batch.count)
      let offset = batch.firstToken - tokens.firstToken
      if admits(batch.router) {
        for row in 0..<batch.count where admitted.indices.contains(offset + row) && admitted[offset + row] {
          guard admits(decision: row, of: batch) else { continue }
          own[row] = true
          selection.tokens[offset + row] = true
        }
      }
      selection.decisions.append(own)
    }
    return selection
  }

  // MARK: - Terms

  private func holds(_ term: FilterTerm, _ row: Int, _ tokens: TokenTable) -> Bool {
    switch term {
    case .position(let test): return test.holds(Int(tokens.position[row]))
    case .id(let test): return test.holds(Int(tokens.tokenID[row]))
    case .text(let wanted): return context.text(tokens.tokenID[row]).map { $0.utf8.elementsEqual(wanted.utf8) } ?? false
    case .textPart(let part):
      guard let text = context.text(tokens.tokenID[row]) else { return false }
      return Array(text.lowercased().utf8).contains(parts[part] ?? [])
    case .beginning: return context.beginningID.map { $0 == tokens.tokenID[row] } ?? (tokens.position[row] == 0)
    case .phase(let phases): return phases.contains(tokens.phase[row])
    case .surprisal(let test): return test.holds(Double(tokens.surprisal[row]))
    case .label(let name, let values):
      if let value = tokens.facts?.labels[name]?[row] { return values.contains(value) }
      let sequence = Int(tokens.sequence[row])
      guard context.sequences.indices.contains(sequence), let value = context.sequences[sequence].labels[name] else { return false }
      return values.contains(value)
    case .coordinate(let name, let test):
      return (tokens.facts?.coordinates[name]?[row] ?? context.coordinate(name, tokens.firstToken + row)).map(test.holds) ?? false
    case .place(let axis, let test):
      let position = Int(tokens.position[row])
      guard let layout = context.layout, tokens.phase[row] == .denoise, (0..<layout.rowsPerSample).contains(position) else { return false }
      return test.holds(axis.value(layout.place(at: position)))
    case .layer, .router, .entropy, .margin, .expert, .weight, .rank: return false
    }
  }

  private static func holds(_ term: FilterTerm, _ row: Int, _ batch: RoutingBatch) -> Bool {
    switch term {
    case .entropy(let comparison, let level):
      let nats = batch.routerEntropy[row]
      let share = normalizedEntropy(nats, experts: batch.expertCount)
      switch level {
      // A router with one expert is never uncertain, in nats neither.
      case .nats(let limit): return !share.isNaN && comparison.holds(Double(nats), limit)
      case .share(let limit), .quantile(let limit): return comparison.holds(Double(share), limit)
      }
    case .margin(let test): return test.holds(Double(batch.selectionMargin[row]))
    default: return false
    }
  }

  /// - Precondition: there is an expert at this rank.
  private static func holds(_ term: FilterTerm, _ row: Int, rank: Int, _ batch: RoutingBatch) -> Bool {
    let slot = row * batch.topK + rank
    switch term {
    case .expert(let test): return test.holds(Int(batch.selectedExperts[slot]))
    case .weight(let test): return test.holds(batch.dropped?[slot] == true ? 0 : Double(batch.routingWeights[slot]))
    case .rank(let test): return test.holds(rank)
    default: return false
    }
  }
}

extension FilterTerm {
  /// False for a term that is not of routers.
  func holds(of router: RouterID) -> Bool {
    switch self {
    case .layer(let test): test.holds(router.layer.rawValue)
    case .router(let globs): globs.contains { $0.matches(router.description) }
    default: false
    }
  }
}

extension [UInt8] {
  fileprivate func contains(_ part: [UInt8]) -> Bool {
    guard let first = part.first, part.count <= count else { return part.isEmpty }
    for start in 0...count - part.count where self[start] == first && self[start..<start + part.count].elementsEqual(part) { return true }
    return false
  }
}
