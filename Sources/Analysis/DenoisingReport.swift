// Tables of the answers that only denoising runs have: specialists and statements.

import Routing

extension AnalysisReport {
  func specialistTable(_ document: MetricDocument, _ rows: [Specialist]) -> ReportTable {
    func cells(_ find: Specialist.Find?) -> [ReportTable.Cell] {
      guard let find else { return [.missing, .missing, .missing] }
      return [.text(find.cell), .number(find.ratio, digits: 2), .number(find.adjustedP, digits: 4)]
    }
    return ReportTable(
      columns: ["router", "expert", "share", "when", "when_ratio", "when_p", "where", "where_ratio", "where_p"]
        + ["class", "class_ratio", "class_p"],
      rows: rows.map {
        [.text($0.router.description), .count($0.expert.rawValue), .percent($0.share, digits: 1)]
          + cells($0.when) + cells($0.place) + cells($0.what)
      },
      notes: document.notes + [
        "when: step, where: patch as row,column; ratio: times expected, 1 is chance; p controls the chance of even one false find on its axis; "
          + "-: none beyond chance", document.size,
      ])
  }

  /// The verdicts with their reasons, the numbers over all layers, the numbers by layer.
  func claimTables(_ document: MetricDocument, _ claims: DenoisingClaims) -> [ReportTable] {
    func number(_ value: Double?) -> ReportTable.Cell { value.map { .number($0, digits: 4) } ?? .missing }
    func row(_ claim: JudgedClaim, _ own: ClaimEvidence) -> [ReportTable.Cell] {
      [
        .text(claim.claim.rawValue), .text(own.name), .text(own.router?.description ?? "all"), number(own.value),
        number(own.interval?.low), number(own.interval?.high), number(own.nullMean), number(own.nullSD), number(own.p), number(own.limit),
        .text(own.verdict?.rawValue ?? ""),
      ]
    }
    let columns = ["claim", "number", "router", "value", "low", "high", "null_mean", "null_sd", "p", "limit", "verdict"]
    let scope =
      "\(claims.samples) samples, \(claims.steps) steps, \(claims.patches) patches, \(claims.classes) classes, branch \(claims.branch)"
    return [
      ReportTable(
        columns: ["claim", "verdict", "reason"],
        rows: claims.claims.map { [.text($0.claim.rawValue), .text($0.verdict.rawValue), .text($0.reason)] },
        notes: [scope, "rules: moetop docs metrics"]),
      ReportTable(columns: columns, rows: claims.claims.flatMap { claim in claim.evidence.map { row(claim, $0) } }, notes: []),
      ReportTable(columns: columns, rows: claims.claims.flatMap { claim in claim.layers.map { row(claim, $0) } }, notes: document.notes),
    ]
  }
}
