// The comparison itself: numbers within tolerance, expert sets equal except at near ties, weights per expert id.

import Formats
import Routing

struct Comparison {
  private let expected: SafetensorsFile
  private let capture: VerificationCapture
  private let routers: [RouterDescription]
  private let ties: TieRulings
  private var compared: Set<String> = []
  private(set) var report = VerificationReport()

  init(expected: SafetensorsFile, capture: VerificationCapture, routers: [RouterDescription], ties: TieRulings) {
    self.ties = ties
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

  private mutating func compareIntegers(_ name: String, _ fed: [Int32], unit: String) throws {
    guard expected[name] != nil else { return }
    compared.insert(name)
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
      let wanted = try integers(prefix + "expert_ids")
      // A file may hold the logits of some rows only; then our own say how near a decision was.
      let hasAllLogits = expected[prefix + "router_logits"] != nil && expected[prefix + "rows"] == nil
      let logits = hasAllLogits ? try floats(prefix + "router_logits") : nil
      guard wanted.count == got.count else {
        add(prefix + "expert_ids", .differs, error: 1, tolerance: 0, detail: "\(got.count) ids, expected \(wanted.count)")
        continue
      }
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
          if tie?.allows(got[slots]) == true && tie?.allows(wanted[slots]) == true { nearTies += 1 } else { differing += 1 }
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
    let expectedWeights = try floats(prefix + "weights")
    let gotWeights = capture.floats[prefix + "weights"] ?? []
    guard expectedWeights.count == gotWeights.count else {
      add(prefix + "weights", .differs, error: .infinity, tolerance: Verifier.Tolerance.weights, detail: "wrong size")
      return
    }
    guard !rows.isEmpty else {
      add(prefix + "weights", .empty, error: 0, tolerance: 0, detail: "no decision with the same experts")
      return
    }
    var worst: Float = 0
    for row in rows {
      let slots = row * topK..<(row + 1) * topK
      for slot in slots {
        guard let match = slots.first(where: { wanted[$0] == got[slot] }) else { continue }
        worst = larger(worst, abs(gotWeights[slot] - expectedWeights[match]))
      }
    }
    let scale = max(1, expectedWeights.reduce(0) { max($0, abs($1)) })
    judge(prefix + "weights", error: worst / scale, tolerance: Verifier.Tolerance.weights, detail: "per expert id")
  }

  /// Every other tensor, by its name.
  ///
  /// - Parameter named: tensors that say which row is which, not what was computed.
  mutating func compareActivations(except named: Set<String> = []) throws {
    for view in expected.tensors where !compared.contains(view.name) && !named.contains(view.name) {
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
      let wanted = try floats(view.name)
      if suffix == "router_logits" { got = try rows(of: got, named: view.name, width: view.shape.last ?? 1) }
      let isRouter = ["router_logits", "entropy", "selection_margin", "top1_margin", "top_k_mass"].contains(suffix)
      // Without ids there is nothing to say which expert a weight is of: by rank, as both sides order them.
      let isWeights = suffix == "weights"
      let tolerance =
        isRouter ? Verifier.Tolerance.routerLogits : isWeights ? Verifier.Tolerance.weights : Verifier.Tolerance.activations
      guard got.count == wanted.count else {
        add(view.name, .differs, error: .infinity, tolerance: tolerance, detail: "\(got.count) values, expected \(wanted.count)")
        continue
      }
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
