// VLMo (Bao et al. 2022, arXiv:2111.02358): the modality names the expert. Text alone goes through the language expert of every block and an
// image alone through the vision expert; of a pair the first `max_text_len` tokens are text and the rest the image, up to the block from
// which one expert serves both. Layout: microsoft/unilm, vlmo/modules/multiway_transformer.py, Block.forward and MultiWayTransformer.
//
// | where | what |
// |---|---|
// | tensors `…blocks.N.mlp_text…`, `…mlp_imag…`, `…mlp_vl…` | the experts that block N has |
// | `…text_embeddings.position_ids` | its length is max_text_len |
// | settings `depth`, `vlffn_start_layer_index`, or `model_arch` | the same without weights |

import Analysis
import Formats
import Routing

extension TableSystem {
  static let vlmo = TableSystem(
    name: "vlmo", title: "VLMo", paper: "2111.02358",
    reads: "tensors …blocks.N.mlp_text… and mlp_imag…, or JSON with model_arch, or depth and vlffn_start_layer_index",
    isRecognised: { source in
      source.arrays.contains { VLMoTable.expert(of: $0) == 0 } && source.arrays.contains { VLMoTable.expert(of: $0) == 1 }
        || source.setting(ending: "vlffn_start_layer_index") != nil || VLMoTable.published(source) != nil
    },
    table: VLMoTable.table)
}

private enum VLMoTable {
  static let experts = ["language", "vision", "vision-language"]
  private static let modules = ["mlp_text", "mlp_imag", "mlp_vl"]
  /// Blocks, and the first with an expert for both.
  typealias Plan = (depth: Int, first: Int)
  /// The architectures that multiway_transformer.py registers.
  private static let architectures: [String: Plan] = [
    "vlmo_base_patch16": (12, 10), "vlmo_large_patch16": (24, 21), "vlmo_base_plus_patch16": (24, 21),
  ]
  private static let usualTextLength = 40
  /// What an input is, and the expert of its tokens below and from the first shared block.
  private static let modalities = [("text", 0, 0), ("image", 1, 1), ("text of a pair", 0, 2), ("image of a pair", 1, 2)]

  static func table(_ source: TableSource) throws -> RouteTable {
    let plan = try plan(source)
    try source.requireCells([plan.depth, modalities.count, experts.count], "\(plan.depth) blocks")
    let rows = modalities.flatMap { name, below, above in
      (0..<plan.depth).map { layer in
        RouteTable.Row(
          RouterID(layer: layer), [.word(name), .number(layer)], chosen: layer < plan.first ? below : above, of: experts.count)
      }
    }
    var table = RouteTable(.none, axes: ["modality", "layer"], experts: experts, rows: rows)
    let length = try textLength(source)
    table.facts = [
      ("switch_layer", "first layer with one expert for both", plan.first < plan.depth ? .whole(plan.first) : .missing),
      ("depth", "", .whole(plan.depth)), ("max_text_len", "tokens of a pair that are text", .whole(length ?? usualTextLength)),
    ]
    table.notes = ["a rule: the modality names the expert, nothing is weighed; an even draw would name it in 1 of \(experts.count)"]
    if length == nil { table.notes.append("the file does not say where the text of a pair ends: \(usualTextLength), as published, stands") }
    return table
  }

  /// The expert whose tensor this is.
  static func expert(of array: TableArray) -> Int? { place(of: array)?.expert }

  private static func place(of array: TableArray) -> (layer: Int, expert: Int)? {
    guard let at = array.words.lastIndex(of: "blocks"), at + 2 < array.words.count, let layer = array.words[at + 1].placeInName,
      let expert = modules.firstIndex(of: array.words[at + 2])
    else { return nil }
    return (layer, expert)
  }

  /// The architecture that the file names.
  static func published(_ source: TableSource) -> Plan? { source.setting(ending: "model_arch")?.text.flatMap { architectures[$0] } }

  private static func plan(_ source: TableSource) throws -> Plan {
    var found: [Int: Set<Int>] = [:]
    for place in source.arrays.compactMap(place) { found[place.layer, default: []].insert(place.expert) }
    return found.isEmpty ? try configured(source) : try stored(found, source)
  }

  /// What the tensors say: every block has both experts, and those with a third are the last ones.
  private static func stored(_ found: [Int: Set<Int>], _ source: TableSource) throws -> Plan {
    let first = (0..<found.count).first { found[$0]?.contains(2) == true } ?? found.count
    for layer in 0..<found.count {
      let expected = [0, 1] + (layer >= first ? [2] : [])
      let has = found[layer, default: []].sorted()
      guard has == expected else {
        func words(_ numbers: [Int]) -> String { numbers.isEmpty ? "none of them" : numbers.map { modules[$0] }.joined(separator: ", ") }
        throw FormatError.malformed(
          file: source.path, place: "blocks.\(layer)", problem: "expected \(words(expected)), found \(words(has))",
          hint: "mlp_vl is in the last blocks alone, the others in all")
      }
    }
    return (found.count, first)
  }

  private static func configured(_ source: TableSource) throws -> Plan {
    let (depth, first) = (source.setting(ending: "depth"), source.setting(ending: "vlffn_start_layer_index"))
    guard depth != nil || first != nil else {
      // Pre-training on text alone builds no expert for both.
      let isTextAlone = (source.setting(ending: "loss_names", "textmlm")?.whole ?? 0) > 0
      if let published = published(source) { return isTextAlone ? (published.depth, published.depth) : published }
      throw source.lacks(
        "tensors blocks.N.mlp_text…, or the settings depth and vlffn_start_layer_index, or model_arch",
        hint: "known to model_arch: \(architectures.keys.sorted().joined(separator: ", "))")
    }
    guard let depth = depth?.whole, depth > 0 else { throw unexpected(source, "depth", "a number of blocks", depth) }
    guard let first = first?.whole, (0...depth).contains(first) else {
      throw unexpected(source, "vlffn_start_layer_index", "0 to \(depth), the depth", first)
    }
    return (depth, first)
  }

  private static func unexpected(_ source: TableSource, _ key: String, _ expected: String, _ found: TableSource.Setting?) -> FormatError {
    found.map { .value(file: source.path, path: key, expected: expected, found: $0.shown) }
      ?? .missing(file: source.path, path: key, expected: expected)
  }

  private static func textLength(_ source: TableSource) throws -> Int? {
    if let stored = source.arrays(ending: "text_embeddings", "position_ids").first?.shape.last { return stored }
    guard let setting = source.setting(ending: "max_text_len") else { return nil }
    guard let length = setting.whole, length >= 0 else { throw unexpected(source, "max_text_len", "a number of tokens", setting) }
    return length
  }
}
