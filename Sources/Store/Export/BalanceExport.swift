// Expert counts as balancers of expert parallelism read them: how often each logical expert was computed, a row for each router. DeepSeek's EPLB
// takes the rows of the layers that have experts (`weight`), SGLang those of all layers (`logical_count`); docs/contracts.md says which file goes
// where.

import Formats
import GRDB
import Routing

/// Counts of a run, ready for a balancer.
struct ExpertCounts {
  /// A row each, by path.
  let routers: [RouterID]
  let experts: Int
  /// `[routers][experts]`: assignments that were computed.
  let weight: [[Int64]]
  /// `[routers]`: assignments that an expert had no room for.
  let dropped: [Int]
  /// Rows that were counted, of the router that has most.
  let tokens: Int

  /// - Throws: `StoreError.unevenExperts` where routers have different numbers of experts; `.impossibleExport` where there is nothing to count.
  init(_ export: TraceExport) throws {
    let run = export.run
    var loads: [RouterID: (counts: [Int], dropped: Int, tokens: Int)] = [:]
    if let left = try export.filteredRows(sums: true) {
      loads = left.totals.filter { $0.value.tokens > 0 }.mapValues { ($0.counts, $0.dropped, $0.tokens) }
    } else {
      let totals = try export.trace.routerTotals(run: run.id)
      let counts = try export.trace.loads(run: run.id)
      for (id, total) in totals { loads[id] = (counts[id] ?? [], total.dropped, total.tokens) }
    }
    let routers = loads.keys.sorted()
    guard let first = routers.first else {
      throw StoreError.impossibleExport(problem: "run \(run.id) has no router whose experts could be counted")
    }
    let widths = routers.map { loads[$0]?.counts.count ?? 0 }
    if Set(widths).count > 1 {
      throw StoreError.unevenExperts(file: export.trace.file, run: run.id, routers: zip(routers, widths).map { "\($0) \($1)" })
    }
    self.routers = routers
    experts = loads[first]?.counts.count ?? 0
    weight = routers.map { (loads[$0]?.counts ?? []).map(Int64.init) }
    dropped = routers.map { loads[$0]?.dropped ?? 0 }
    tokens = loads.values.map(\.tokens).max() ?? 0
  }

  /// `[layers of the model][experts]`, zeros where a layer has no experts; nil where layers have several routers, or their number is not known.
  func byLayer(of model: ModelIdentity) -> [[Int64]]? {
    let layers = routers.map(\.layer.rawValue)
    guard Set(layers).count == layers.count, (1...1 << 16).contains(model.layerCount), layers.allSatisfy({ $0 < model.layerCount }) else {
      return nil
    }
    var all = Array(repeating: Array(repeating: Int64(0), count: experts), count: model.layerCount)
    for (layer, row) in zip(layers, weight) { all[layer] = row }
    return all
  }
}

extension TraceExport {
  /// Ends of names of files with expert counts: what is in them follows.
  private static let arrayEnding = ".npy"

  /// Writes `moetop.eplb/1`, or the bare array where the file is a .npy.
  func writeExpertCounts(to output: ExportOutput) throws {
    if case .file(let path) = output {
      guard path.hasSuffix(".json") || path.hasSuffix(Self.arrayEnding) || path.hasPrefix("/dev/") else {
        throw StoreError.impossibleExport(
          problem: "\(path): eplb is written as .json or \(Self.arrayEnding), and the name says which; expected one of these endings")
      }
      if path.hasSuffix(Self.arrayEnding) { return try NPYFile.write(try ExpertCounts(self).weight, to: path) }
    }
    let counts = try ExpertCounts(self)
    let text = try TextOutput(output)
    text.append(json(of: counts).bytes)
    try text.endLine()
    try text.finish()
  }

  private func json(of counts: ExpertCounts) -> JSONWriter {
    var json = JSONWriter()
    json.object { json in
      json.member("schema", "moetop.eplb/1")
      json.member("run", run.id)
      json.member("model", run.description.model.name)
      json.member("model_hash", run.description.model.filesHash.isEmpty ? nil : run.description.model.filesHash)
      json.member("filter", filter?.filter.text)
      json.member("intervention", run.description.intervention)
      json.member("unit", "assignments")
      json.member("n", counts.tokens)
      json.member("n_of", run.description.origin.row.words)
      json.member("experts", counts.experts)
      json.member("layers", counts.routers.map(\.layer.rawValue))
      json.member("routers", counts.routers.map(\.description))
      json.member("assignments", counts.weight.map { $0.reduce(0, +) })
      json.member("dropped", counts.dropped)
      json.member("weight", counts.weight)
      json.member("logical_count", counts.byLayer(of: run.description.model))
    }
    return json
  }
}

extension TraceReader {
  /// Rows that each router decided on, and assignments that were dropped, of the whole run.
  func routerTotals(run: Int64) throws -> [RouterID: (tokens: Int, dropped: Int)] {
    try read { db in
      var totals: [RouterID: (tokens: Int, dropped: Int)] = [:]
      let sql = "SELECT stack, layer, token_count, dropped FROM router WHERE run = ?"
      for row in try Row.fetchAll(db, sql: sql, arguments: [run]) {
        guard let id = RouterID(lane: try row.value(0), layer: try row.count(1)) else { continue }
        totals[id] = (try row.count(2), try row.count(3))
      }
      return totals
    }
  }
}
