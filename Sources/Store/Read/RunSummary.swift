// What one sees of a run before reading its routing: a row of the Runs screen and of `moetop runs`.

import Foundation
import GRDB
import Routing

/// Where a run stands.
public enum RunState: Sendable, Equatable {
  case running
  case completed
  /// By the user; the trace is whole up to its last token.
  case stopped
  case failed(reason: String)
  /// The process that wrote it is gone without having said goodbye; the trace is whole up to its last token.
  case interrupted

  /// One word, as the view `runs` says it.
  public var name: String {
    switch self {
    case .running: "running"
    case .completed: "completed"
    case .stopped: "stopped"
    case .failed: "failed"
    case .interrupted: "interrupted"
    }
  }
}

public struct RunSummary: Sendable, Equatable, Identifiable {
  public var id: Int64
  /// Provenance, with name and tags as they are now.
  public var description: RunDescription
  public var state: RunState
  public var tokenCount: Int
  public var sequenceCount: Int
  /// Bytes of its packed columns: the run's share of the file but for tokens, keys and free space.
  public var storedBytes: Int
  /// Seconds since 1970; nil while it runs and when it was interrupted.
  public var endedAt: Double?
  /// Seconds since 1970 of the last sign of life.
  public var heartbeat: Double
  public var checks: [CaptureCheck]

  public init(
    id: Int64, description: RunDescription, state: RunState, tokenCount: Int, sequenceCount: Int, storedBytes: Int, endedAt: Double? = nil,
    heartbeat: Double, checks: [CaptureCheck] = []
  ) {
    self.id = id
    self.description = description
    self.state = state
    self.tokenCount = tokenCount
    self.sequenceCount = sequenceCount
    self.storedBytes = storedBytes
    self.endedAt = endedAt
    self.heartbeat = heartbeat
    self.checks = checks
  }

  public var name: String { description.name }
  public var failedChecks: [CaptureCheck] { checks.filter { $0.outcome == .failed } }
  public var suspiciousChecks: [CaptureCheck] { checks.filter { $0.outcome == .suspicious } }

  /// What a reader of its numbers must know when rules changed its routing; nil for the others.
  public var interventionWarning: String? {
    description.intervention.map { "the routing of run \(id) was changed by rules, it is not the model's own: \($0)" }
  }

  /// One line about a run that did not reach its end; nil for the others.
  public var note: String? {
    switch state {
    case .completed: nil
    case .running: "still being written, \(tokenCount) tokens so far"
    case .stopped: "stopped by the user at token \(tokenCount); whole up to there"
    case .failed(let reason): "failed at token \(tokenCount): \(reason)"
    case .interrupted: "interrupted at token \(tokenCount); whole up to there"
    }
  }
}

extension RunSummary {
  /// All runs of a trace, oldest first, or the one of an id: four queries, however many there are.
  static func fetch(_ db: Database, id: Int64? = nil, file: String, isAlive: (ProcessIdentity, Double) -> Bool) throws -> [RunSummary] {
    var routers = try Grouped(db, "SELECT run, stack, layer, spec, top_k, id FROM router", id, order: "run, id")
    let more = try RouterMore.fetch(db, run: id)
    var checks = try Grouped(db, "SELECT run, name, outcome, detail FROM capture_check", id, order: "run, name")
    var sequences = try Grouped(db, "SELECT run, count(*) FROM sequence", id, order: "run", grouping: "GROUP BY run")
    var specs: [String: RouterSpec] = [:]
    let filter = id == nil ? "" : "WHERE id = ?"
    let rows = try Row.fetchCursor(db, sql: "SELECT * FROM run \(filter) ORDER BY id", arguments: id.map { [$0] } ?? [])
    var runs: [RunSummary] = []
    while let row = try rows.next() {
      let run: Int64 = try row.value("id")
      var description = try decoded(RunDescription.self, row.value("description"), place: "description of run \(run)", file: file)
      description.name = try row.value("name")
      description.tags = try decoded([String].self, row.value("tags"), place: "tags of run \(run)", file: file)
      description.routers = try routers.take(run) { try router($0, more[try $0.value(5)], run: run, specs: &specs, file: file) }
      let sequenceCount = try sequences.take(run) { try $0.count(1) }.first ?? 0
      runs.append(
        RunSummary(
          id: run, description: description, state: try state(row, run: run, file: file, isAlive: isAlive),
          tokenCount: try row.count("token_count"), sequenceCount: sequenceCount, storedBytes: try row.count("stored_bytes"),
          endedAt: try row.value("ended_at"), heartbeat: try row.value("heartbeat"),
          checks: try checks.take(run) {
            CaptureCheck(name: try $0.value(1), outcome: .init(rawValue: try $0.value(2)) ?? .failed, detail: try $0.value(3))
          }))
    }
    return runs
  }

  /// Rows of another table that belong to runs, read along with them in one go.
  private struct Grouped {
    private let rows: RowCursor
    private var next: Row?

    /// - Parameter sql: a SELECT whose first column is the run.
    init(_ db: Database, _ sql: String, _ id: Int64?, order: String, grouping: String = "") throws {
      rows = try Row.fetchCursor(
        db, sql: "\(sql) \(id == nil ? "" : "WHERE run = ?") \(grouping) ORDER BY \(order)", arguments: id.map { [$0] } ?? [])
      next = try rows.next()
    }

    /// The rows of `run`; runs are asked for in rising order.
    mutating func take<Value>(_ run: Int64, _ body: (Row) throws -> Value) throws -> [Value] {
      var values: [Value] = []
      while let row = next {
        let owner: Int64 = try row.value(0)
        if owner > run { break }
        if owner == run { values.append(try body(row)) }
        next = try rows.next()
      }
      return values
    }
  }

  private static func state(
    _ row: Row, run: Int64, file: String, isAlive: (ProcessIdentity, Double) -> Bool
  ) throws -> RunState {
    switch try row.value("state") as String {
    case "running":
      let process = ProcessIdentity(id: Int32(truncatingIfNeeded: try row.value("process") as Int64), host: try row.value("host"))
      return isAlive(process, try row.value("heartbeat")) ? .running : .interrupted
    case "completed": return .completed
    case "stopped": return .stopped
    case "failed": return .failed(reason: try row.value("reason") ?? "")
    case let other: throw StoreError.damaged(file: file, place: "run \(run)", problem: "unknown state \(other)")
    }
  }

  /// - Parameter specs: rules that were read before; most routers of a trace follow few of them.
  private static func router(
    _ row: Row, _ more: RouterMore?, run: Int64, specs: inout [String: RouterSpec], file: String
  ) throws -> RouterDescription {
    guard let id = RouterID(lane: try row.value(1), layer: try row.count(2)) else {
      throw StoreError.damaged(file: file, place: "routers of run \(run)", problem: "unknown stack \(try row.value(1) as String)")
    }
    let facts = try more?.decoded(place: "router \(id) of run \(run)", file: file)
    let text: String = try row.value(3)
    let slots = try row.count(4)
    if let spec = specs[text] { return RouterDescription(id: id, spec: spec, slots: slots, more: facts) }
    let spec = try decoded(RouterSpec.self, text, place: "router \(id) of run \(run)", file: file)
    do { try spec.validate() } catch {
      throw StoreError.damaged(file: file, place: "router \(id) of run \(run)", problem: "\(error)")
    }
    specs[text] = spec
    return RouterDescription(id: id, spec: spec, slots: slots, more: facts)
  }

  static func decoded<Value: Decodable>(_ type: Value.Type, _ text: String, place: String, file: String) throws -> Value {
    do { return try TraceCoding.value(type, from: text) } catch {
      throw StoreError.damaged(file: file, place: place, problem: "its JSON does not say what it should")
    }
  }
}
