// What does the first line of a record in our own format say? Which routers there are, and by which rule each of them decides as far as whoever
// wrote it can say.

import Formats
import Routing

/// `{"moetop":"routing/1","row":"token","routers":[{"router","experts","top_k","rule"}]}`
struct MoetopLinesHeader: Equatable {
  struct Router: Equatable {
    var id: RouterID
    var experts: Int
    var topK: Int
    /// Nil: nothing is said of the rule.
    var spec: RouterSpec?

    /// Whether every row takes `topK` experts; nil where nobody knows.
    var fillsSlots: Bool? { spec?.fillsSlots }
  }

  static let version = "routing/1"
  /// Experts of a router beyond which it is none.
  private static let expertLimit = 1 << 20

  var row: RowKind
  var routers: [Router]

  init(_ line: JSONValue) throws(FormatError) {
    let version = try line.string("moetop")
    guard version == Self.version else {
      throw .unsupported(
        file: line.fileName, place: "moetop", found: "version \(version)", hint: "this version reads \(Self.version)")
    }
    row = .token
    if let word = try line.memberIfPresent("row") {
      guard let kind = RowKind(rawValue: try word.requireString()) else {
        throw word.unexpected(Self.words(RowKind.allCases.map(\.rawValue)))
      }
      row = kind
    }
    routers = []
    for element in try line.array("routers") {
      let path = try element.member("router", expected: "the path of a router")
      guard let id = RouterID(path: try path.requireString()) else { throw path.unexpected("the path of a router, such as \"ffn.3\"") }
      guard !routers.contains(where: { $0.id == id }) else { throw path.unexpected("each router once") }
      guard routers.count < MegatronReader.routerLimit else { throw element.unexpected("at most \(MegatronReader.routerLimit) routers") }
      let experts = try element.integer("experts", in: 1...Self.expertLimit)
      let topK = try element.integer("top_k", in: 1...experts)
      let rule = try element.memberIfPresent("rule")
      routers.append(
        Router(
          id: id, experts: experts, topK: topK,
          spec: try rule.map { (rule) throws(FormatError) in
            try Self.spec(rule, experts: experts, topK: topK)
          }))
    }
    guard !routers.isEmpty else { throw try line.member("routers").unexpected("at least one router") }
  }

  /// A rule as a trace stores it, or a word for how experts are taken.
  ///
  /// Of the words for what is known of a rule, `executable` says that experts are the best `topK` of a softmax, as most are.
  private static func spec(_ rule: JSONValue, experts: Int, topK: Int) throws(FormatError) -> RouterSpec {
    if rule.kind == .object { return try executable(rule, experts: experts, topK: topK) }
    let word = try rule.requireString()
    if word == RuleKnowledge.executable.rawValue {
      return RouterSpec(expertCount: experts, scoring: .softmax, selection: .tokenChoice(topK: topK))
    }
    let selection = word == RuleKnowledge.declared.rawValue ? .topK : StatedSelection(rawValue: word)
    guard let selection else {
      throw rule.unexpected(
        words(RuleKnowledge.allCases.prefix(2).map(\.rawValue) + StatedSelection.allCases.map(\.rawValue)) + ", or a rule")
    }
    return RouterSpec(expertCount: experts, scoring: .stated(.unknown), selection: .stated(selection, slots: topK))
  }

  private static func executable(_ rule: JSONValue, experts: Int, topK: Int) throws(FormatError) -> RouterSpec {
    guard let spec = try? TraceCoding.value(RouterSpec.self, from: rule.source), (try? spec.validate()) != nil else {
      throw rule.unexpected("a rule as traces store it")
    }
    guard spec.expertCount == experts, spec.topK == topK else {
      throw rule.unexpected("a rule that takes \(topK) of \(experts) experts")
    }
    return spec
  }

  private static func words(_ words: [String]) -> String { "one of " + words.joined(separator: ", ") }
}

/// One row: who it is, and where its decisions stand.
struct MoetopLine {
  /// Nil: the file is one sequence.
  var sequence: String?
  /// Nil: behind the row before.
  var position: Int?
  var token: Int32?
  var text: String?
  var request: Int64?
  var rank: Int64?
  /// Objects.
  private var labelObject: JSONValue?
  private var coordinateObject: JSONValue?
  /// By router: `{"ids","weights","logits"}`; nil: the row has none of it.
  private(set) var decisions: [JSONValue?]

  private static let positions = 0...Int(Int32.max) - 1

  /// - Parameter routers: numbers of routers by the spelling of their paths.
  init(_ line: JSONValue, routers: [String: Int]) throws(FormatError) {
    decisions = Array(repeating: nil, count: routers.count)
    for (key, value) in line.members where !value.isNull {
      guard let name = key.string else { continue }
      switch name {
      case "sequence":
        guard value.kind == .string || value.kind == .number, let text = value.scalarText else {
          throw value.unexpected("a number or a name")
        }
        sequence = text
      case "position": position = try value.requireInteger(in: Self.positions)
      case "token_id": token = Int32(try value.requireInteger(in: -1...Int(Int32.max)))
      case "text": text = try value.requireString()
      case "labels": labelObject = value
      case "coordinates": coordinateObject = value
      case "request": request = Int64(try value.requireInteger())
      case "rank": rank = Int64(try value.requireInteger())
      default:
        let id = RouterID(path: name)
        if let router = routers[name] ?? id.flatMap({ routers[$0.description] }) {
          guard value.kind == .object else { throw value.unexpected("an object with ids") }
          decisions[router] = value
        } else if id != nil {
          throw value.unexpected("nothing: the first line names no router \(name)")
        }
      }
    }
  }

  /// Values that are there.
  func labels() throws(FormatError) -> [String: String] {
    var labels: [String: String] = [:]
    guard let labelObject else { return labels }
    for (key, value) in try labelObject.requireObject() where !value.isNull {
      guard let name = key.string, let text = value.scalarText else { throw value.unexpected("a text, a number, true or false") }
      labels[name] = text
    }
    return labels
  }

  func coordinates() throws(FormatError) -> [String: Double] {
    var coordinates: [String: Double] = [:]
    guard let coordinateObject else { return coordinates }
    for (key, value) in try coordinateObject.requireObject() where !value.isNull {
      guard let name = key.string, let number = value.double else { throw value.unexpected("a number") }
      coordinates[name] = number
    }
    return coordinates
  }

  /// Elements of a list; nil: the row does not have it.
  func count(_ column: String, of router: Int) throws(FormatError) -> Int? {
    guard let list = try decisions[router]?.memberIfPresent(column) else { return nil }
    _ = try list.requireArray()
    return list.count
  }

  /// Numbers of a list; null is none.
  ///
  /// - Throws: `FormatError.value` where there are not `count` of them.
  func numbers(
    _ column: String, of router: Int, count: Int, _ what: String, mayBeInfinite: Bool = false
  ) throws(FormatError) -> [Float]? {
    guard let list = try decisions[router]?.memberIfPresent(column) else { return nil }
    var values: [Float] = []
    for element in try list.requireArray() {
      guard element.isNull || element.kind == .number else { throw element.unexpected("a number") }
      let number = element.double.map { Float($0) } ?? .nan
      guard !number.isInfinite || mayBeInfinite else { throw element.unexpected("a number that is finite in 32 bits") }
      values.append(number)
    }
    guard values.count == count else { throw list.unexpected("\(count) \(what)") }
    return values
  }

  /// Appends the ids of a row.
  func appendIDs(of router: Int, to ids: inout [Int32]) throws(FormatError) {
    if let list = try decisions[router]?.memberIfPresent("ids") { _ = try list.appendIDs(to: &ids) }
  }
}
