// Routing as JSON lines: one object per decision. A key is left out where nothing was recorded or defined.

import Formats
import Routing

extension TraceExport {
  func writeRoutingJSONLines(to output: TextOutput) throws {
    let order = try TokenOrder(trace: trace, run: run, rows: filteredRows())
    let recording = run.description.recording
    try visit(order, withLogits: recording.content == .full) { pass, rows in
      for row in rows {
        for batch in pass.batches {
          guard let mine = batch.row(row, of: pass), passes(mine, of: batch, in: pass) else { continue }
          output.append(try decision(pass, row: row, batch, mine: mine))
          try output.endLine()
        }
      }
    }
  }

  private func decision(_ pass: RoutingPass, row: Int, _ batch: RoutingBatch, mine: Int) throws -> [UInt8] {
    let tokens = pass.tokens
    let layout = run.description.denoising
    let place = try layout.map { try self.place(of: row, in: pass, $0) }
    let slots = (mine * batch.topK..<(mine + 1) * batch.topK).filter { batch.selectedExperts[$0] >= 0 }
    var json = JSONWriter()
    json.object {
      $0.member("run", run.id)
      $0.member("stack", batch.router.lane)
      $0.member("layer", batch.router.layer.rawValue)
      if batch.router.lane != batch.router.stack.rawValue { $0.member("router", batch.router.description) }
      $0.member("token", tokens.firstToken + row)
      $0.member("sequence", tokens.sequence[row])
      $0.member("position", tokens.position[row])
      $0.member("token_id", tokens.tokenID[row])
      if let layout, let place {
        $0.member("step", place.step)
        $0.member("timestep", layout.timesteps[place.step])
        $0.member("branch", place.branch)
        $0.member("patch_row", place.patchRow)
        $0.member("patch_column", place.patchColumn)
      }
      $0.member("experts", slots.map { batch.selectedExperts[$0] })
      if run.description.recording.content >= .weights {
        $0.member("weights", slots.map { batch.dropped?[$0] == true ? 0 : batch.routingWeights[$0] })
      }
      if let dropped = batch.dropped, slots.contains(where: { dropped[$0] }) { $0.member("dropped", slots.map { dropped[$0] }) }
      let statistics = [
        ("entropy", batch.routerEntropy[mine]), ("selection_margin", batch.selectionMargin[mine]), ("top1_margin", batch.top1Margin[mine]),
        ("top_k_mass", batch.topKMass[mine]),
      ]
      for (name, value) in statistics where !value.isNaN { $0.member(name, value) }
      if let norms = batch.expertNorms { $0.member("norms", slots.map { norms[$0] }) }
      for (name, column) in [("shared_weight", batch.sharedWeight), ("shared_norm", batch.sharedNorm)] {
        if let value = column?[mine], !value.isNaN { $0.member(name, value) }
      }
      for (name, column) in [("pass", tokens.pass), ("batch", tokens.batch), ("predicted_id", tokens.predictedID)] {
        if let value = column?[row], value >= 0 { $0.member(name, value) }
      }
      if let facts = tokens.facts { facts.write(row, to: &$0) }
      if let logits = batch.logits, let index = logits.rows.firstIndex(rising: Int32(mine)) {
        $0.member("router_logits", Array(logits.values[index * batch.expertCount..<(index + 1) * batch.expertCount]))
      }
    }
    return json.bytes
  }
}

extension TokenFacts {
  /// What is known of a row, as members of an object; nothing where nothing is.
  func write(_ row: Int, to json: inout JSONWriter) {
    let own = labels.compactMapValues { $0[row] }.sorted { $0.key < $1.key }
    if !own.isEmpty { json.member("labels") { $0.object { for (label, value) in own { $0.member(label, value) } } } }
    let places = coordinates.mapValues { $0[row] }.filter { $0.value.isFinite }.sorted { $0.key < $1.key }
    if !places.isEmpty { json.member("coordinates") { $0.object { for (name, value) in places { $0.member(name, value) } } } }
    for (name, column) in [("request", request), ("rank", rank)] { if let value = column?[row], value >= 0 { json.member(name, value) } }
  }
}
