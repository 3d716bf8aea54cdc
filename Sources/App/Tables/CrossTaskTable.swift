// CrossTaskMoE (Ye, Zha and Ren 2022, arXiv:2205.12701): a task's embedding gives probabilities over the experts of every layer of encoder and
// decoder. The authors save them: `route.npy` [tasks, layers, experts] at the trained temperature, `route_t1.npy` at 1, layers of the encoder
// first, tasks in the order of their ontology. Layout: INK-USC/CrossTaskMoE@251fb95, run_v2.py (analyze) and modules/router_v2.py.
//
// | where | what |
// |---|---|
// | the array, or one called `route` | [tasks, layers, experts] |
// | settings `encoder_layers`, `decoder_layers` | there, or in the config.json beside the file; else half and half |
// | settings `tasks` | names, where the file has them |

import Analysis
import Formats
import Routing

extension TableSystem {
  static let crossTask = TableSystem(
    name: "crosstaskmoe", title: "CrossTaskMoE", paper: "2205.12701",
    reads: "route.npy, or an array route: [tasks, layers, experts], probabilities",
    isRecognised: { source in
      guard let route = CrossTaskTable.route(source), route.shape.count == 3, route.shape.allSatisfy({ $0 > 0 }) else { return false }
      return (try? CrossTaskTable.probabilities(route)) != nil
    },
    table: CrossTaskTable.table)
}

private enum CrossTaskTable {
  /// As far from 1 as a row of probabilities may sum that was saved in 16 bits.
  private static let sumTolerance = 1e-2

  static func route(_ source: TableSource) -> TableArray? {
    source.arrays(ending: "route").first ?? (source.arrays.count == 1 ? source.arrays.first { $0.words.isEmpty } : nil)
  }

  static func table(_ source: TableSource) throws -> RouteTable {
    guard let route = route(source) else {
      throw source.lacks("one array [tasks, layers, experts]", hint: "run_v2.py writes route.npy beside the checkpoint")
    }
    let shape = try route.require(rank: 3, "[tasks, layers, experts]").shape
    let (tasks, layers, experts) = (shape[0], shape[1], shape[2])
    try source.requireCells(shape, "\(tasks) tasks, \(layers) layers and \(experts) experts")
    let values = try probabilities(route)
    let (encoder, note) = try encoderLayers(source, of: layers)
    let names = source.names("tasks", count: tasks, else: "task")
    let rows = (0..<layers).flatMap { layer in
      let isEncoder = layer < encoder
      let router = RouterID(stack: isEncoder ? .encoder : .decoder, layer: isEncoder ? layer : layer - encoder)
      return (0..<tasks).map { task in
        let start = (task * layers + layer) * experts
        return RouteTable.Row(
          router, [.word(names[task]), .number(router.layer.rawValue)], weights: Array(values[start..<start + experts]))
      }
    }
    var table = RouteTable(.probability, axes: ["task", "layer"], rows: rows)
    table.facts = [
      ("tasks", "", .whole(tasks)), ("encoder_layers", "", .whole(encoder)), ("decoder_layers", "", .whole(layers - encoder)),
    ]
    table.notes = ["tasks stand in the order of the file, which is that of the ontology, not of id2task.json"]
    if let note { table.notes.append(note) }
    return table
  }

  /// All numbers, once every row is known to be one of probabilities.
  static func probabilities(_ route: TableArray) throws -> [Double] {
    let values = try route.numbers()
    let experts = route.shape[2]
    for start in stride(from: 0, to: values.count, by: experts) {
      let row = values[start..<start + experts]
      if let below = row.firstIndex(where: { $0 < 0 }) { throw route.unexpected("a probability", at: below, found: "\(values[below])") }
      let sum = row.reduce(0, +)
      guard abs(sum - 1) <= sumTolerance else {
        throw route.unexpected("a row of probabilities that sum to 1", at: start, found: "a sum of \(Show.fixed(sum, 4))")
      }
    }
    return values
  }

  /// Layers of the encoder, and what to say where the file does not.
  private static func encoderLayers(_ source: TableSource, of layers: Int) throws -> (Int, String?) {
    let folder = source.path.lastIndex(of: "/").map { String(source.path[...$0]) } ?? ""
    let beside = folder + "config.json"
    for file in [source, FileStatus.exists(beside) ? try TableSource(path: beside) : nil].compactMap(\.self) {
      guard let encoder = file.setting(ending: "encoder_layers")?.whole, let decoder = file.setting(ending: "decoder_layers")?.whole
      else { continue }
      guard encoder >= 0, decoder >= 0, encoder <= layers, decoder == layers - encoder else {
        throw FormatError.malformed(
          file: file.path, place: "encoder_layers, decoder_layers",
          problem: "expected \(layers) layers in all, found \(encoder) and \(decoder)",
          hint: "is this the configuration of \(source.path)?")
      }
      return (encoder, nil)
    }
    return (layers / 2, "the file does not say how many layers are the encoder's: half of \(layers) stand, as in BART")
  }
}
