// What is done to a file? Cut at random places, bits flipped, values made wild: drawn by seed from the file's name, so that every run
// on every machine draws the same, and any case can be had again.

import Foundation
import Support

/// How often each file is damaged.
struct Counts: Equatable {
  var truncations: Int
  var flips: Int

  static let full = Counts(truncations: 200, flips: 2000)

  /// A share of both, at least one.
  static func / (counts: Counts, part: Int) -> Counts {
    func share(_ number: Int) -> Int { number == 0 ? 0 : max(1, number / part) }
    return Counts(truncations: share(counts.truncations), flips: share(counts.flips))
  }

  /// `MOETOP_FUZZ`: "full", or truncations and flips ("20,200"); a glance without it.
  static func chosen(_ setting: String?) -> Counts? {
    guard let setting else { return Counts(truncations: 2, flips: 8) }
    if setting == "full" { return full }
    let numbers = setting.split(separator: ",").compactMap { Int($0) }.filter { $0 >= 0 }
    return numbers.count == 2 ? Counts(truncations: numbers[0], flips: numbers[1]) : nil
  }
}

/// One damage.
enum Damage: CustomStringConvertible {
  /// Only so many bytes are left.
  case cut(Int)
  /// Bits that are inverted: byte and bit.
  case flips([(place: Int, bit: UInt8)])

  var description: String {
    switch self {
    case .cut(let length): "cut to \(length) bytes"
    case .flips(let flips): "bits flipped: " + flips.prefix(4).map { "byte \($0.place) bit \($0.bit)" }.joined(separator: ", ")
    }
  }

  /// One in so many cases flips this many bits among the values, instead of one anywhere.
  static let wildEvery = 20
  static let wildFlips = 64

  var isWild: Bool { if case .flips(let flips) = self { flips.count > 1 } else { false } }

  /// All of a file's, flips first, then cuts, the longest rest first: so each can be made from the one before.
  ///
  /// Half of the single flips hit the structure, which is a small part of a file of weights.
  static func all(of specimen: Specimen, named name: String, _ counts: Counts) -> [Damage] {
    var random = SeededRandom(seed: name.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 })
    let (count, structure) = (specimen.bytes.count, specimen.structureByteCount)
    func flips(_ number: Int, in range: Range<Int>) -> Damage {
      .flips((0..<number).map { _ in (Int.random(in: range, using: &random), UInt8.random(in: 0..<8, using: &random)) })
    }
    let flips = (0..<counts.flips).map { index in
      if index % wildEvery == wildEvery - 1, structure < count { return flips(wildFlips, in: structure..<count) }
      return flips(1, in: 0..<(index % 2 == 0 ? structure : count))
    }
    let lengths = (0..<counts.truncations).map { _ in Int.random(in: 0..<count, using: &random) }
    return flips + lengths.sorted(by: >).map { .cut($0) }
  }
}

extension Specimen {
  /// Does this damage to the sound file, lets `body` look, and makes it sound again; what a cut took stays away.
  func suffer(_ damage: Damage, _ file: FileHandle, _ body: () throws -> Void) throws {
    switch damage {
    case .cut(let length):
      try file.truncate(atOffset: UInt64(length))
      try body()
    case .flips(let flips):
      for flip in flips { try write(file, bytes[flip.place] ^ 1 << flip.bit, at: flip.place) }
      try body()
      for flip in flips { try write(file, bytes[flip.place], at: flip.place) }
    }
  }

  private func write(_ file: FileHandle, _ byte: UInt8, at place: Int) throws {
    try file.seek(toOffset: UInt64(place))
    try file.write(contentsOf: [byte])
  }
}
