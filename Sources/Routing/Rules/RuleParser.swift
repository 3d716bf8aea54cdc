// Reads the written form of rules. One pass over the characters; every error says at which of them, what may stand there and what does.

/// `RULE; RULE …`, RULE = `ACTION LAYERS[:EXPERTS][=VALUE] [if FILTER]`.
enum RuleParser {
  static func rules(of text: String) throws(RuleError) -> [RoutingRule] {
    var rules: [RoutingRule] = []
    for part in Filter.parts(of: text, separatedBy: ";") {
      var scanner = FilterScanner(part.text)
      scanner.skipSpaces()
      if scanner.next == nil { continue }
      do { rules.append(try rule(&scanner)) } catch FilterError.syntax(_, let place, let expected, let found) {
        throw .syntax(place: part.place + place + 1, expected: expected, found: found)
      } catch {
        throw .syntax(place: part.place + 1, expected: "a rule", found: "\(error)")
      }
    }
    return rules
  }

  private static func rule(_ scanner: inout FilterScanner) throws(FilterError) -> RoutingRule {
    let start = scanner.place
    let word = scanner.word(until: ["=", ":"])
    guard let form = forms[word] else { throw scanner.failure("one of \(actions)", found: "'\(word)'", at: start) }
    scanner.skipSpaces()
    let routers = try routers(&scanner)
    let colon = scanner.place
    if form.takesExperts != (scanner.next == ":") {
      throw scanner.failure(form.takesExperts ? "':' and the experts of \(word)" : "no experts behind the layers of \(word)")
    }
    let experts = scanner.take(":") ? try experts(&scanner) : .all
    let equals = scanner.place
    if (form.value != nil) != (scanner.next == "=") {
      throw scanner.failure(form.value.map { "'=' and \($0)" } ?? "no value: \(word) has none")
    }
    let value = scanner.take("=") ? try value(&scanner) : ""
    guard let action = form.make(experts, value) else {
      guard let expected = form.value else {
        throw scanner.failure("numbers of experts, such as 23,40", found: "'\(scanner.text(from: colon + 1))'", at: colon + 1)
      }
      throw value.isEmpty ? scanner.failure(expected, at: equals + 1) : scanner.failure(expected, found: "'\(value)'", at: equals + 1)
    }
    let written = scanner.text(from: start)
    scanner.skipSpaces()
    if scanner.next == nil { return RoutingRule(action: action, routers: routers, condition: nil, text: written) }
    let place = scanner.place
    let joint = scanner.word()
    guard joint == "if" else { throw scanner.failure("'if' and a filter, ';', or the end", found: "'\(joint)'", at: place) }
    return RoutingRule(action: action, routers: routers, condition: try condition(&scanner), text: scanner.text(from: start))
  }

  /// The rest of the rule, which is a filter; its errors are told in places of the rule.
  private static func condition(_ scanner: inout FilterScanner) throws(FilterError) -> Filter {
    scanner.skipSpaces()
    let start = scanner.place
    while scanner.next != nil {
      scanner.skipSpaces()
      _ = scanner.word()
    }
    do { return try Filter(parsing: scanner.text(from: start)) } catch FilterError.syntax(_, let place, let expected, let found) {
      throw scanner.failure(expected, found: found, at: start + place)
    }
  }

  // MARK: Targets

  private static func routers(_ scanner: inout FilterScanner) throws(FilterError) -> RouterSelector {
    let start = scanner.place
    let expected = "layers: all, numbers such as 0-3,7, or the path of a router such as ffn.3"
    let written = scanner.word(until: [":", "="])
    guard let first = written.first else { throw scanner.failure(expected, at: start) }
    if written == "all" { return .all }
    guard first.isWholeNumber else {
      guard written.allSatisfy({ $0.isLetter || $0.isNumber || "._-*?".contains($0) }), first.isLetter || first == "*" else {
        throw scanner.failure(expected, found: "'\(written)'", at: start)
      }
      return .path(Glob(written))
    }
    var ranges: [ClosedRange<Int>] = []
    var place = start
    for part in written.split(separator: ",", omittingEmptySubsequences: false) {
      let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { number($0) }
      guard (1...2).contains(ends.count), let low = ends.first ?? nil, let high = ends.last ?? nil, low <= high else {
        throw scanner.failure("a layer, or a range of layers such as 0-3", found: part.isEmpty ? nil : "'\(part)'", at: place)
      }
      ranges.append(low...high)
      place += part.count + 1
    }
    return .layers(ranges)
  }

  private static func experts(_ scanner: inout FilterScanner) throws(FilterError) -> ExpertSelector {
    var place = scanner.place
    let written = scanner.word(until: ["="])
    if written == "all" { return .all }
    if written.hasPrefix("top"), let count = number(written.dropFirst(3)) { return .best(count) }
    var ids: [Int] = []
    for part in written.split(separator: ",", omittingEmptySubsequences: false) {
      let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { number($0) }
      guard (1...2).contains(ends.count), let low = ends.first ?? nil, let high = ends.last ?? nil, low <= high, high - low < 1 << 16 else {
        throw scanner.failure(
          "experts: numbers and ranges such as 0-3,23, all, or top2", found: part.isEmpty ? nil : "'\(part)'", at: place)
      }
      for id in low...high {
        if ids.contains(id) { throw scanner.failure("each expert once", found: "\(id) again", at: place) }
        ids.append(id)
      }
      place += part.count + 1
    }
    return .ids(ids)
  }

  /// A word, or a JSON string with what follows it, for names with spaces and semicolons.
  private static func value(_ scanner: inout FilterScanner) throws(FilterError) -> String {
    scanner.next == "\"" ? try scanner.quoted() + scanner.word() : scanner.word()
  }

  /// Digits alone, at most what an index can be.
  private static func number(_ text: some StringProtocol) -> Int? {
    guard !text.isEmpty, text.count <= 9, text.allSatisfy({ $0.isASCII && $0.isWholeNumber }) else { return nil }
    return Int(text)
  }

  // MARK: Actions

  /// What stands behind the word of an action, and what it makes.
  private struct Form: Sendable {
    var takesExperts = false
    /// What its value is; nil: it has none.
    var value: String?
    /// The action of these experts and this value, which are empty where it has none; nil: they are none of it.
    var make: @Sendable (ExpertSelector, String) -> RuleAction?
  }

  private static let actions = "temperature, bias, mask, topk, force, swap, redraw, replay, capacity, broadcast, scale, shared"

  private static let forms: [String: Form] = [
    "temperature": Form(value: "a temperature above 0") { _, text in float(text).flatMap { $0 > 0 ? .temperature($0) : nil } },
    "bias": Form(value: "on or off") { _, text in isOn(text).map { .bias(isOn: $0) } },
    "mask": Form(takesExperts: true) { experts, _ in .mask(experts) },
    "topk": Form(value: "a number of experts such as 4, or a change such as +1") { _, text in
      if let sign = text.first, sign == "+" || sign == "-" {
        return number(text.dropFirst()).map { .topK(.by(sign == "+" ? $0 : -$0)) }
      }
      return number(text).flatMap { $0 > 0 ? .topK(.exactly($0)) : nil }
    },
    "force": Form(takesExperts: true) { experts, _ in if case .ids(let ids) = experts { .force(ids) } else { nil } },
    "swap": Form { _, _ in .swap },
    "redraw": Form(value: "uniform or router") { _, text in RedrawOdds(rawValue: text).map { .redraw($0) } },
    "replay": Form(value: "a run such as routing.db#2, with +weights behind it for its weights too") { _, text in
      let suffix = "+weights"
      let name = text.hasSuffix(suffix) ? String(text.dropLast(suffix.count)) : text
      return name.isEmpty ? nil : .replay(run: name, withWeights: name.count < text.count)
    },
    "capacity": Form(value: "a factor such as 1.25 or rows such as 32tok, then ,gshard ,switch ,priority or ,expert-choice") { _, text in
      capacity(text).map { .capacity($0) }
    },
    "broadcast": Form { _, _ in .broadcast },
    "scale": Form(takesExperts: true, value: "a factor") { experts, text in float(text).map { .scale(experts, $0) } },
    "shared": Form(value: "on or off") { _, text in isOn(text).map { .sharedExperts(isOn: $0) } },
  ]

  private static func capacity(_ text: String) -> CapacityChange? {
    let parts = text.split(separator: ",", maxSplits: 1, omittingEmptySubsequences: false)
    guard let order = parts.count == 1 ? .gshard : CapacityChange.Order(rawValue: String(parts[1])) else { return nil }
    if parts[0].hasSuffix("tok") { return number(parts[0].dropLast(3)).map { CapacityChange(limit: .tokens($0), order: order) } }
    guard let factor = Double(parts[0]), factor > 0, factor <= 1e9 else { return nil }
    return CapacityChange(limit: .factor(factor), order: order)
  }

  private static func float(_ text: String) -> Float? { Float(text).flatMap { $0.isFinite ? $0 : nil } }
  private static func isOn(_ text: String) -> Bool? { text == "on" ? true : text == "off" ? false : nil }
}
