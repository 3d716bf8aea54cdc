// Routing as comma-separated values: one line per assignment, with the token's place and the decision's statistics on each, so that a
// spreadsheet needs no join. A cell is empty where a number is not recorded or not defined. Runs of images have five columns more.

import Formats
import Routing

extension TraceExport {
  static let routingColumns = [
    "run", "stack", "layer", "token", "sequence", "position", "token_id", "rank", "expert", "weight", "dropped", "entropy",
    "selection_margin", "top1_margin", "top_k_mass",
  ]

  static let denoisingColumns = ["step", "timestep", "branch", "patch_row", "patch_column"]

  func writeRoutingCSV(to output: TextOutput) throws {
    let layout = run.description.denoising
    let order = try TokenOrder(trace: trace, run: run, rows: filteredRows())
    output.append((Self.routingColumns + (layout == nil ? [] : Self.denoisingColumns)).joined(separator: ","))
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
            output.append("\(run.id),\(batch.router.stack.rawValue),\(batch.router.layer),\(place),\(rank),\(expert),")
            output.append("\(CSV.cell(isDropped ? 0 : batch.routingWeights[slot])),\(isDropped ? 1 : 0),\(tail)\(step)")
            try output.endLine()
          }
        }
      }
    }
  }
}

extension CSV {
  static func cells(_ place: DenoisingPlace, _ layout: DenoisingLayout) -> String {
    "\(place.step),\(layout.timesteps[place.step]),\(place.branch),\(place.patchRow),\(place.patchColumn)"
  }
}
