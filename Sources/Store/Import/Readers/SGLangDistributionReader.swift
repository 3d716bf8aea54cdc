// How often did SGLang's experts work, or which did each token take? The recorder's files hold sums (`stat`), sums by pass (`per_pass`) or the
// choices of every token (`per_token`). Sums are put together here; tokens are SGLangTokens.swift's. The layer axis has every hidden
// layer, those without experts as zeros or -1.

import Formats
import Routing

/// A record of SGLang's expert distribution recorder.
struct SGLangDistributionReader {
  let source: ForeignSource

  static func recognises(_ path: String) -> Bool {
    guard let file = try? TorchFile(path: path) else { return false }
    return SGLangDump.recognises(file.root)
  }

  /// - Throws: `FormatError`, also for files of different kinds.
  init(files: [String], request: ImportRequest) throws(FormatError) {
    let torch = try TorchFiles(files)
    var dumps: [SGLangDump] = []
    for file in torch.files { dumps.append(try SGLangDump(file)) }
    // A rank that ran nothing says nothing of the kind.
    let filled = dumps.filter { $0.kind == .stat || !$0.records.isEmpty }
    guard let first = filled.first else {
      throw .value(file: files.first ?? "", path: "records", expected: "at least one pass", found: "an empty list")
    }
    for dump in filled where dump.kind != first.kind {
      throw .unsupported(
        file: dump.file.path, place: "the saved value", found: "a file of another kind than \(fileName(first.file.path))",
        hint: "import files of one recording at a time")
    }
    switch first.kind {
    case .stat: source = .counts(try Self.sums(filled.map(\.file), torch.findings))
    case .perPass: source = .counts(try Self.passes(filled, torch.findings))
    case .perToken: source = .rows(try SGLangTokens(filled, findings: torch.findings))
    }
  }

  // MARK: Sums by step

  /// Numbers that are added up at a time.
  private static let chunk = 1 << 20

  /// - Parameter files: of one rank, one after the other: their counts are of all ranks.
  private static func sums(_ files: [TorchFile], _ findings: [ImportFinding]) throws(FormatError) -> ForeignCounts {
    var total: Totals?
    let rank = files[0].root["rank"]?.int
    for file in files {
      let value = try file.root.require("logical_count", "counts of experts")
      let tensor = try value.requireTensor(rank: 3)
      guard tensor.elementCount > 0, file.root["rank"]?.int == rank else {
        throw value.unexpected("counts [steps, layers, experts] of the same rank in all files: they are sums over all ranks")
      }
      let (layers, experts) = (tensor.shape[1], tensor.shape[2])
      if total == nil { total = Totals(layers: layers, experts: experts) }
      guard total?.layers == layers, total?.experts == experts else {
        throw value.unexpected("the layers and experts of \(fileName(files[0].path))")
      }
      let rows = NumberRows(tensor)
      let few = max(1, chunk / rows.width)
      for first in stride(from: 0, to: rows.count, by: few) {
        let end = min(first + few, rows.count)
        let counts = try rows.integers(first..<end)
        guard counts.allSatisfy({ $0 >= 0 }) else { throw value.unexpected("counts, none of them negative") }
        for step in 0..<end - first { total?.addStep(counts[step * rows.width..<(step + 1) * rows.width]) }
      }
    }
    return (total ?? Totals(layers: 0, experts: 0)).record(findings)
  }

  // MARK: Sums by pass

  private static func passes(_ dumps: [SGLangDump], _ findings: [ImportFinding]) throws(FormatError) -> ForeignCounts {
    guard let first = dumps[0].places else { throw dumps[0].file.root.unexpected("a map of places") }
    var ranks: [Int: RankPasses] = [:]
    var seen: Set<SGLangDump.Head> = []
    for dump in dumps {
      guard let places = dump.places, places.layers == first.layers, places.experts == first.experts else {
        throw dump.file.root.unexpected("the layers and experts of \(fileName(dumps[0].file.path))")
      }
      var budget = try ByteBudget(dump.file.path)
      for record in dump.records {
        let head = try SGLangDump.head(record)
        guard seen.insert(head).inserted else { throw record.unexpected("pass \(head.pass) of rank \(head.rank) once") }
        let value = try record.require("global_physical_count", "counts of places")
        let tensor = try value.requireTensor(rank: 2)
        try budget.take(tensor)
        guard tensor.shape == [places.layers, places.count] else {
          throw value.unexpected("counts of \(places.layers) layers and \(places.count) places, as the map has them")
        }
        let counts = NumberRows.integers(of: tensor.bytes, tensor.elementType)
        guard counts.allSatisfy({ $0 >= 0 }) else { throw value.unexpected("counts, none of them negative") }
        var logical = [Int32](repeating: 0, count: places.layers * places.experts)
        for (index, count) in counts.enumerated() where count > 0 {
          let (layer, place) = index.quotientAndRemainder(dividingBy: places.count)
          let expert = places.expert(of: Int32(place), layer: layer)
          guard expert >= 0 else { throw value.unexpected("no counts of a place without an expert (layer \(layer), place \(place))") }
          let sum = logical[layer * places.experts + Int(expert)].addingReportingOverflow(count)
          guard !sum.overflow else { throw value.unexpected("counts that 32 bits hold") }
          logical[layer * places.experts + Int(expert)] = sum.partialValue
        }
        ranks[head.rank, default: RankPasses(Totals(layers: places.layers, experts: places.experts))].add(logical[...], pass: head.pass)
      }
    }
    return merged(ranks).record(findings)
  }

  /// Ranks that counted the same in every pass read the same tokens: they count once. Others have tokens or experts of their own.
  private static func merged(_ ranks: [Int: RankPasses]) -> Totals {
    var kept: [RankPasses] = []
    for rank in ranks.keys.sorted() {
      guard let passes = ranks[rank], !kept.contains(where: { $0.isLike(passes) }) else { continue }
      kept.append(passes)
    }
    var total = kept[0]
    for other in kept.dropFirst() { total.merge(other) }
    return total.totals
  }
}

/// Counts of experts, and their sums by step.
private struct Totals {
  let layers: Int
  let experts: Int
  /// `[layers][experts]`
  var counts: [[Int]]
  /// `[layers][steps]`, without steps in which nothing was counted.
  var stepSums: [[Int]]

  init(layers: Int, experts: Int) {
    (self.layers, self.experts) = (layers, experts)
    counts = Array(repeating: Array(repeating: 0, count: experts), count: layers)
    stepSums = Array(repeating: [], count: layers)
  }

  /// - Parameter step: `[layers, experts]`
  /// - Returns: whether anything was counted: a ring of steps that was longer than the run has empty ones.
  @discardableResult
  mutating func addStep(_ step: ArraySlice<Int32>) -> Bool {
    guard step.contains(where: { $0 != 0 }) else { return false }
    for layer in 0..<layers {
      var sum = 0
      for expert in 0..<experts {
        let count = Int(step[step.startIndex + layer * experts + expert])
        counts[layer][expert] += count
        sum += count
      }
      stepSums[layer].append(sum)
    }
    return true
  }

  func record(_ findings: [ImportFinding]) -> ForeignCounts {
    var record = ForeignCounts(
      format: .sglangDistribution, columns: Array(repeating: ForeignColumn(slots: 0, experts: experts), count: layers), counts: counts)
    record.stepSums = stepSums
    record.findings = findings
    return record
  }
}

/// The passes of one rank.
private struct RankPasses {
  var totals: Totals
  /// Numbers of the passes of `totals.stepSums`.
  private var passes: [Int] = []
  private var hasher = Hasher()

  init(_ totals: Totals) { self.totals = totals }

  mutating func add(_ counts: ArraySlice<Int32>, pass: Int) {
    hasher.combine(pass)
    hasher.combine(counts)
    if totals.addStep(counts) { passes.append(pass) }
  }

  func isLike(_ other: RankPasses) -> Bool {
    passes == other.passes && totals.counts == other.totals.counts && hasher.finalize() == other.hasher.finalize()
  }

  /// Adds what another rank counted, pass by pass.
  mutating func merge(_ other: RankPasses) {
    var sums: [Int: [Int]] = [:]
    for part in [self, other] {
      for (step, pass) in part.passes.enumerated() {
        let own = part.totals.stepSums.map { $0[step] }
        sums[pass] = sums[pass].map { zip($0, own).map(+) } ?? own
      }
    }
    passes = sums.keys.sorted()
    for layer in totals.counts.indices {
      totals.counts[layer] = zip(totals.counts[layer], other.totals.counts[layer]).map(+)
      totals.stepSums[layer] = passes.map { sums[$0]?[layer] ?? 0 }
    }
  }
}
