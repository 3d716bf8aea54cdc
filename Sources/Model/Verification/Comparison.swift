// The comparison itself: shapes equal, numbers within tolerance, expert sets equal except at near ties, weights per expert id. Numbers
// in another shape are other numbers, even where their order happens to agree.

import Formats
import Routing

struct Comparison {
  private let expected: SafetensorsFile
  private let capture: VerificationCapture
  private let routers: [RouterDescription]
  private let ties: TieRulings
  /// Shape of one row by the end of a tensor's name; what is in no such table has one number a row.
  private let rowShapes: [String: [Int]]
  private var compared: Set<String> = []
  private(set) var report = VerificationReport()

  /// - Parameter rowShapes: of activations, by their names, or by what these begin or end with.
  init(
    expected: SafetensorsFile, capture: VerificationCapture, routers: [RouterDescription], rowShapes: [String: [Int]], ties: TieRulings
  ) {
    self.ties = ties
    self.rowShapes = rowShapes
    self.expected = expected
    self.capture = capture
    self.routers = routers
  }

  /// The tokens fed must be those the file was made from, cut into the same sequences.
  mutating func compareInput(_ sequences: [TokenSequence]) throws {
    let encoders = sequences.compactMap(\.encoder)
    let decoders = sequences.map(\.tokens)
    let sides =
      encoders.isEmpty
      ? [("input_ids", "sequence_lengths", decoders)]
      : [
        ("encoder_ids", "encoder_lengths", encoders), ("decoder_ids", "decoder_lengths", decoders),
      ]
    for (ids, lengths, lists) in sides {
      try compareIntegers(ids, lists.flatMap(\.self), unit: "tokens")
      try compareIntegers(lengths, lists.map { Int32($0.count) }, unit: "sequences")
    }
    // How the tokens came to be fed says nothing about what was computed, but rows of another kind are for the user to know.
    guard let phase = expected["phase"] else { return }
    compared.insert("phase")
    let fed = decoders.reduce(0) { $0 + $1.count }
    let isFed = try? phase.integers() == Array(repeating: Int32(TokenPhase.prefill.rawValue), count: fed)
    if isFed != true { report.notConsidered.append("phase") }
  }

  /// Numbers that say what a row is, exactly.
  mutating func compareIntegers(_ name: String, _ fed: [Int32], unit: String) throws {
    guard expected[name] != nil else { return }
    compared.insert(name)
    guard hasShape([fed.count], name) else { return }
    let wanted = try integers(name)
    let same = wanted == fed
    add(
      name, same ? .equal : .differs, error: same ? 0 : 1, tolerance: 0,
      detail: same ? "\(fed.count) \(unit)" : "\(fed.count) \(unit) fed, \(wanted.count) expected, not the same")
  }

  /// Expert sets by the near-tie rule, then weights per expert.
  mutating func compareRouting() throws {
    for description in routers {
      let prefix = "\(description.id)."
      guard expected[prefix + "expert_ids"] != nil, let got = capture.ids[description.id] else { continue }
      compared.formUnion([prefix + "expert_ids", prefix + "weights"])
      let spec = description.spec
      let router = try Router(spec)
      guard hasShape([got.count / spec.topK, spec.topK], prefix + "expert_ids") else { continue }
      let wanted = try integers(prefix + "expert_ids")
      // A file may hold the logits of some rows only; then our own say how near a decision was.
      let hasAllLogits =
        expected[prefix + "router_logits"]?.shape == [got.count / spec.topK, spec.expertCount] && expected[prefix + "rows"] == nil
      let logits = hasAllLogits ? try floats(prefix + "router_logits") : nil
      guard !wanted.isEmpty else {
        add(prefix + "expert_ids", .empty, error: 0, tolerance: 0, detail: "no decision")
        continue
      }
      let rows = got.count / spec.topK
      var differing = 0
      let ruled = ties.changed[description.id] ?? 0
      var nearTies = ruled
      var equalRows: [Int] = []
      for row in 0..<rows {
        let slots = row * spec.topK..<(row + 1) * spec.topK
        if Set(got[slots]) == Set(wanted[slots]) {
          equalRows.append(row)
        } else {
          let source = logits ?? capture.floats[prefix + "router_logits"] ?? []
          let tie = source.withUnsafeBufferPointer {
            router.nearTie(
              UnsafeBufferPointer(rebasing: $0[row * spec.expertCount..<(row + 1) * spec.expertCount]), within: Verifier.Tolerance.nearTie)
          }
          if tie?.allows(got[slots].filter { $0 >= 0 }) == true && tie?.allows(wanted[slots].filter { $0 >= 0 }) == true {
            nearTies += 1
          } else {
            differing += 1
          }
        }
      }
      report.decisions += rows
      report.equalDecisions += equalRows.count - ruled
      report.nearTies += nearTies
      report.ruledTies += ruled
      let what = "\(equalRows.count - ruled) of \(rows) decisions equal" + (nearTies > 0 ? ", \(nearTies) near ties" : "")
      add(
        prefix + "expert_ids", differing == 0 ? (nearTies == 0 ? .equal : .within) : .differs,
        error: Float(differing) / Float(max(1, rows)),
        tolerance: 0, detail: what)
      if expected[prefix + "weights"] != nil { try compareWeights(prefix, spec.topK, rows: equalRows, got: got, wanted: wanted) }
    }
  }

  private mutating func compareWeights(_ prefix: String, _ topK: Int, rows: [Int], got: [Int32], wanted: [Int32]) throws {
    let gotWeights = capture.floats[prefix + "weights"] ?? []
    guard hasShape([gotWeights.count / topK, topK], prefix + "weights") else { return }
    let expectedWeights = try floats(prefix + "weights")
    guard !rows.isEmpty, !expectedWeights.isEmpty else {
      let why = expectedWeights.isEmpty ? "no weight" : "no decision with the same experts"
      add(prefix + "weights", .empty, error: 0, tolerance: 0, detail: why)
      return
    }
    var worst: Float = 0
    for row in rows {
      let slots = row * topK..<(row + 1) * topK
      for slot in slots where got[slot] >= 0 {
        guard let match = slots.first(where: { wanted[$0] == got[slot] }) else { continue }
        worst = larger(worst, abs(gotWeights[slot] - expectedWeights[match]))
      }
    }
    let scale = max(1, expectedWeights.reduce(0) { max($0, abs($1)) })
    judge(prefix + "weights", error: worst / scale, tolerance: Verifier.Tolerance.weights, detail: "per expert id")
  }

  /// Every other tensor, by its name.
  mutating func compareActivations() throws {
    for view in expected.tensors where !compared.contains(view.name) {
      let suffix = view.name.split(separator: ".").last ?? ""
      // Which rows of a router have logits is used with these.
      if suffix == "rows", expected[view.name.dropLast("rows".count) + "router_logits"] != nil { continue }
      guard var got = capture.floats[view.name] else {
        add(view.name, .notProduced, error: 0, tolerance: 0, detail: "\(view.shape)")
        continue
      }
      guard view.elementCount > 0 else {
        add(view.name, .empty, error: 0, tolerance: 0, detail: "\(view.shape)")
        continue
      }
      let row = rowShape(of: view.name)
      if suffix == "router_logits" { got = try rows(of: got, named: view.name, width: row.reduce(1, *)) }
      guard hasShape([got.count / row.reduce(1, *)] + row, view.name) else { continue }
      let wanted = try floats(view.name)
      let isRouter = ["router_logits", "entropy", "selection_margin", "top1_margin", "top_k_mass"].contains(suffix)
      // Without ids there is nothing to say which expert a weight is of: by rank, as both sides order them.
      let isWeights = suffix == "weights"
      let tolerance =
        isRouter ? Verifier.Tolerance.routerLogits : isWeights ? Verifier.Tolerance.weights : Verifier.Tolerance.activations
      var worst: Float = 0
      var scale: Float = 1
      for index in got.indices where !(got[index].isNaN && wanted[index].isNaN) {
        worst = larger(worst, abs(got[index] - wanted[index]))
        scale = max(scale, abs(wanted[index]))
      }
      judge(
        view.name, error: worst / scale, tolerance: tolerance, detail: "\(view.shape)" + (isWeights ? ", by rank: no expert_ids" : ""))
    }
  }

  /// The rows of raw logits that the expected file has: all, or those that `<router>.rows` names.
  private func rows(of values: [Float], named name: String, width: Int) throws -> [Float] {
    let list = name.dropLast("router_logits".count) + "rows"
    guard expected[String(list)] != nil else { return values }
    return try integers(String(list)).flatMap { row -> ArraySlice<Float> in
      let start = Int(row) * width
      return row >= 0 && start + width <= values.count ? values[start..<start + width] : []
    }
  }

  /// Whether the expected tensor has the shape of what was computed; where not, that is the difference.
  private mutating func hasShape(_ shape: [Int], _ name: String) -> Bool {
    guard let found = expected[name]?.shape, found != shape, found.reduce(1, *) > 0 else { return true }
    add(name, .differs, error: .infinity, tolerance: 0, detail: "shape \(shape), expected \(found)")
    return false
  }

  /// Shape of one row of what a run produces under this name.
  private func rowShape(of name: String) -> [Int] {
    let parts = name.split(separator: ".").map(String.init)
    if let router = routers.first(where: { "\($0.id)" == parts.dropLast().joined(separator: ".") }) {
      switch parts.last {
      case "router_logits": return [router.spec.expertCount]
      case "weights": return [router.spec.topK]
      default: break
      }
    }
    return [name, parts.first, parts.last].lazy.compactMap { $0.flatMap { rowShapes[$0] } }.first ?? []
  }

  /// The larger error; anything that is not a number is infinitely wrong.
  private func larger(_ a: Float, _ b: Float) -> Float { b.isNaN ? .infinity : max(a, b) }

  private mutating func judge(_ name: String, error: Float, tolerance: Float, detail: String) {
    add(name, error == 0 ? .equal : error <= tolerance ? .within : .differs, error: error, tolerance: tolerance, detail: detail)
  }

  private mutating func add(
    _ name: String, _ outcome: VerificationReport.Entry.Outcome, error: Float, tolerance: Float, detail: String
  ) {
    report.entries.append(.init(tensor: name, outcome: outcome, error: error, tolerance: tolerance, detail: detail))
  }

  private func floats(_ name: String) throws -> [Float] { try expected.tensor(name).floats() }

  private func integers(_ name: String) throws -> [Int32] { try expected.tensor(name).integers() }
}

extension TensorView {
  /// Every element of a tensor of integers.
  ///
  /// - Throws: `ModelError.tensorType` for other elements.
  func integers() throws -> [Int32] {
    switch elementType {
    case .u8: return bytes.prefix(elementCount).map { Int32($0) }
    case .i32: return (0..<elementCount).map { Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Int32.self)) }
    case .i64:
      return (0..<elementCount).map {
        Int32(truncatingIfNeeded: Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8 * $0, as: Int64.self)))
      }
    default: throw ModelError.tensorType(file: file.path, name: name, found: elementType.safetensorsName, supported: "U8, I32, I64")
    }
  }
}
