// Which routers are the columns of a record, and which of their slots are choices? A column is a layer that the record names, the user names or
// the model has; slots at its end may hold shared experts or nothing.

import Routing

/// What is known of the columns of a record when its rows have been looked through once.
struct RecordColumns {
  /// By column.
  var routers: [RouterID]
  /// Slots of each column that are choices.
  var widths: [Int]
  var findings: [ImportFinding] = []
  /// Whether the numbers of layers were counted up from 0.
  var isGuessed = false

  /// - Throws: `ImportError.layers` where the user names another number of layers than there are.
  init(_ shape: ForeignShape, request: ImportRequest) throws {
    widths = shape.columns.map(\.slots)
    let own = shape.columns.compactMap(\.router)
    let model = request.model?.routers.map(\.id)
    if let layers = request.layers {
      guard layers.count == shape.columns.count else {
        throw ImportError.layers(named: layers.count, found: shape.columns.count)
      }
      if let twice = layers.first(where: { layer in layers.count { $0 == layer } > 1 }) { throw ImportError.layerTwice(twice) }
      routers = layers.map { RouterID(layer: $0) }
    } else if own.count == shape.columns.count {
      routers = own
    } else if let model, model.count == shape.columns.count {
      routers = model
    } else {
      routers = shape.columns.indices.map { RouterID(layer: $0) }
      isGuessed = model == nil
    }
  }
}

/// Extremes of the ids of a record, one pass over all rows.
struct ColumnSurvey {
  struct Slot {
    var low = Int32.max
    var high = Int32.min
    /// The largest that is an expert's in any model.
    var expert = Int32.min

    var constant: Int32? { low == high ? low : nil }
  }

  private(set) var rows = 0
  /// `[columns][slots]`
  private(set) var slots: [[Slot]]
  /// By column: rows in which every id is -1.
  private(set) var unknown: [Int]

  init(_ shape: ForeignShape) {
    slots = shape.columns.map { Array(repeating: Slot(), count: $0.slots) }
    unknown = Array(repeating: 0, count: shape.columns.count)
  }

  mutating func add(_ block: ForeignRows) {
    rows += block.count
    for (column, decisions) in block.columns.enumerated() {
      let width = slots[column].count
      guard width > 0, decisions.ids.count == block.count * width else { continue }
      decisions.ids.withUnsafeBufferPointer { ids in
        slots[column].withUnsafeMutableBufferPointer { slots in
          for row in 0..<block.count {
            var isUnknown = true
            for slot in 0..<width {
              let id = ids[row * width + slot]
              slots[slot].low = min(slots[slot].low, id)
              slots[slot].high = max(slots[slot].high, id)
              if id < ForeignShape.expertLimit { slots[slot].expert = max(slots[slot].expert, id) }
              if id != -1 { isUnknown = false }
            }
            if isUnknown { unknown[column] += 1 }
          }
        }
      }
    }
  }

  /// Whether some id of the column is not 0.
  func isLive(_ column: Int) -> Bool { slots[column].contains { $0.low != 0 || $0.high != 0 } && rows > 0 }

  func isAllUnknown(_ column: Int) -> Bool { rows > 0 && unknown[column] == rows }

  /// The largest id of some columns that an expert can have, in their first slots; nil: there is none.
  func largest(_ columns: [Int], widths: [Int]) -> Int? {
    columns.flatMap { slots[$0].prefix(widths[$0]).map(\.expert) }.max().flatMap { $0 < 0 ? nil : Int($0) }
  }
}

extension RecordColumns {
  /// Takes the slots off the end that hold one and the same value in every row of every routed layer, and none that can be a choice.
  mutating func peel(_ survey: ColumnSurvey, experts: Int?) {
    let routed = routers.indices.filter(survey.isLive)
    guard let first = routed.first, survey.rows > 0, routed.allSatisfy({ widths[$0] == widths[first] }) else { return }
    while widths[first] > 1 {
      let last = widths[first] - 1
      guard let value = survey.slots[first][last].constant, routed.allSatisfy({ survey.slots[$0][last].constant == value }) else { return }
      // Nobody has 255 experts by chance in every row.
      let isOfBytes = value == 255 && Double(survey.rows * routed.count - 1) * 5.545 >= RecordJudge.evidence
      guard value < 0 || experts.map({ Int(value) >= $0 }) == true || isOfBytes else { return }
      if routed.allSatisfy({ survey.slots[$0][..<last].allSatisfy { $0.constant == value } }) { return }
      for column in routers.indices { widths[column] = min(widths[column], last) }
      for column in routed {
        findings.append(
          ImportFinding(
            value == -1 ? .padded : .sharedSlot, router: routers[column], count: survey.rows, of: survey.rows,
            detail: value == -1
              ? "slot \(last) is -1 in every row: it was cut off"
              : "slot \(last) is \(value) in every row: that of a shared expert, no choice; it was cut off"))
      }
    }
  }
}
