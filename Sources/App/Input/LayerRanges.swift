// Lists of layers as people write them: `0-3,7`.

enum LayerRanges {
  /// Rising indices as ranges.
  static func text(_ layers: [Int]) -> String {
    var parts: [String] = []
    var rest = layers[...]
    while let first = rest.first {
      var last = first
      rest = rest.dropFirst()
      while rest.first == last + 1 {
        last += 1
        rest = rest.dropFirst()
      }
      parts.append(first == last ? "\(first)" : "\(first)-\(last)")
    }
    return parts.joined(separator: ",")
  }

  /// Reads `0-3,7`; nil when it is not of that form.
  static func parse(_ text: String) -> Set<Int>? {
    var layers: Set<Int> = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let ends = part.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map { Int($0) }
      guard let first = ends.first ?? nil, let last = ends.last ?? nil, first >= 0, first <= last, last < 1 << 20 else { return nil }
      layers.formUnion(first...last)
    }
    return layers
  }
}
