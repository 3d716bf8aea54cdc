// The counts of a denoising run being written: one accumulator a branch, and which of its tables the disk does not know yet. Counts are
// kept of every denoising run, so that its heat maps need no reading of decisions; a run that keeps counts alone keeps nothing else.

import Foundation
import GRDB
import Routing

struct DenoisingRecord {
  private var branches: [DenoisingCounts]
  /// Samples on disk, by branch.
  private var stored: [Set<Int>]

  init(_ layout: DenoisingLayout, routers: [RouterDescription]) throws {
    branches = try (0..<layout.branchCount).map { try DenoisingCounts(layout: layout, routers: routers, branch: $0) }
    stored = branches.map { _ in [] }
  }

  mutating func add(_ pass: RoutingPass) {
    for branch in branches.indices { branches[branch].add(pass) }
  }

  /// Writes the layout, once.
  func storeLayout(_ db: Database, run: Int64) throws {
    guard let layout = branches.first?.layout else { return }
    try db.execute(
      sql: "INSERT INTO denoising VALUES (?, ?, ?, ?)", arguments: [run, layout.branchCount, layout.patchRows, layout.patchColumns])
    for (step, timestep) in layout.timesteps.enumerated() {
      try db.execute(sql: "INSERT INTO denoising_step VALUES (?, ?, ?)", arguments: [run, step, Double(timestep)])
    }
    // One row of `number` for every entry of a table: the view of counts counts with it.
    let cells = max(layout.stepCount, layout.patchCount)
    try CountingRows.provide(db, upTo: cells * (branches.first?.routers.values.map(\.expertCount).max() ?? 0))
  }

  /// Writes the samples that became whole since the last time, and the groups they fell into.
  ///
  /// - Parameter rows: ids of the routers' rows.
  /// - Returns: samples that are on disk when the transaction is.
  func store(_ db: Database, routers rows: [RouterID: Int64]) throws -> [Set<Int>] {
    for (counts, known) in zip(branches, stored) {
      let fresh = counts.samples.subtracting(known)
      if fresh.isEmpty { continue }
      for (router, tables) in counts.routers {
        guard let row = rows[router] else { continue }
        try store(db, tables, of: fresh, router: row, branch: counts.branch)
      }
    }
    return branches.map(\.samples)
  }

  /// Bytes of the tables when every whole sample is stored.
  var byteCount: Int {
    branches.reduce(0) { sum, counts in
      let groups = Set(counts.samples.map { $0 % DenoisingCounts.groupCount })
      return counts.routers.values.reduce(sum) { sum, tables in
        let sums = groups.reduce(8 * (tables.stepWeights.count + tables.patchWeights.count)) {
          $0 + 4 * (tables.steps[$1].count + tables.patches[$1].count)
        }
        return tables.samples.values.reduce(sum + (groups.isEmpty ? 0 : sums)) { $0 + 4 * ($1.counts.count + $1.weights.count) }
      }
    }
  }

  mutating func committed(_ samples: [Set<Int>]) { stored = samples }

  private func store(_ db: Database, _ tables: DenoisingTables, of fresh: Set<Int>, router: Int64, branch: Int) throws {
    let group = try db.cachedStatement(
      sql: "INSERT OR REPLACE INTO denoising_group (router, branch, sample_group, steps, patches) VALUES (?, ?, ?, ?, ?)")
    for number in Set(fresh.map { $0 % DenoisingCounts.groupCount }).sorted() {
      try group.execute(arguments: [router, branch, number, packed(tables.steps[number]), packed(tables.patches[number])])
    }
    try db.cachedStatement(sql: "INSERT OR REPLACE INTO denoising_weight (router, branch, steps, patches) VALUES (?, ?, ?, ?)")
      .execute(arguments: [router, branch, packed(tables.stepWeights), packed(tables.patchWeights)])
    let insert = try db.cachedStatement(sql: "INSERT INTO denoising_sample VALUES (?, ?, ?, ?, ?)")
    for sample in fresh.sorted() {
      guard let own = tables.samples[sample] else { continue }
      try insert.execute(arguments: [router, branch, sample, packed(own.counts), packed(own.weights)])
    }
  }

  private func packed(_ values: [UInt32]) -> Data {
    var bytes: [UInt8] = []
    PackedColumns.append(values, to: &bytes)
    return Data(bytes)
  }

  private func packed(_ values: [Double]) -> Data {
    var bytes: [UInt8] = []
    PackedColumns.append(values, to: &bytes)
    return Data(bytes)
  }

  private func packed(_ values: [Float]) -> Data {
    var bytes: [UInt8] = []
    PackedColumns.append(values[...], as: 4, to: &bytes)
    return Data(bytes)
  }
}
