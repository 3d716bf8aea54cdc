// A filter's text becomes its terms. Each word is read from left to right, and an error says at which character what was expected.

enum FilterParser {
  static func clauses(of text: String) throws(FilterError) -> [Filter.Clause] {
    var scanner = FilterScanner(text)
    var clauses: [Filter.Clause] = []
    scanner.skipSpaces()
    while scanner.next != nil {
      if let clause = try clause(&scanner) { clauses.append(clause) }
      guard scanner.isAtSpace else { throw scanner.failure("a space before the next term") }
      scanner.skipSpaces()
    }
    if clauses.isEmpty { throw scanner.failure("a term such as layer=3", found: "nothing") }
    return clauses
  }

  /// The next word; nil for an `and`, which joins terms as a space alone does.
  private static func clause(_ scanner: inout FilterScanner) throws(FilterError) -> Filter.Clause? {
    let start = scanner.place
    let isNegated = scanner.take("!")
    if isNegated && (scanner.isAtSpace || scanner.next == "!") { throw scanner.failure("a term behind '!'") }
    let nameStart = scanner.place
    let isQuoted = scanner.next == "\""
    var name = isQuoted ? try scanner.quoted() : scanner.word(until: ["=", "<", ">", "~", "\""])
    let isLabel = isQuoted || name.hasPrefix("label:")
    if isLabel && !isQuoted {
      name = name == "label:" && scanner.next == "\"" ? try scanner.quoted() : String(name.dropFirst("label:".count))
      if name.isEmpty { throw scanner.failure("the name of a label behind 'label:'") }
    }
    if scanner.isAtSpace {
      if name == "and" && !isNegated && !isLabel { return nil }
      if name == "or" && !isLabel {
        throw scanner.failure("a term; terms are joined by 'and', and values of one term by commas, as in expert=5,6", at: nameStart)
      }
      guard name == "bos" && !isLabel else {
        throw scanner.failure("a comparison right behind '\(name)', as in \(example(of: name, isLabel: isLabel))")
      }
      return Filter.Clause(term: .beginning, isNegated: isNegated, text: scanner.text(from: start), place: start)
    }
    if name.isEmpty && !isQuoted { throw scanner.failure("the name of a term, as in layer=3", at: nameStart) }
    if name.hasSuffix("!") && !isLabel {
      throw scanner.failure(
        "'!' in front of the whole term, as in !\(name.dropLast())=VALUE", at: nameStart + name.unicodeScalars.count - 1)
    }
    let sign = try Sign(&scanner, behind: name)
    let term = isLabel ? try label(name, sign, &scanner) : try term(name, sign, &scanner)
    return Filter.Clause(term: term, isNegated: isNegated, text: scanner.text(from: start), place: start)
  }

  private static func term(_ name: String, _ sign: Sign, _ scanner: inout FilterScanner) throws(FilterError) -> FilterTerm {
    switch name {
    case "layer": return .layer(try integers(name, sign, &scanner))
    case "expert": return .expert(try integers(name, sign, &scanner))
    case "rank": return .rank(try integers(name, sign, &scanner))
    case "position": return .position(try integers(name, sign, &scanner))
    case "id": return .id(try integers(name, sign, &scanner))
    case "margin": return .margin(try number(name, sign, &scanner))
    case "weight": return .weight(try number(name, sign, &scanner))
    case "surprisal": return .surprisal(try number(name, sign, &scanner))
    case "entropy": return try entropy(sign, &scanner)
    case "token": return try text(sign, &scanner)
    case "router": return .router(try list(name, sign, "a path such as ffn.3 or attn.*", &scanner).map { Glob($0.text) })
    case "phase": return try phase(sign, &scanner)
    case "bos": throw scanner.failure("a space: bos stands alone", found: sign.ahead, at: sign.place)
    case "and": throw scanner.failure("a term: 'and' joins two; a label of this name is label:and", found: sign.ahead, at: sign.place)
    default: break
    }
    if let axis = FilterTerm.PlaceAxis(rawValue: name) { return .place(axis, try integers(name, sign, &scanner)) }
    if name.hasPrefix("@") {
      guard name.count > 1 else { throw scanner.failure("the name of a coordinate behind '@'", found: sign.ahead, at: sign.place) }
      return .coordinate(String(name.dropFirst()), try number(name, sign, &scanner))
    }
    return try label(name, sign, &scanner)
  }

  // MARK: - Values

  private static func label(_ name: String, _ sign: Sign, _ scanner: inout FilterScanner) throws(FilterError) -> FilterTerm {
    guard sign.comparison == .equal else {
      throw scanner.failure(
        "= behind the label '\(name)' (compared are layer, entropy, margin, expert, weight, rank, position, id, surprisal, @NAME, step, "
          + "branch, patch-row, patch-column)", found: "'\(sign.text)'", at: sign.place)
    }
    return .label(name, try list(name, sign, "a value of the label '\(name)'", &scanner).map(\.text))
  }

  /// `a,"b c",d`
  private static func list(_ name: String, _ sign: Sign, _ expected: String, _ scanner: inout FilterScanner) throws(FilterError)
    -> [(text: String, place: Int)]
  {
    guard sign.comparison == .equal else { throw scanner.failure("= behind '\(name)'", found: "'\(sign.text)'", at: sign.place) }
    var values: [(text: String, place: Int)] = []
    repeat {
      let place = scanner.place
      let isQuoted = scanner.next == "\""
      let value = isQuoted ? try scanner.quoted() : scanner.word(until: [","])
      if value.isEmpty && !isQuoted { throw scanner.failure(expected, at: place) }
      values.append((value, place))
    } while scanner.take(",")
    return values
  }

  private static func integers(_ name: String, _ sign: Sign, _ scanner: inout FilterScanner) throws(FilterError) -> IntegerTest {
    guard let comparison = sign.comparison else {
      throw scanner.failure("= > < >= or <= behind '\(name)'", found: "'\(sign.text)'", at: sign.place)
    }
    guard comparison == .equal else {
      let place = scanner.place
      let word = scanner.word()
      guard let limit = integer(word) else { throw scanner.failure("a whole number", found: quoted(word), at: place) }
      return .compared(comparison, limit)
    }
    var ranges: [ClosedRange<Int>] = []
    repeat {
      let place = scanner.place
      let word = scanner.word(until: [","])
      let ends = word.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map { integer(String($0)) }
      guard let low = ends.first ?? nil, let high = ends.last ?? nil else {
        throw scanner.failure("whole numbers and ranges, as in \(name)=3-7,9", found: quoted(word), at: place)
      }
      guard low <= high else { throw scanner.failure("a range that rises", found: quoted(word), at: place) }
      ranges.append(low...high)
    } while scanner.take(",")
    return .within(ranges)
  }

  private static func number(_ name: String, _ sign: Sign, _ scanner: inout FilterScanner) throws(FilterError) -> NumberTest {
    guard let comparison = sign.comparison else {
      throw scanner.failure("= > < >= or <= behind '\(name)'", found: "'\(sign.text)'", at: sign.place)
    }
    let place = scanner.place
    let word = scanner.word()
    guard let limit = real(word) else { throw scanner.failure("a number, as in \(name)>0.2", found: quoted(word), at: place) }
    return NumberTest(comparison: comparison, limit: limit)
  }

  private static func entropy(_ sign: Sign, _ scanner: inout FilterScanner) throws(FilterError) -> FilterTerm {
    guard let comparison = sign.comparison else {
      throw scanner.failure("= > < >= or <= behind 'entropy'", found: "'\(sign.text)'", at: sign.place)
    }
    let place = scanner.place
    let word = scanner.word()
    let level: EntropyLevel?
    if word.hasSuffix("nat") {
      level = real(String(word.dropLast(3))).flatMap { $0 >= 0 ? .nats($0) : nil }
    } else if word.hasPrefix("q") {
      level = real(String(word.dropFirst())).flatMap { $0 > 0 && $0 < 1 ? .quantile($0) : nil }
    } else {
      level = real(word).flatMap { (0...1).contains($0) ? .share($0) : nil }
    }
    guard let level else {
      throw scanner.failure(
        "a share of ln E from 0 to 1 (0.9), nats (1.6nat) or a quantile of the run (q0.95)", found: quoted(word), at: place)
    }
    return .entropy(comparison, level)
  }

  private static func text(_ sign: Sign, _ scanner: inout FilterScanner) throws(FilterError) -> FilterTerm {
    if sign.comparison == .equal {
      guard scanner.next == "\"" else { throw scanner.failure("the text as a JSON string, as in token=\" the\", or token~part") }
      return .text(try scanner.quoted())
    }
    guard sign.text == "~" else { throw scanner.failure("= or ~ behind 'token'", found: "'\(sign.text)'", at: sign.place) }
    let place = scanner.place
    let part = scanner.next == "\"" ? try scanner.quoted() : scanner.word()
    if part.isEmpty { throw scanner.failure("a part of the token's text", found: "nothing", at: place) }
    return .textPart(part)
  }

  private static func phase(_ sign: Sign, _ scanner: inout FilterScanner) throws(FilterError) -> FilterTerm {
    let names = TokenPhase.allCases.map { "\($0)" }.joined(separator: ", ")
    var phases: Set<TokenPhase> = []
    for value in try list("phase", sign, names, &scanner) {
      guard let phase = TokenPhase.allCases.first(where: { "\($0)" == value.text }) else {
        throw scanner.failure(names, found: quoted(value.text), at: value.place)
      }
      phases.insert(phase)
    }
    return .phase(phases)
  }

  // MARK: - Small parts

  /// What stands between name and value.
  private struct Sign {
    let text: String
    let place: Int
    /// The rest of the word, the sign included, for messages.
    let ahead: String
    /// Nil for `~`.
    var comparison: Comparison? { Comparison(rawValue: text) }

    init(_ scanner: inout FilterScanner, behind name: String) throws(FilterError) {
      (place, ahead) = (scanner.place, scanner.ahead)
      if scanner.take("=") {
        text = "="
      } else if scanner.take("~") {
        text = "~"
      } else if scanner.take(">") {
        text = scanner.take("=") ? ">=" : ">"
      } else if scanner.take("<") {
        text = scanner.take("=") ? "<=" : "<"
      } else {
        throw scanner.failure("one of = > < >= <= ~ behind '\(name)'")
      }
    }
  }

  private static func quoted(_ word: String) -> String { word.isEmpty ? "nothing" : "'\(word)'" }

  private static func integer(_ word: String) -> Int? {
    !word.isEmpty && word.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(word) : nil
  }

  private static func real(_ word: String) -> Double? {
    guard word.utf8.allSatisfy({ (0x30...0x39).contains($0) || ".eE+-".utf8.contains($0) }) else { return nil }
    return Double(word).flatMap { $0.isFinite ? $0 : nil }
  }

  private static func example(of name: String, isLabel: Bool) -> String {
    let known = isLabel ? nil : Filter.terms.first { $0.completion == name || $0.form.hasPrefix(name + "~") }
    return known?.form ?? "\(isLabel ? "label:" : "")\(name)=VALUE"
  }
}
