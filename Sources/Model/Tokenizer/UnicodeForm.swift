// How does text get a Unicode normal form (UAX #15)? Decompose, order marks by their class, compose, on the stretches that can change at
// all; the rest, by far the most, is copied. Which Unicode it is of, the caller says by the tables.

/// A Unicode normalisation form.
enum UnicodeForm: UInt8, Sendable, CaseIterable {
  case nfc, nfd, nfkc, nfkd

  private var composes: Bool { self == .nfc || self == .nfkc }
  private var isCompatible: Bool { self == .nfkc || self == .nfkd }

  /// Brings `text`, valid UTF-8, into this form.
  func apply(to text: inout [UInt8], _ tables: UnicodeFormTables) {
    if text.allSatisfy({ $0 < 0x80 }) { return }
    var result: [UInt8] = []
    var copied = 0
    text.withUnsafeBufferPointer { bytes in
      var position = 0
      var base = 0
      while position < bytes.count {
        let (scalar, length) = decodeScalar(bytes, at: position)
        if scalar.isASCII || tables.isSteady(scalar.value, under: self) {
          base = position
          position += length
          continue
        }
        // A stretch begins at the steady character before it, should it combine, and ends before the next one.
        while position < bytes.count {
          let (scalar, length) = decodeScalar(bytes, at: position)
          guard !scalar.isASCII, !tables.isSteady(scalar.value, under: self) else { break }
          position += length
        }
        result.append(contentsOf: bytes[copied..<base])
        append(UnsafeBufferPointer(rebasing: bytes[base..<position]), tables, to: &result)
        copied = position
        base = position
      }
      if copied > 0 { result.append(contentsOf: bytes[copied...]) }
    }
    if copied > 0 { text = result }
  }

  private func append(_ text: UnsafeBufferPointer<UInt8>, _ tables: UnicodeFormTables, to result: inout [UInt8]) {
    var scalars: [UInt32] = []
    var position = 0
    while position < text.count {
      let (scalar, length) = decodeScalar(text, at: position)
      tables.decompose(scalar.value, compatibly: isCompatible, into: &scalars)
      position += length
    }
    orderMarks(&scalars, tables)
    if composes { compose(&scalars, tables) }
    for scalar in scalars { if let scalar = Unicode.Scalar(scalar) { result.append(contentsOf: Character(scalar).utf8) } }
  }

  /// Sorts each run of characters with a class by it; equal ones keep their order.
  private func orderMarks(_ scalars: inout [UInt32], _ tables: UnicodeFormTables) {
    var start = 0
    while start < scalars.count {
      var end = start
      while end < scalars.count, tables.combiningClass(scalars[end]) > 0 { end += 1 }
      if end - start > 1 {
        let marks = scalars[start..<end].map { (mark: $0, order: tables.combiningClass($0)) }.enumerated()
        let sorted = marks.sorted { ($0.element.order, $0.offset) < ($1.element.order, $1.offset) }
        scalars.replaceSubrange(start..<end, with: sorted.map(\.element.mark))
      }
      start = end + 1
    }
  }

  /// Composes each character with the last one of class 0 before it, unless one of its own class or higher stands between them.
  private func compose(_ scalars: inout [UInt32], _ tables: UnicodeFormTables) {
    var kept = 0
    var starter: Int?
    var highest: UInt8 = 0
    for scalar in scalars {
      let order = tables.combiningClass(scalar)
      let isBlocked = starter.map { kept > $0 + 1 && highest >= order } ?? true
      if let place = starter, !isBlocked, let composed = tables.composition(scalars[place], scalar) {
        scalars[place] = composed
        continue
      }
      if order == 0 { (starter, highest) = (kept, 0) } else { highest = order }
      scalars[kept] = scalar
      kept += 1
    }
    scalars.removeSubrange(kept...)
  }
}
