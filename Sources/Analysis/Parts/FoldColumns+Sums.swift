// The sums that folds are made of, as columns: moments, quantiles, tallies, and whatever is kept apart by sequence and stretch of positions.

import Routing

extension Moments {
  /// Count; then mean and sum of squared distances from it.
  func save(_ name: String, _ columns: inout FoldColumns) {
    columns.set(name + ".count", .numbers([count]))
    columns.set(name + ".sums", .reals(parts))
  }

  static func loaded(_ name: String, _ columns: FoldReader) throws(FoldColumnError) -> Moments {
    let count = try columns.numbers(name + ".count", 1)[0]
    let sums = try columns.reals(name + ".sums", 2)
    guard sums[1] >= 0 || sums[1].isNaN else { throw columns.error(name + ".sums", expected: "a sum of squares", found: "\(sums[1])") }
    return Moments(count: count, parts: sums)
  }
}

extension Distribution {
  func save(_ name: String, _ columns: inout FoldColumns) {
    columns.inside(name) { columns in
      moments.save("moments", &columns)
      histogram.save("histogram", &columns)
      columns.set("undefined", .numbers([undefined]))
    }
  }

  static func loaded(_ name: String, _ columns: FoldReader) throws(FoldColumnError) -> Distribution {
    let own = columns.inside(name)
    return Distribution(
      moments: try .loaded("moments", own), histogram: try .loaded("histogram", own), undefined: try own.numbers("undefined", 1)[0])
  }
}

extension ExpertTally {
  /// Entries of many tallies behind each other: how many of each, experts, counts.
  static func save(_ tallies: [ExpertTally], _ name: String, _ columns: inout FoldColumns) {
    var (lengths, experts, counts) = ([UInt32](), [Int32](), [UInt32]())
    for tally in tallies {
      var entries: [(Int, UInt32)] = []
      tally.forEach { entries.append(($0, $1)) }
      entries.sort { $0.0 < $1.0 }
      lengths.append(UInt32(entries.count))
      experts += entries.map { Int32($0.0) }
      counts += entries.map(\.1)
    }
    columns.set(name + ".lengths", .counts(lengths))
    columns.set(name + ".experts", .ids(experts))
    columns.set(name + ".counts", .counts(counts))
  }

  static func loaded(_ name: String, _ count: Int, experts: Int, _ columns: FoldReader) throws(FoldColumnError) -> [ExpertTally] {
    let lengths = try columns.counts(name + ".lengths", count)
    let total = lengths.reduce(0) { $0 + Int($1) }
    let ids = try columns.ids(name + ".experts", total, in: 0...Int32(max(0, experts - 1)))
    let times = try columns.counts(name + ".counts", total)
    if total > 0, experts == 0 { throw columns.error(name + ".experts", expected: "none", found: "\(total)") }
    var start = 0
    return lengths.map { length in
      var tally = ExpertTally(experts: experts)
      for entry in start..<start + Int(length) { tally.add(ids[entry], count: times[entry]) }
      start += Int(length)
      return tally
    }
  }
}

extension Stratum {
  static func save(_ strata: [Stratum], _ columns: inout FoldColumns) {
    columns.set("sequence", .ids(strata.map { Int32($0.sequence) }))
    columns.set("bin", .bytes(strata.map { UInt8($0.bin.rawValue) }))
  }

  /// By their places in the whole, each once.
  static func loaded(_ columns: FoldReader) throws(FoldColumnError) -> [Stratum] {
    let sequences = try columns.sequences("sequence")
    let bins = try columns.bytes("bin", sequences.count)
    if let bad = bins.first(where: { $0 >= Int.bitWidth - 1 }) { throw columns.error("bin", expected: "below 63", found: "\(bad)") }
    let strata = zip(sequences, bins).map { Stratum(sequence: $0, bin: PositionBin(rawValue: Int($1))) }
    if Set(strata).count < strata.count { throw columns.error("sequence", expected: "each stretch once", found: "one twice") }
    return strata
  }
}

extension [MeanSum] {
  func save(_ name: String, _ columns: inout FoldColumns) {
    columns.set(name + ".count", .numbers(map(\.count)))
    columns.set(name + ".sum", .reals(map(\.sum)))
  }

  static func loaded(_ name: String, _ count: Int, _ columns: FoldReader) throws(FoldColumnError) -> [MeanSum] {
    let counts = try columns.numbers(name + ".count", count)
    let sums = try columns.reals(name + ".sum", count)
    return zip(counts, sums).map { MeanSum(count: $0, sum: $1) }
  }
}
