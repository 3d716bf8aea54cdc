// Routing as safetensors or .npz, as docs/contracts.md (export of routing) says: rows by sequence, then position; a tensor per router and
// column. All sizes are known from the trace before the first byte is written, so the file is streamed.

import Formats
import GRDB
import Routing

extension TraceExport {
  /// Writes the arrays of the run as safetensors, or as a .npz.
  func writeTensors(as format: Format, to path: String) throws {
    if run.description.recording.content == .counts { return try writeCounts(as: format, to: path) }
    let left = try filteredRows(countsLogits: run.description.recording.content == .full)
    let sides = try RowSide.all(of: run, in: trace, rows: left)
    let plan = try sides.map { try SafetensorsPlan($0, export: self, rows: left) }
    let writer = try tensorWriter(format, path, plan.flatMap(\.tensors), metadata: exportMetadata)
    for side in plan { try side.write(to: writer, from: self) }
    try writer.finish()
  }

  /// - Parameter metadata: of a .npz, arrays of a single text each.
  func tensorWriter(
    _ format: Format, _ path: String, _ tensors: [TensorDeclaration], metadata: [(String, String)]
  ) throws -> any TensorFileWriter {
    let words = metadata.map { (key: $0.0, value: $0.1) }
    return format == .npz
      ? try NPZWriter(path: path, arrays: tensors, texts: words) : try SafetensorsWriter(path: path, tensors: tensors, metadata: words)
  }

  var exportMetadata: [(String, String)] {
    [
      ("moetop.export", "routing/1"), ("moetop.run", String(run.id)), ("moetop.model", run.description.model.name),
      ("moetop.model_hash", run.description.model.filesHash), ("moetop.recording", "\(run.description.recording)"),
    ] + (filter.map { [("moetop.filter", $0.filter.text)] } ?? [])
      + (run.description.intervention.map { [("moetop.intervention", $0)] } ?? [])
  }
}

/// Rows that belong together: all tokens of a decoder-only run; the encoder's and the decoder's tokens of the others.
private struct RowSide {
  /// Of the tensors `..ids` and `..lengths`.
  let idsName: String
  let lengthsName: String
  /// Which row of the run, and which place of its sequence, a row is: only under a filter, as all rows are where they are by their order.
  let tokenName: String
  let positionName: String
  /// Of the numbers of passes and batches.
  let passName: String
  let batchName: String
  /// Whether `phase` and `predicted_ids` have these rows.
  let hasPhase: Bool
  let routers: [RouterID]
  let order: TokenOrder

  static func all(of run: RunSummary, in trace: TraceReader, rows left: FilteredRows?) throws -> [RowSide] {
    let routers = run.description.routers.map(\.id).sorted()
    let encoder = routers.filter { $0.stack == .encoder }
    let decoder = routers.filter { $0.stack == .decoder }
    guard !encoder.isEmpty || !decoder.isEmpty else {
      return [
        RowSide(
          idsName: "input_ids", lengthsName: "sequence_lengths", tokenName: "token", positionName: "position",
          passName: "pass", batchName: "batch", hasPhase: true, routers: routers, order: try TokenOrder(trace: trace, run: run, rows: left))
      ]
    }
    return try [("encoder", encoder), ("decoder", decoder)].map { stack, routers in
      RowSide(
        idsName: "\(stack)_ids", lengthsName: "\(stack)_lengths", tokenName: "\(stack)_token", positionName: "\(stack)_position",
        passName: "\(stack)_pass", batchName: "\(stack)_batch", hasPhase: stack == "decoder", routers: routers,
        order: try TokenOrder(trace: trace, run: run, encoded: stack == "encoder", rows: left))
    }
  }
}

/// The tensors of one side, declared and then filled.
private struct SafetensorsPlan {
  let side: RowSide
  let tensors: [TensorDeclaration]
  private let hasWeights: Bool
  private let extras: RecordingExtras
  /// Rows of raw logits per router; absent where none were recorded.
  private let logitRows: [RouterID: Int]

  init(_ side: RowSide, export: TraceExport, rows left: FilteredRows?) throws {
    self.side = side
    let run = export.run
    let count = side.order.tokens.count
    hasWeights = run.description.recording.content >= .weights
    extras = run.description.recording.extras
    var logitRows: [RouterID: Int] = [:]
    var tensors: [TensorDeclaration] = [
      .init(side.idsName, .i32, [count]), .init(side.lengthsName, .i32, [side.order.lengths.count]),
    ]
    if left != nil { tensors += [.init(side.tokenName, .i64, [count]), .init(side.positionName, .i32, [count])] }
    if side.hasPhase { tensors.append(.init("phase", .u8, [count])) }
    if extras.contains(.passes) { tensors += [.init(side.passName, .i32, [count]), .init(side.batchName, .i32, [count])] }
    if side.hasPhase, extras.contains(.predicted) { tensors.append(.init("predicted_ids", .i32, [count])) }
    if run.description.denoising != nil {
      tensors += ["sample", "step", "branch", "patch"].map { .init($0, .i32, [count]) } + [.init("timestep", .f32, [count])]
    }
    let routers = Dictionary(run.description.routers.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    for id in side.routers {
      guard let router = routers[id] else { continue }
      let rows = try left.map { $0.logitRows[id] ?? 0 } ?? Self.countLogitRows(of: id, run: run.id, in: export.trace)
      if rows > 0 {
        logitRows[id] = rows
        tensors.append(.init("\(id).router_logits", .f32, [rows, router.spec.expertCount]))
        if rows != count { tensors.append(.init("\(id).rows", .i32, [rows])) }
      }
      tensors.append(.init("\(id).expert_ids", .i32, [count, router.slots]))
      if hasWeights { tensors.append(.init("\(id).weights", .f32, [count, router.slots])) }
      for name in ["entropy", "selection_margin", "top1_margin", "top_k_mass"] { tensors.append(.init("\(id).\(name)", .f32, [count])) }
      if extras.contains(.norms) { tensors.append(.init("\(id).expert_norms", .f32, [count, router.slots])) }
      for name in Self.sharedNames(extras) { tensors.append(.init("\(id).\(name)", .f32, [count])) }
    }
    self.tensors = tensors
    self.logitRows = logitRows
  }

  /// What is said of the shared expert.
  private static func sharedNames(_ extras: RecordingExtras) -> [String] {
    extras.contains(.shared) ? ["shared_weight"] + (extras.contains(.norms) ? ["shared_norm"] : []) : []
  }

  private static func countLogitRows(of id: RouterID, run: Int64, in trace: TraceReader) throws -> Int {
    try trace.read { db in
      try Int.fetchOne(
        db,
        sql: """
          SELECT coalesce(sum(CASE WHEN p.logits IS NULL THEN 0 WHEN p.logit_rows IS NULL THEN p.token_count
            ELSE length(p.logit_rows) / 4 END), 0)
          FROM page AS p JOIN router AS r ON r.id = p.router WHERE r.run = ? AND r.stack = ? AND r.layer = ?
          """, arguments: [run, id.lane, id.layer.rawValue]) ?? 0
    }
  }

  func write(to writer: any TensorFileWriter, from export: TraceExport) throws {
    try writer.append(side.order.lengths, to: side.lengthsName)
    var row: Int32 = 0
    try export.visit(side.order, routers: Set(side.routers), withLogits: !logitRows.isEmpty) { pass, rows in
      try writer.append(rows.map { pass.tokens.tokenID[$0] }, to: side.idsName)
      if export.filter != nil {
        try writer.append(rows.map { Int64(pass.tokens.firstToken + $0) }, to: side.tokenName)
        try writer.append(rows.map { pass.tokens.position[$0] }, to: side.positionName)
      }
      if side.hasPhase { try writer.append(rows.map { pass.tokens.phase[$0].rawValue }, to: "phase") }
      if extras.contains(.passes) {
        try writer.append(rows.map { pass.tokens.pass?[$0] ?? -1 }, to: side.passName)
        try writer.append(rows.map { pass.tokens.batch?[$0] ?? -1 }, to: side.batchName)
      }
      if side.hasPhase, extras.contains(.predicted) {
        try writer.append(rows.map { pass.tokens.predictedID?[$0] ?? -1 }, to: "predicted_ids")
      }
      if let layout = export.run.description.denoising {
        try write(try rows.map { try export.place(of: $0, in: pass, layout) }, layout, to: writer)
        try writer.append(rows.map { pass.tokens.sequence[$0] }, to: "sample")
      }
      for id in side.routers {
        try write(id, rows, of: pass, first: row, to: writer, from: export)
      }
      row += Int32(rows.count)
    }
  }

  /// Where rows of a denoising run stand.
  private func write(_ places: [DenoisingPlace], _ layout: DenoisingLayout, to writer: any TensorFileWriter) throws {
    try writer.append(places.map { Int32($0.step) }, to: "step")
    try writer.append(places.map { Int32($0.branch) }, to: "branch")
    try writer.append(places.map { Int32($0.patchRow * layout.patchColumns + $0.patchColumn) }, to: "patch")
    try writer.append(places.map { layout.timesteps[$0.step] }, to: "timestep")
  }

  /// The rows of one router; a token that the router did not see, and a decision that does not pass the filter, has no experts and
  /// statistics that are not numbers.
  private func write(
    _ id: RouterID, _ rows: [Int], of pass: RoutingPass, first: Int32, to writer: any TensorFileWriter, from export: TraceExport
  ) throws {
    guard let topK = export.run.description.routers.first(where: { $0.id == id })?.slots else { return }
    let batches = pass.batches.filter { $0.router == id }
    var ids: [Int32] = []
    var weights: [Float] = []
    var norms: [Float] = []
    // Four statistics, then what is said of the shared expert.
    let names = ["entropy", "selection_margin", "top1_margin", "top_k_mass"] + Self.sharedNames(extras)
    var statistics: [[Float]] = names.map { _ in [] }
    var logitRows: [Int32] = []
    var logits: [Float] = []
    for (place, row) in rows.enumerated() {
      var found: (batch: RoutingBatch, row: Int)?
      for batch in batches { if let mine = batch.row(row, of: pass) { found = (batch, mine) } }
      guard let (batch, mine) = found, batch.topK == topK, export.passes(mine, of: batch, in: pass) else {
        ids += Array(repeating: -1, count: topK)
        weights += Array(repeating: 0, count: topK)
        norms += Array(repeating: .nan, count: topK)
        for index in statistics.indices { statistics[index].append(.nan) }
        continue
      }
      for slot in mine * topK..<(mine + 1) * topK {
        ids.append(batch.selectedExperts[slot])
        let isEmpty = batch.selectedExperts[slot] < 0 || batch.dropped?[slot] == true
        weights.append(isEmpty ? 0 : batch.routingWeights[slot])
        norms.append(batch.expertNorms?[slot] ?? .nan)
      }
      let own = [
        batch.routerEntropy[mine], batch.selectionMargin[mine], batch.top1Margin[mine], batch.topKMass[mine],
        batch.sharedWeight?[mine] ?? .nan, batch.sharedNorm?[mine] ?? .nan,
      ]
      for index in statistics.indices { statistics[index].append(own[index]) }
      if let kept = batch.logits, let index = kept.rows.firstIndex(rising: Int32(mine)) {
        logitRows.append(first + Int32(place))
        logits += kept.values[index * batch.expertCount..<(index + 1) * batch.expertCount]
      }
    }
    try writer.append(ids, to: "\(id).expert_ids")
    if hasWeights { try writer.append(weights, to: "\(id).weights") }
    for (name, values) in zip(names, statistics) { try writer.append(values, to: "\(id).\(name)") }
    if extras.contains(.norms) { try writer.append(norms, to: "\(id).expert_norms") }
    guard let count = self.logitRows[id] else { return }
    try writer.append(logits, to: "\(id).router_logits")
    if count != side.order.tokens.count { try writer.append(logitRows, to: "\(id).rows") }
  }
}

extension [Int32] {
  /// Index of `value` in an array that rises; nil when it is not there. O(log n).
  func firstIndex(rising value: Int32) -> Int? {
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      if self[middle] < value { low = middle + 1 } else { high = middle }
    }
    return low < count && self[low] == value ? low : nil
  }
}
