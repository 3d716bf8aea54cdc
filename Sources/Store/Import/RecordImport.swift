// A record of another program on its way into a trace: recognised, opened, judged, described, and written. The command says what was found;
// here it is made.

import Formats
import Foundation
import Routing

/// An opened and judged record.
public final class RecordImport {
  public let format: ImportFormat
  private let request: ImportRequest
  private let source: ForeignSource
  private var judgement: RecordJudgement
  /// Routers that the run will have.
  public private(set) var routers: [RouterDescription] = []
  private let counts: CountsJudgement?
  /// Rows that were stored; nil where none were yet.
  private var written: [RouterID: Int]?

  /// - Throws: `ImportError`, `FormatError`.
  public init(_ request: ImportRequest) throws {
    format = try ImportRegistry.format(of: request)
    source = try ImportRegistry.open(format, request: request)
    var request = request
    // Rows that nothing cuts follow all sequences.
    if case .rows(let record) = source, record.shape.content == .logits, record.shape.sequences.count == 1, let tokens = request.tokens {
      request.tokens = [tokens.flatMap(\.self)]
    }
    self.request = request
    switch source {
    case .rows(let record):
      judgement = try RecordJudge.judge(record, request: request)
      counts = nil
      routers = try judgement.routers.map { try description(of: $0, record) }
      if rowCount == 0 { throw ImportError.empty(file: request.files.first ?? "") }
    case .counts(let counted):
      let judged = try CountsJudgement(counted, request: request)
      counts = judged
      judgement = RecordJudgement()
      judgement.findings = judged.findings
      routers = judged.routers
    }
    let experts = routers.reduce(0) { $0 + $1.spec.expertCount }
    guard experts <= ForeignShape.expertSumLimit else { throw ImportError.experts(experts, file: request.files.first ?? "") }
  }

  public var findings: [ImportFinding] { judgement.findings }
  public var faults: [ImportFinding] { judgement.faults }
  /// Rows of decisions that the run will have; 0 where only counts are known.
  public var rowCount: Int { judgement.rowCount }
  /// Tokens that were counted, where only counts are known.
  public var countedTokens: Int? { counts?.tokens }
  public var hasRows: Bool { counts == nil }

  public var sequences: [SequenceDescription] {
    guard case .rows(let record) = source else { return [] }
    return record.shape.sequences.map { sequence in
      let labels = sequence.labels.map { (Self.storable($0.key), Self.storable($0.value)) }
      return SequenceDescription(name: Self.storable(sequence.name), labels: Dictionary(labels) { first, _ in first })
    }
  }

  /// A text as a database keeps it, which ends one at its first NUL.
  private static func storable(_ text: String) -> String {
    text.utf8.contains(0) ? String(String.UnicodeScalarView(text.unicodeScalars.map { $0.value == 0 ? "\u{FFFD}" : $0 })) : text
  }

  /// Rows of each router whose route is not known.
  public func unknownRows() throws -> [RouterID: Int] {
    guard case .rows(let record) = source else { return [:] }
    let rows = ImportedRows(record: record, judgement: judgement, routers: routers, tokens: request.tokens, withoutIDs: false)
    let known = try written ?? rows.knownRows()
    return Dictionary(uniqueKeysWithValues: routers.map { ($0.id, rowCount - (known[$0.id] ?? 0)) })
  }

  // MARK: Description

  private func description(of judged: JudgedRouter, _ record: any ForeignRecord) throws -> RouterDescription {
    let shape = record.shape
    let own = request.model?.routers.first { $0.id == judged.id }?.spec
    let column = judged.column.map { shape.columns[$0] }
    if shape.content == .logits { return try scored(judged, own, file: request.files[0]) }
    let hasWeights = column?.hasWeights ?? false
    if var spec = own ?? column?.spec, spec.expertCount == judged.experts, spec.topK == judged.slots {
      if !hasWeights, column?.hasLogits != true || spec.rule != .executable { spec.statedWeights = WeightKind.none }
      if judged.hasNegativeWeights, spec.weightKind != .signed {
        // Who names a rule in a word has not said what its weights are.
        guard spec.rule != .executable, spec.statedWeights == nil else {
          throw FormatError.value(
            file: request.files[0], path: "weights of \(judged.id)", expected: "0 or more, as its rule says", found: "some below 0")
        }
        spec.statedWeights = .signed
      }
      return RouterDescription(id: judged.id, spec: spec)
    }
    return RouterDescription(
      id: judged.id,
      spec: .unknown(
        experts: judged.experts, slots: max(judged.slots, 1),
        weights: judged.hasNegativeWeights ? .signed : hasWeights ? .unnormalized : .none))
  }

  /// A router of which scores are known and ids follow from its rule.
  private func scored(_ judged: JudgedRouter, _ own: RouterSpec?, file: String) throws -> RouterDescription {
    if let own, own.expertCount == judged.experts { return RouterDescription(id: judged.id, spec: own) }
    guard let topK = own?.topK ?? request.topK else {
      throw ImportError.needed(
        "--top-k K (or --model)", file: file, why: "the record has logits, and the file does not say how many experts a token takes")
    }
    guard (1...judged.experts).contains(topK) else {
      throw ImportError.needed("--top-k", file: file, why: "a token cannot take \(topK) of \(judged.experts) experts")
    }
    return RouterDescription(
      id: judged.id, spec: RouterSpec(expertCount: judged.experts, scoring: .softmax, selection: .tokenChoice(topK: topK)))
  }

  /// What the run will say of itself.
  ///
  /// - Parameters:
  ///   - name: nil: that of the first file, or of the format where a run cannot be called so.
  ///   - startedAt: seconds since 1970.
  public func description(
    name: String?, version: String, startedAt: Double, tags: [String] = [], withoutIDs: Bool = false
  ) -> RunDescription {
    let identity = request.model?.identity
    let first = request.files[0]
    var input = InputIdentity(source: request.files.count == 1 ? first : "\(first) and \(request.files.count - 1) more", hash: "")
    if let hash = tokenHash { input.hash = hash }
    var recording = RecordingLevel(content: .ids)
    if case .rows(let record) = source {
      if record.shape.columns.contains(where: \.hasWeights) { recording.content = .weights }
      if record.shape.columns.contains(where: \.hasLogits) { recording.content = .full }
    } else {
      recording.content = .counts
    }
    let file = ForeignName.stem(request.files[0])
    var origin = RunOrigin(
      kind: .import, row: rowKind, format: format.rawValue, source: request.files.joined(separator: " "),
      withoutIDs: withoutIDs ? true : nil)
    if case .rows(let record) = source { origin.logitError = record.shape.logitError }
    return RunDescription(
      name: name ?? ((try? RunName.check(file)) == nil ? format.rawValue : file),
      model: identity
        ?? ModelIdentity(
          name: "", family: "", path: "", filesHash: "", quantization: "", routerPrecision: "", tokenizerHash: "", layerCount: 0,
          vocabularySize: 0),
      routers: routers, input: input, recording: recording, engine: EngineIdentity(version: version, simd: "", threads: 0),
      startedAt: startedAt, tags: tags,
      recorded: origin)
  }

  private var rowKind: RowKind { if case .rows(let record) = source { record.shape.row } else { .step } }

  /// SHA-256 of the token ids, as engines write it; nil where they are not known.
  private var tokenHash: String? {
    guard case .rows(let record) = source else { return nil }
    var hash = SHA256()
    func take(_ numbers: [Int32]) { numbers.map(\.littleEndian).withUnsafeBytes { hash.update($0) } }
    for index in record.shape.sequences.indices {
      guard let ids = request.tokens?[index] ?? record.shape.sequences[index].tokens else { return nil }
      take([Int32(ids.count)] + ids)
    }
    return hash.hexDigest()
  }

  // MARK: Held against the model

  /// Token ids by sequence of the record, for a model to read again: at most `limit` tokens in all; nil where a sequence has none.
  public func samples(limit: Int) -> [(sequence: Int, ids: [Int32])] {
    guard case .rows(let record) = source else { return [] }
    var left = limit
    var samples: [(Int, [Int32])] = []
    for (index, sequence) in record.shape.sequences.enumerated() where left > 0 && !judgement.sequences[index].isLost {
      guard let ids = request.tokens?[index] ?? sequence.tokens else { continue }
      let taken = Array(ids.prefix(left))
      samples.append((index, taken))
      left -= taken.count
    }
    return samples
  }

  /// Takes what the model decides on the samples, and finds layers and experts that were confused.
  ///
  /// - Parameter decided: experts by router, sequence of the record and position.
  public func hold(against decided: ReferenceDecisions) throws {
    guard case .rows(let record) = source, record.shape.content == .ids else { return }
    let found = try ReferenceJudge(record: record, judgement: judgement, decided: decided).findings()
    for finding in found {
      judgement.findings.append(finding)
      guard finding.severity == .fault, let place = judgement.routers.firstIndex(where: { $0.id == finding.router }) else { continue }
      judgement.routers[place].isUnknown = true
    }
  }

  // MARK: Writing

  /// Hands the run to its writer; the writer is not finished.
  ///
  /// - Parameter progress: told of rows done.
  public func write(to writer: TraceWriter, withoutIDs: Bool, progress: (Int) -> Void) throws {
    switch source {
    case .rows(let record):
      let rows = ImportedRows(
        record: record, judgement: judgement, routers: routers, tokens: request.tokens, withoutIDs: withoutIDs)
      var (done, known) = (0, [RouterID: Int]())
      try rows.forEachPass { pass in
        try writer.receive(pass)
        for batch in pass.batches { known[batch.router, default: 0] += batch.count }
        done += pass.tokens.count
        progress(done)
      }
      written = known
    case .counts:
      if let counts { try writer.count(counts.loads, tokens: counts.tokens ?? 0) }
    }
    try writer.note(findings)
  }
}
