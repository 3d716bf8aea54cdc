// Routing as comma-separated values: one line per assignment, with the token's place and the decision's statistics on each, so that a
// spreadsheet needs no join. A cell is empty where a number is not recorded or not defined. Runs of images have five columns more.

import Formats
import Routing

extension TraceExport {
  static let routingColumns = [
    "run", "stack", "layer", "token", "sequence", "position", "token_id", "rank", "expert", "weight", "dropped", "entropy",
    "selection_margin", "top1_margin", "top_k_mass",
  ]

  /// What a run kept on request, behind all other columns.
  static func extraColumns(of recording: RecordingLevel) -> [String] {
    let extras = recording.extras
    return (extras.contains(.norms) ? ["norm"] : []) + (extras.contains(.shared) ? ["shared_weight"] : [])
      + (extras.isSuperset(of: [.norms, .shared]) ? ["shared_norm"] : []) + tokenColumns(of: recording)
  }

  static func tokenColumns(of recording: RecordingLevel) -> [String] {
    (recording.extras.contains(.passes) ? ["pass", "batch"] : []) + (recording.extras.contains(.predicted) ? ["predicted_id"] : [])
  }

  static let denoisingColumns = ["step", "timestep", "branch", "patch_row", "patch_column"]

  func writeRoutingCSV(to output: TextOutput) throws {
    let layout = run.description.denoising
    let order = try TokenOrder(trace: trace, run: run, rows: filteredRows())
    let extras = Self.extraColumns(of: run.description.recording)
    output.append((Self.routingColumns + (layout == nil ? [] : Self.denoisingColumns) + extras).joined(separator: ","))
    try output.endLine()
    try visit(order, withLogits: false) { pass, rows in
      for row in rows {
        let tokens = pass.tokens
        let step = try layout.map { "," + CSV.cells(try self.place(of: row, in: pass, $0), $0) } ?? ""
        let place = "\(tokens.firstToken + row),\(tokens.sequence[row]),\(tokens.position[row]),\(tokens.tokenID[row])"
        for batch in pass.batches {
          guard let mine = batch.row(row, of: pass), passes(mine, of: batch, in: pass) else { continue }
          let statistics = [batch.routerEntropy[mine], batch.selectionMargin[mine], batch.top1Margin[mine], batch.topKMass[mine]]
          let tail = statistics.map(CSV.cell).joined(separator: ",")
          for rank in 0..<batch.topK {
            let slot = mine * batch.topK + rank
            let expert = batch.selectedExperts[slot]
            if expert < 0 { continue }
            let isDropped = batch.dropped?[slot] == true
            output.append("\(run.id),\(batch.router.lane),\(batch.router.layer),\(place),\(rank),\(expert),")
            output.append("\(CSV.cell(isDropped ? 0 : batch.routingWeights[slot])),\(isDropped ? 1 : 0),\(tail)\(step)")
            for column in extras { output.append("," + CSV.extra(column, batch, mine: mine, slot: slot, tokens, row: row)) }
            try output.endLine()
          }
        }
      }
    }
  }
}

extension CSV {
  /// A cell of `TraceExport.extraColumns`.
  static func extra(_ column: String, _ batch: RoutingBatch, mine: Int, slot: Int, _ tokens: TokenTable, row: Int) -> String {
    func number(_ value: Int32?) -> String { value.map { $0 < 0 ? "" : String($0) } ?? "" }
    switch column {
    case "norm": return cell(batch.expertNorms?[slot] ?? .nan)
    case "shared_weight": return cell(batch.sharedWeight?[mine] ?? .nan)
    case "shared_norm": return cell(batch.sharedNorm?[mine] ?? .nan)
    case "pass": return number(tokens.pass?[row])
    case "batch": return number(tokens.batch?[row])
    default: return number(tokens.predictedID?[row])
    }
  }

  static func cells(_ place: DenoisingPlace, _ layout: DenoisingLayout) -> String {
    "\(place.step),\(layout.timesteps[place.step]),\(place.branch),\(place.patchRow),\(place.patchColumn)"
  }
}
