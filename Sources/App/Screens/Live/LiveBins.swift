// The values of the heat map of Live, folded once for a window and a metric however often they are drawn; and how many experts share a
// column where there are more of them than columns.

import Routing
import Terminal

extension ActionID {
  static let bin = ActionID("bin")
}

/// What the heat map shows.
struct LiveFace: Sendable {
  struct Question: Equatable, Sendable {
    /// Of the buffer's decisions.
    var version: Int
    var rows: Range<Int>
    var metric: LiveScreen.Metric
    var order: LiveScreen.Order
    var bin: Int
  }

  /// The expert of a router with the highest value.
  struct Best: Sendable {
    var expert: Int
    var value: Double
  }

  /// `[routers][columns]`: means over the experts of a column, of those that have a value; nil where nothing is known of a router.
  private let values: [[Double]?]
  /// `[routers][experts]`: experts by load; empty where they stand by index.
  private let orders: [[Int]]
  /// By router.
  let best: [Best?]

  /// - Parameters:
  ///   - values: `[routers][experts]`
  ///   - counts: `[routers][experts]` to order by; nil: by index.
  init(_ values: [[Double]?], counts: [[Int]]?, bin: Int) {
    let orders = counts.map { $0.map { counts in counts.indices.sorted { (counts[$1], $0) < (counts[$0], $1) } } } ?? []
    self.orders = orders
    best = values.map { values in
      guard let values else { return nil }
      let best = values.indices.filter { values[$0].isFinite }.max { values[$0] < values[$1] }
      return best.map { Best(expert: $0, value: values[$0]) }
    }
    self.values = values.enumerated().map { router, values in
      guard let values else { return nil }
      let placed = orders.indices.contains(router) && orders[router].count == values.count ? orders[router].map { values[$0] } : values
      return bin == 1 ? placed : Self.means(placed, bin)
    }
  }

  private static func means(_ values: [Double], _ bin: Int) -> [Double] {
    stride(from: 0, to: values.count, by: bin).map { start in
      var (sum, count) = (0.0, 0)
      for value in values[start..<min(values.count, start + bin)] where value.isFinite { (sum, count) = (sum + value, count + 1) }
      return count > 0 ? sum / Double(count) : .nan
    }
  }

  /// NaN where no expert of the column has one, nil where there is no such column.
  func value(_ router: Int, _ column: Int) -> Double? {
    guard values.indices.contains(router), let row = values[router], row.indices.contains(column) else { return nil }
    return row[column]
  }

  /// Where an expert stands among those of its router.
  func place(of expert: Int, router: Int) -> Int {
    orders.indices.contains(router) ? orders[router].firstIndex(of: expert) ?? 0 : expert
  }

  /// The experts of a router as they stand.
  func experts(of router: Int, count: Int) -> [Int] { orders.indices.contains(router) ? orders[router] : Array(0..<count) }

  /// The expert that stands at a place.
  func expert(at place: Int, router: Int) -> Int {
    orders.indices.contains(router) && orders[router].indices.contains(place) ? orders[router][place] : place
  }
}

extension AppModel {
  /// Columns of the heat map's panel that hold no cells: blanks and what stands after them.
  static let besideCells = 15

  /// What is shown of the layers where not all are: `rows 8-15 of 64`.
  func partWords(_ shown: Range<Int>, of count: Int) -> String {
    "rows \(shown.lowerBound)-\(max(shown.lowerBound, shown.upperBound - 1)) of \(count)"
  }

  /// Columns that so many experts take.
  func binned(_ experts: Int, _ bin: Int) -> Int { (experts + bin - 1) / bin }

  /// How many experts share a column in a panel of that width inside: as asked for, else as few as there is room for.
  func bin(width: Int) -> Int {
    let experts = routers.map(\.spec.expertCount).max() ?? 0
    if let asked = self[LiveScreen.self].bin { return max(1, min(asked, experts)) }
    // What stands after the cells gives way before experts share columns.
    if experts <= width - layerNameWidth - 1 { return 1 }
    let room = max(1, width - layerNameWidth - Self.besideCells)
    return (experts + room - 1) / room
  }

  /// The same of the panel as it stands on the screen.
  var heatBin: Int { bin(width: panelAreas[.heat].map { Panel.inner($0).width } ?? size.width) }

  func liveFace(_ tallies: [RouterTally], bin: Int) -> LiveFace {
    let question = LiveFace.Question(version: buffer?.version ?? 0, rows: windowRows, metric: metric, order: order, bin: bin)
    return self[LiveScreen.self].faces.answer(question) { _ in
      LiveFace(heat(tallies), counts: order == .load ? tallies.map(\.counts) : nil, bin: bin)
    }
  }

  /// Left and right over the columns of the heat map.
  mutating func moveColumn(_ by: Int) {
    guard let spec else { return }
    let bin = heatBin
    let face = liveFace(windowTallies(), bin: bin)
    if bin == 1 { return moveExpert(by, among: face.experts(of: router, count: spec.expertCount)) }
    // On to the first of the experts that share the next column.
    let place = min(spec.expertCount - 1, face.place(of: expert, router: router))
    let wanted = max(0, min((spec.expertCount - 1) / bin, place / bin + by)) * bin
    expert = face.expert(at: wanted, router: router)
  }

  /// `auto`, or so many experts a column.
  mutating func setBin(_ argument: String) -> [Effect] {
    if argument == "auto" {
      self[LiveScreen.self].bin = nil
    } else if let wanted = Int(argument), wanted > 0 {
      self[LiveScreen.self].bin = wanted
    } else {
      return missing("how many experts share a column: a number, or auto")
    }
    let bin = heatBin
    say(bin == 1 ? "a column an expert" : "a column is the mean of \(Show.grouped(bin)) experts")
    return []
  }
}
