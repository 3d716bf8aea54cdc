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
}
