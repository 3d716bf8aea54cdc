// The counts of a denoising run, read back into the accumulator they came from.

import Foundation
import GRDB
import Routing

extension TraceReader {
  /// The counts of one branch of a denoising run, over the samples that were whole at the last commit; nil for a run of text.
  ///
  /// - Throws: `StoreError.damaged` when tables do not have the size that the run's layout says.
  public func denoisingCounts(of run: RunSummary, branch: Int = 0) throws -> DenoisingCounts? {
    guard let layout = run.description.denoising else { return nil }
    let place = "counts of run \(run.id)"
    return try read { db in
      do {
        try layout.validate()
        var tables: [RouterID: DenoisingTables] = [:]
        for router in try RouterRows.fetch(db, run: run.id, file: file) {
          try layout.validate(expertCount: router.layout.expertCount)
          tables[router.id] = try table(db, router, branch: branch, layout: layout)
        }
        return try DenoisingCounts(layout: layout, branch: branch, tables: tables)
      } catch let error as RoutingError {
        throw StoreError.damaged(file: file, place: place, problem: "\(error)")
      }
    }
  }

  private func table(_ db: Database, _ router: StoredRouter, branch: Int, layout: DenoisingLayout) throws -> DenoisingTables {
    var table = DenoisingTables(layout: layout, expertCount: router.layout.expertCount)
    let arguments: StatementArguments = [router.row, branch]
    let groups = "SELECT sample_group, steps, patches FROM denoising_group WHERE router = ? AND branch = ?"
    for row in try Row.fetchAll(db, sql: groups, arguments: arguments) {
      let group = try row.count(0)
      guard table.steps.indices.contains(group) else {
        throw StoreError.damaged(file: file, place: "counts of router \(router.id)", problem: "group \(group)")
      }
      table.steps[group] = try counts(row, 1, layout.stepCount, of: router)
      table.patches[group] = try counts(row, 2, layout.patchCount, of: router)
    }
    let weights = "SELECT steps, patches FROM denoising_weight WHERE router = ? AND branch = ?"
    if let row = try Row.fetchOne(db, sql: weights, arguments: arguments) {
      table.stepWeights = (try row.value(0) as Data).withUnsafeBytes { PackedColumns.doubles($0) }
      table.patchWeights = (try row.value(1) as Data).withUnsafeBytes { PackedColumns.doubles($0) }
    }
    let samples = "SELECT sample, counts, weights FROM denoising_sample WHERE router = ? AND branch = ?"
    for row in try Row.fetchAll(db, sql: samples, arguments: arguments) {
      let sample = try row.count(0)
      guard sample < Self.sequenceLimit else {
        throw StoreError.damaged(file: file, place: "counts of router \(router.id)", problem: "sample \(sample)")
      }
      table.samples[sample] = DenoisingTables.Sample(
        counts: try counts(row, 1, 1, of: router),
        weights: (try row.value(2) as Data).withUnsafeBytes { PackedColumns.floats($0, as: 4) })
    }
    return table
  }

  /// `[cells, experts]` out of a column.
  private func counts(_ row: Row, _ column: Int, _ cells: Int, of router: StoredRouter) throws -> [UInt32] {
    let data: Data = try row.value(column)
    let expected = cells * router.layout.expertCount * 4
    guard data.count == expected else {
      throw StoreError.damaged(
        file: file, place: "counts of router \(router.id)", problem: "\(data.count) bytes, expected \(expected)")
    }
    return PackedColumns.integers(data)
  }
}
