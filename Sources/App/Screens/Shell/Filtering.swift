// The filter of `f` and of the palette: the grammar of `--filter`, held against the run that is open. A token is shown when one of its
// decisions passes.

import Analysis
import Routing
import Terminal

extension AppModel {
  /// Takes a filter; the empty text takes it away. What is wrong with it is said in the footer, and the filter of before stays.
  mutating func setFilter(_ text: String) -> [Effect] {
    do {
      let parsed = text.allSatisfy(\.isWhitespace) ? nil : try Filter(parsing: text)
      if let parsed, let buffer { _ = try resolved(parsed, in: buffer, isGrowing: isLive) }
      filter = parsed
      states.filterAll()
      say(filter == nil ? "filter off" : "filter: \(text)")
    } catch {
      say(Failure.message(of: error), .error)
    }
    return []
  }

  /// Whether a token is shown, as a function: the filter is made ready once for many rows.
  var admits: (Int) -> Bool {
    guard let filter, let buffer else { return { _ in true } }
    // What the filter names was looked for when it was set; sequences that come later may bring its labels.
    guard let ready = try? resolved(filter, in: buffer, isGrowing: true) else { return { _ in false } }
    return { buffer.rows.contains($0) && buffer.shows($0, ready) }
  }

  func isAdmitted(_ row: Int) -> Bool { admits(row) }

  private func resolved(_ filter: Filter, in buffer: RoutingBuffer, isGrowing: Bool) throws -> ResolvedFilter {
    var beginning: Int32?
    var hasWeights = true
    switch source {
    case .live(let summary): beginning = summary.beginningToken
    case .trace(let run, _, _):
      beginning = run.description.beginningToken
      hasWeights = run.description.recording.content >= .weights
    case .nothing, .opening: break
    }
    if buffer.lacksIDs { beginning = nil }
    let context = FilterContext(
      routers: buffer.routers, sequences: buffer.sequences, layout: buffer.layout, beginningID: beginning,
      hasTexts: isLive || buffer.hasTexts, hasIDs: !buffer.lacksIDs, hasWeights: hasWeights, isGrowing: isGrowing, text: buffer.textOfTokens
    )
    return try filter.resolved(in: context) { q in
      if let known = knownQuantiles, known.end == buffer.end, let value = known.values[q] { return value }
      return buffer.pooledEntropy.lowerEdge(ofQuantile: q)
    }
  }

  /// The quantiles that the filter names, of the run so far, so that a frame does not pool all histograms again.
  var filterQuantiles: (values: [Double: Double], end: Int)? {
    guard let filter, let buffer, !filter.entropyQuantiles.isEmpty else { return nil }
    if let known = knownQuantiles, known.end == buffer.end, filter.entropyQuantiles.isSubset(of: known.values.keys) { return known }
    let pooled = buffer.pooledEntropy
    let values = filter.entropyQuantiles.map { ($0, pooled.lowerEdge(ofQuantile: $0) ?? 1) }
    return (Dictionary(uniqueKeysWithValues: values), buffer.end)
  }

  // MARK: - Words

  /// The terms that this run can have and that begin as the last word of a filter does, with labels of the run as they are called.
  func filterTerms(_ text: String) -> [Filter.TermHelp] {
    let word = Self.lastWord(text).word
    let labels = Set(buffer?.sequences.flatMap(\.labels.keys) ?? []).sorted().map {
      Filter.TermHelp(form: "\($0)=VALUE", subject: .token, meaning: "label of the sequence")
    }
    let kind = kind
    var terms = Filter.terms.filter { term in
      kind.admits(term) && term.form.first != "@" && !term.form.hasPrefix("LABEL")
    }
    for label in labels where !terms.contains(where: { $0.completion == label.completion }) { terms.append(label) }
    return terms.filter { word.isEmpty || $0.form.hasPrefix(word) || word.hasPrefix($0.completion) }
  }

  /// Whole texts that a filter could become: the last word completed to the name of a term, or to a value of a label.
  func filterCompletions(_ text: String) -> [String] {
    let (head, word) = Self.lastWord(text)
    if let sign = word.firstIndex(of: "=") {
      let label = String(word[..<sign])
      let values = Set(buffer?.sequences.compactMap { $0.labels[label] } ?? []).sorted()
      return values.map { "\(label)=\($0)" }.filter { $0.hasPrefix(word) && $0 != word }.map { head + $0 }
    }
    var names: [String] = []
    for name in filterTerms(text).map(\.completion) where name.hasPrefix(word) && name != word && !names.contains(name) {
      names.append(name)
    }
    return names.map { head + $0 }
  }

  /// What stands before the last word of a filter, its `!` included, and the word.
  private static func lastWord(_ text: String) -> (head: String, word: String) {
    let start = text.lastIndex(of: " ").map { text.index(after: $0) } ?? text.startIndex
    let word = text[start...]
    let bang = word.hasPrefix("!") ? 1 : 0
    return (String(text[..<start]) + word.prefix(bang), String(word.dropFirst(bang)))
  }
}
