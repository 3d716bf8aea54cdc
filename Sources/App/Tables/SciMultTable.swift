// SciMult (Zhang et al. 2023, arXiv:2305.14232): a kind of task has its expert, in every block that has experts; query and candidate are
// named apart. The map is Python (EXPERT_CONFIG_TO_MAP of src/eval_helper.py), so a checkpoint says how many experts lie in which layers and
// its `encoder_params` what they should be; the map dumped as JSON says the rest. Layout: yuzhimanhua/SciMult@109c96e, src/eval_helper.py and
// src/taser/models/moe_models.py.
//
// | where | what |
// |---|---|
// | settings `N-expert`.TASK.`query`, `ctx` | the map, of a JSON file |
// | settings `encoder_params`.`num_expert`, `moe_type` | experts, and the layers that have them: `mod3:fwd` |
// | tensors `…layer.N.moe_layer.interm_layers.E…`, `…attention.self.moe_query.E…` | experts that are there |

import Analysis
import Formats
import Routing

extension TableSystem {
  static let sciMult = TableSystem(
    name: "scimult", title: "SciMult", paper: "2305.14232",
    reads: "a checkpoint with encoder_params and layers moe_layer, or EXPERT_CONFIG_TO_MAP as JSON: {\"3-expert\": {TASK: {query, ctx}}}",
    isRecognised: { !SciMultTable.maps($0).isEmpty || !SciMultTable.places($0).isEmpty },
    table: SciMultTable.table)
}

private enum SciMultTable {
  struct Entry: Hashable {
    var task: String
    /// `query` or `ctx`.
    var input: String
  }

  /// What eval_helper.py has, by the number of experts: classification (entity), link prediction (multi-hop), search (single-hop).
  private static let published: [Int: [(task: String, expert: Int)]] = [
    3: [("single-hop-retrieval", 0), ("multi-hop-retrieval", 1), ("entity-retrieval", 2)]
  ]
  private static let inputs = ["query", "ctx"]
  /// Which layers the words of `moe_type` give experts.
  private static let layerRules: [String: @Sendable (Int) -> Bool] = [
    "mod2": { ($0 + 1) % 2 == 0 }, "mod3": { ($0 + 1) % 3 == 0 }, "mod4": { ($0 + 1) % 4 == 0 }, "mod6": { ($0 + 1) % 6 == 0 },
    "mod12": { ($0 + 1) % 12 == 0 }, "ge6mod3": { $0 >= 5 && ($0 + 1) % 3 == 0 }, "le7mod3": { $0 <= 6 && $0 % 3 == 0 },
  ]

  static func table(_ source: TableSource) throws -> RouteTable {
    let (maps, places) = (maps(source), places(source))
    guard maps.count <= 1 else {
      throw FormatError.malformed(
        file: source.path, place: "content", problem: "expected one map, found those of \(maps.keys.sorted()) experts",
        hint: "keep the one of the model")
    }
    guard let experts = maps.keys.first ?? source.setting(ending: "num_expert")?.whole ?? places.values.map(\.count).max() else {
      throw source.lacks(
        "a map {\"N-expert\": {TASK: {\"query\": E, \"ctx\": E}}}, or a checkpoint of SciMult", hint: "json.dump writes the map")
    }
    guard experts > 1, let map = maps.values.first ?? publishedMap(of: experts) else {
      throw FormatError.unsupported(
        file: source.path, place: "num_expert", found: "a model of \(experts) experts, of which no map is published,",
        hint: "dump its EXPERT_CONFIG_TO_MAP as JSON")
    }
    let routers = places.isEmpty ? [RouterID(stack: .alone, layer: 0)] : places.keys.sorted()
    try source.requireCells(
      [routers.count, map.count, experts], "\(map.count) inputs, \(routers.count) layers, \(experts) experts")
    var rows: [RouteTable.Row] = []
    for (entry, chosen) in map {
      guard (0..<experts).contains(chosen) else {
        throw FormatError.value(
          file: source.path, path: "\(experts)-expert.\(entry.task).\(entry.input)", expected: "an expert, 0 to \(experts - 1)",
          found: "\(chosen)")
      }
      rows += routers.map { RouteTable.Row($0, [.word(entry.task), .word(entry.input)], chosen: chosen, of: experts) }
    }
    var table = RouteTable(.none, axes: ["task", "input"], rows: rows)
    let differences = differences(of: map, given: !maps.isEmpty, experts: experts) + differences(of: places, source, experts: experts)
    table.facts = [
      ("equals_configuration", "the published map, and experts where the checkpoint's settings put them", .flag(differences.isEmpty)),
      ("differences", "", .words(differences)),
    ]
    table.notes = ["a rule: the task names the expert, nothing is weighed; an even draw would name it in 1 of \(experts)"]
    if maps.isEmpty { table.notes.append("a checkpoint has no map: that of src/eval_helper.py for \(experts) experts stands") }
    if source.setting(ending: "use_infer_expert")?.flag == true {
      table.notes.append("use_infer_expert: without an expert_id a gate chooses from the text, which no table holds")
    }
    return table
  }

  // MARK: The map

  /// Maps by their number of experts, in the order of the file.
  static func maps(_ source: TableSource) -> [Int: [(Entry, Int)]] {
    var found: [Int: [(Entry, Int)]] = [:]
    for (words, value) in source.settings where words.count >= 3 {
      let key = words[words.count - 3].split(separator: "-")
      guard key.count == 2, key[1] == "expert", let experts = Int(key[0]), let expert = value.whole, let input = words.last,
        inputs.contains(input)
      else { continue }
      found[experts, default: []].append((Entry(task: words[words.count - 2], input: input), expert))
    }
    return found
  }

  private static func publishedMap(of experts: Int) -> [(Entry, Int)]? {
    published[experts]?.flatMap { task, expert in inputs.map { (Entry(task: task, input: $0), expert) } }
  }

  private static func differences(of map: [(Entry, Int)], given: Bool, experts: Int) -> [String] {
    guard given, let expected = publishedMap(of: experts) else { return [] }
    let (map, wanted) = (Dictionary(map) { $1 }, Dictionary(expected) { $1 })
    let names = Set(map.keys).union(wanted.keys).sorted { ($0.task, $0.input) < ($1.task, $1.input) }
    func words(_ expert: Int?) -> String { expert.map { "expert \($0)" } ?? "nothing" }
    return names.filter { map[$0] != wanted[$0] }.map {
      "\($0.task), \($0.input): \(words(map[$0])), published \(words(wanted[$0]))"
    }
  }

  // MARK: The checkpoint

  /// Experts that lie in the file, by router: of networks (`ffn`) and of attention (`attn`). Both encoders of a pair are one where shared.
  static func places(_ source: TableSource) -> [RouterID: Set<Int>] {
    var found: [RouterID: Set<Int>] = [:]
    for words in source.arrays.map(\.words) {
      guard let at = words.lastIndex(of: "layer"), at + 4 < words.count, let layer = words[at + 1].placeInName else { continue }
      let rest = words[(at + 2)...]
      let list = rest.firstIndex { ["interm_layers", "moe_query"].contains($0) }
      guard let list, list + 1 < words.count, let expert = words[list + 1].placeInName else { continue }
      found[RouterID(stack: words[list] == "moe_query" ? .attention : .feedForward, layer: layer), default: []].insert(expert)
    }
    return found
  }

  private static func differences(of places: [RouterID: Set<Int>], _ source: TableSource, experts: Int) -> [String] {
    guard !places.isEmpty else { return [] }
    var found = places.sorted { $0.key < $1.key }.filter { $0.value != Set(0..<experts) }.map {
      "\($0.key): experts \(LayerRanges.text($0.value.sorted())), configured 0-\(experts - 1)"
    }
    guard let type = source.setting(ending: "moe_type")?.text, let rule = layerRules[String(type.prefix { $0 != ":" })] else {
      return found
    }
    let depth = (source.arrays.compactMap { layer(of: $0.words) }.max() ?? -1) + 1
    let has = Set(places.keys.map(\.layer.rawValue))
    let wanted = Set((0..<depth).filter(rule))
    if has != wanted {
      found.append("layers with experts \(LayerRanges.text(has.sorted())), \(type) says \(LayerRanges.text(wanted.sorted()))")
    }
    return found
  }

  private static func layer(of words: [String]) -> Int? {
    words.lastIndex(of: "layer").flatMap { $0 + 1 < words.count ? words[$0 + 1].placeInName : nil }
  }
}
