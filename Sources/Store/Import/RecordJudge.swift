// Is this record what routers decided? It is read twice before a row of it is stored: once for the extremes of its columns, once row by row.
// What comes out are findings with the codes of docs/contracts.md, the rows at fault, and the routers that the run will have.

import Foundation
import Routing

/// What was found out about a record.
struct RecordJudgement {
  /// In the order of their codes, then of their routers.
  var findings: [ImportFinding] = []
  var routers: [JudgedRouter] = []
  var sequences: [JudgedSequence] = []
  /// Whether what the record calls logits are probabilities.
  var areProbabilities = false
  /// Whether ids stand in the order of their numbers, and weights say their ranks.
  var sortsByWeight = false

  var faults: [ImportFinding] { findings.filter { $0.severity == .fault } }
  /// Rows that the run will have.
  var rowCount: Int { sequences.reduce(0) { $0 + $1.rows } }
}

/// A router of the run that a record becomes.
struct JudgedRouter {
  var id: RouterID
  /// Of the record; nil: the model has the router and the record does not.
  var column: Int?
  /// Choices of a row.
  var slots: Int
  var experts: Int
  /// Whether none of its rows can be trusted.
  var isUnknown = false
  /// Whether some of its weights are below 0.
  var hasNegativeWeights = false
}

struct JudgedSequence {
  /// Number in the record.
  var index: Int
  /// Rows that are stored, from its first.
  var rows: Int
  /// Position of the first.
  var start: Int
  /// Whether nobody knows where its rows belong.
  var isLost = false
  /// Rows, counted from its first, that are at fault in every router.
  var accused: [Range<Int>] = []
}

/// Holds records against what routers can do.
struct RecordJudge {
  /// Nats from which on a pattern is no chance: once in 7e10 sound records.
  static let evidence = 25.0
  /// Fewer rows than this say nothing about a router that never changes.
  static let enoughRows = 33
  static let enoughTokens = 16
  /// Share of assignments beyond the experts, in every router, that is one of physical slots.
  static let physicalShare = 0.01

  let record: any ForeignRecord
  let request: ImportRequest
  var judgement = RecordJudgement()
  var columns: RecordColumns
  var survey: ColumnSurvey
  var total = 0

  /// - Throws: `ImportError`, `FormatError`.
  static func judge(_ record: any ForeignRecord, request: ImportRequest) throws -> RecordJudgement {
    var judge = try RecordJudge(record, request: request)
    return try judge.judged()
  }

  private init(_ record: any ForeignRecord, request: ImportRequest) throws {
    (self.record, self.request) = (record, request)
    columns = try RecordColumns(record.shape, request: request)
    survey = ColumnSurvey(record.shape)
  }

  private mutating func judged() throws -> RecordJudgement {
    judgement.findings = record.shape.findings
    if columns.isGuessed && record.shape.columns.contains(where: { $0.router == nil }) || countsLayers {
      note(.layersGuessed, "layers are counted from 0: the record does not name them")
    }
    // What trainers append looks like routes, of layers too that have none.
    let before = judgement
    try judgeLengths()
    try RecordScan.forEach(record, judgement.sequences) { _, _, block in survey.add(block) }
    if record.shape.content == .ids { columns.peel(survey, experts: experts(of: nil)) }
    if !columns.findings.isEmpty {
      judgement = before
      judgement.findings += columns.findings
      try judgeLengths()
    }
    total = judgement.rowCount
    if judgeLayers() {
      if record.shape.content == .ids { try judgeRows() } else { try judgeLogits() }
    }
    sayWhatIsMissing()
    judgement.findings.sort()
    return judgement
  }

  /// Whether the record numbers its layers and nobody confirms the numbers.
  private var countsLayers: Bool { record.shape.countsLayers && request.model == nil && request.layers == nil }

  mutating func note(_ code: ImportFinding.Code, _ detail: String) {
    judgement.findings.append(ImportFinding(code, count: 1, of: 1, detail: detail))
  }

  mutating func say(_ code: ImportFinding.Code, _ router: RouterID?, _ count: Int, of: Int, first: [Int] = [], _ detail: String) {
    judgement.findings.append(ImportFinding(code, router: router, count: count, of: of, first: first, detail: detail))
  }

  /// Experts of a router as the model or the user says; of nil: of all routers.
  func experts(of router: RouterID?) -> Int? {
    if let asked = request.experts { return asked }
    guard let routers = request.model?.routers else { return nil }
    if let router { return routers.first { $0.id == router }?.spec.expertCount }
    return routers.map(\.spec.expertCount).max()
  }

  func topK(of router: RouterID) -> Int? {
    request.model?.routers.first { $0.id == router }?.spec.topK ?? request.topK
  }

  private mutating func sayWhatIsMissing() {
    let shape = record.shape
    if !shape.columns.contains(where: \.hasWeights) { note(.noWeights, "the record has no routing weights") }
    if !shape.columns.contains(where: \.hasLogits) {
      note(.notRecomputable, "the record has no logits, so that no decision can be repeated")
    }
    if request.tokens == nil && !shape.sequences.contains(where: { $0.tokens != nil }) && !hasTokensInRows {
      note(.noIDs, "token ids are not known")
    }
  }

  private var hasTokensInRows: Bool {
    guard let first = judgement.sequences.first(where: { $0.rows > 0 }) else { return false }
    return (try? record.rows(0..<1, of: first.index).tokens) != nil
  }
}
