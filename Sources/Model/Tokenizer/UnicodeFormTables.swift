// What does Unicode say of each character that its normal forms need? Combining classes, decompositions, compositions (UAX #15), read once
// from UnicodeFormData.swift. Syllables of Hangul are computed, as the standard does.

import Foundation

/// The tables of one version of Unicode.
struct UnicodeFormTables: Sendable {
  /// Of Unicode 15: what Python's unicodedata does with text.
  static let current = UnicodeFormTables(throughVersion9: false)
  /// Of Unicode 9, as Hugging Face's tokenizers has them: a character that came later neither changes nor combines.
  static let version9 = UnicodeFormTables(throughVersion9: true)

  /// Hangul: where syllables and their letters begin, and how many there are of each.
  enum Hangul {
    static let syllables: UInt32 = 0xAC00
    static let leads: UInt32 = 0x1100
    static let vowels: UInt32 = 0x1161
    /// One before the first trail, which stands for none.
    static let trails: UInt32 = 0x11A7
    static let leadCount: UInt32 = 19
    static let vowelCount: UInt32 = 21
    static let trailCount: UInt32 = 28
    static let syllableCount = leadCount * vowelCount * trailCount
  }

  /// Bits of a character's byte in `pages`: what is not steady under a form may change, or combine with what stands before it.
  static func bit(of form: UnicodeForm) -> UInt8 { 1 << form.rawValue }

  /// One byte for each of 256 characters; page 0 is the one of most: steady under every form, combining class 0.
  private var steadiness: [UInt8] = Array(repeating: 0, count: 256)
  private var classes: [UInt8] = Array(repeating: 0, count: 256)
  private var pages: [UInt16] = Array(repeating: 0, count: 0x11_0000 >> 8)
  /// One step of decomposition.
  private var canonical: [UInt32: [UInt32]] = [:]
  private var compatible: [UInt32: [UInt32]] = [:]
  /// Two characters, the first in the upper half, and what they compose to.
  private var compositions: [UInt64: UInt32] = [:]

  func isSteady(_ scalar: UInt32, under form: UnicodeForm) -> Bool { steadiness[place(of: scalar)] & Self.bit(of: form) == 0 }

  func combiningClass(_ scalar: UInt32) -> UInt8 { classes[place(of: scalar)] }

  /// Appends what `scalar` is decomposed to, in full; canonical order is for the caller.
  func decompose(_ scalar: UInt32, compatibly: Bool, into result: inout [UInt32]) {
    let syllable = scalar &- Hangul.syllables
    if syllable < Hangul.syllableCount {
      let (pair, trail) = syllable.quotientAndRemainder(dividingBy: Hangul.trailCount)
      result += [Hangul.leads + pair / Hangul.vowelCount, Hangul.vowels + pair % Hangul.vowelCount]
      if trail > 0 { result.append(Hangul.trails + trail) }
    } else if let parts = canonical[scalar] ?? (compatibly ? compatible[scalar] : nil) {
      for part in parts { decompose(part, compatibly: compatibly, into: &result) }
    } else {
      result.append(scalar)
    }
  }

  /// What two neighbours compose to; nil when they stay two.
  func composition(_ first: UInt32, _ second: UInt32) -> UInt32? {
    let lead = first &- Hangul.leads
    let vowel = second &- Hangul.vowels
    if lead < Hangul.leadCount, vowel < Hangul.vowelCount {
      return Hangul.syllables + (lead * Hangul.vowelCount + vowel) * Hangul.trailCount
    }
    let syllable = first &- Hangul.syllables
    let trail = second &- Hangul.trails
    if syllable < Hangul.syllableCount, syllable % Hangul.trailCount == 0, trail > 0, trail < Hangul.trailCount { return first + trail }
    return compositions[UInt64(first) << 32 | UInt64(second)]
  }

  // MARK: Reading

  private init(throughVersion9: Bool) {
    var reader = VarintReader(UnicodeFormData.base64)
    readSection(&reader)
    if !throughVersion9 { readSection(&reader) }
    markUnsteady()
  }

  private func place(of scalar: UInt32) -> Int { Int(pages[Int(scalar >> 8)]) << 8 | Int(scalar & 0xFF) }

  /// The byte of a character, in a page of its own.
  private mutating func ownPlace(of scalar: UInt32) -> Int {
    if pages[Int(scalar >> 8)] == 0 {
      pages[Int(scalar >> 8)] = UInt16(steadiness.count >> 8)
      steadiness += Array(repeating: 0, count: 256)
      classes += Array(repeating: 0, count: 256)
    }
    return place(of: scalar)
  }

  /// Runs of combining classes (gap to the run before, length, class); canonical decompositions (step to the character before, whether
  /// it does not compose, how many parts, parts as differences to those before); compatibility decompositions (step, count, differences).
  private mutating func readSection(_ reader: inout VarintReader) {
    var next: UInt32 = 0
    for _ in 0..<reader.next() {
      next += reader.next()
      let count = reader.next()
      let value = UInt8(truncatingIfNeeded: reader.next())
      for scalar in next..<next + count { classes[ownPlace(of: scalar)] = value }
      next += count
    }
    next = 0
    var parts: [UInt32] = [0, 0]
    for _ in 0..<reader.next() {
      let head = reader.next()
      next += head >> 2
      for place in 0...Int(head & 1) { parts[place] = reader.next(after: parts[place]) }
      canonical[next] = Array(parts.prefix(Int(head & 1) + 1))
      if head & 2 == 0 { compositions[UInt64(parts[0]) << 32 | UInt64(parts[1])] = next }
    }
    next = 0
    var part: UInt32 = 0
    for _ in 0..<reader.next() {
      next += reader.next()
      compatible[next] = (0..<reader.next()).map { _ in
        part = reader.next(after: part)
        return part
      }
    }
  }

  private mutating func markUnsteady() {
    func bits(_ forms: [UnicodeForm]) -> UInt8 { forms.reduce(0) { $0 | Self.bit(of: $1) } }
    let (decomposed, composed) = (bits([.nfd, .nfkd]), bits([.nfc, .nfkc]))
    for place in classes.indices where classes[place] > 0 { steadiness[place] = decomposed | composed }
    for scalar in canonical.keys { steadiness[ownPlace(of: scalar)] |= decomposed | composed }
    for scalar in compatible.keys { steadiness[ownPlace(of: scalar)] |= bits([.nfkc, .nfkd]) }
    // What composes again is steady, unless a part of it is replaced.
    for scalar in compositions.values where combiningClass(scalar) == 0 {
      var (parts, replaced): ([UInt32], [UInt32]) = ([], [])
      decompose(scalar, compatibly: false, into: &parts)
      decompose(scalar, compatibly: true, into: &replaced)
      steadiness[ownPlace(of: scalar)] = decomposed | (parts == replaced ? 0 : bits([.nfkc]))
    }
    for pair in compositions.keys { steadiness[ownPlace(of: UInt32(truncatingIfNeeded: pair))] |= composed }
    for index in 0..<Hangul.syllableCount { steadiness[ownPlace(of: Hangul.syllables + index)] |= decomposed }
    for index in 0..<Hangul.vowelCount { steadiness[ownPlace(of: Hangul.vowels + index)] |= composed }
    for index in 1..<Hangul.trailCount { steadiness[ownPlace(of: Hangul.trails + index)] |= composed }
  }
}

/// Numbers of seven bits a byte, lowest first; 0 behind the end.
private struct VarintReader {
  private let bytes: Data
  private var position = 0

  init(_ base64: String) { bytes = Data(base64Encoded: base64) ?? Data() }

  mutating func next() -> UInt32 {
    var value: UInt32 = 0
    var shift: UInt32 = 0
    while position < bytes.count {
      let byte = bytes[position]
      position += 1
      value |= UInt32(byte & 0x7F) << shift
      if byte < 0x80 { break }
      shift += 7
    }
    return value
  }

  /// A number given as its difference to another, the sign in the lowest bit.
  mutating func next(after value: UInt32) -> UInt32 {
    let step = next()
    return step & 1 == 0 ? value &+ step >> 1 : value &- (step >> 1 &+ 1)
  }
}
