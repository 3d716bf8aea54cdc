// Which of the known names was meant by one that is none?

import Analysis

enum Nearest {
  /// `; the nearest is NAME`, or nothing where none is near.
  static func words(_ found: String, _ known: [String]) -> String {
    guard found.utf8.count <= 64 else { return "" }
    let close = known.map { (name: $0, distance: editDistance($0, found)) }.min { $0.distance < $1.distance }
    guard let close, close.distance <= max(2, found.count / 3) else { return "" }
    return "; the nearest is \(close.name)"
  }
}
