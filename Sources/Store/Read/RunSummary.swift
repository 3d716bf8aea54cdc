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

  /// One line about a run that did not reach its end; nil for the others.
  public var note: String? {
    switch state {
    case .running, .completed: nil
    case .stopped: "stopped by the user at token \(tokenCount); the trace is whole up to there"
    case .failed(let reason): "failed at token \(tokenCount): \(reason)"
    case .interrupted: "interrupted at token \(tokenCount); the trace is whole up to there"
    }
  }
}

extension RunSummary {
  /// All runs of a trace, oldest first, or the one of an id.
  static func fetch(_ db: Database, id: Int64? = nil, file: String, isAlive: (ProcessIdentity, Double) -> Bool) throws -> [RunSummary] {
    let filter = id == nil ? "" : "WHERE id = ?"
    let arguments: StatementArguments = id.map { [$0] } ?? []
    return try Row.fetchAll(db, sql: "SELECT * FROM run \(filter) ORDER BY id", arguments: arguments).map { row in
      let run: Int64 = try row.value("id")
      var description = try decoded(RunDescription.self, row.value("description"), place: "description of run \(run)", file: file)
      description.name = try row.value("name")
      description.tags = try decoded([String].self, row.value("tags"), place: "tags of run \(run)", file: file)
      description.routers = try routers(db, run: run, file: file)
      let process = ProcessIdentity(id: Int32(truncatingIfNeeded: try row.value("process") as Int64), host: try row.value("host"))
      let heartbeat: Double = try row.value("heartbeat")
      let state: RunState
      switch try row.value("state") as String {
      case "running": state = isAlive(process, heartbeat) ? .running : .interrupted
      case "completed": state = .completed
      case "stopped": state = .stopped
      case "failed": state = .failed(reason: try row.value("reason") ?? "")
      case let other: throw StoreError.damaged(file: file, place: "run \(run)", problem: "unknown state \(other)")
      }
      let checks = try Row.fetchAll(db, sql: "SELECT * FROM capture_check WHERE run = ? ORDER BY name", arguments: [run]).map {
        CaptureCheck(
          name: try $0.value("name"), outcome: .init(rawValue: try $0.value("outcome")) ?? .failed, detail: try $0.value("detail"))
      }
      return RunSummary(
        id: run, description: description, state: state, tokenCount: try row.count("token_count"),
        sequenceCount: try Int.fetchOne(db, sql: "SELECT count(*) FROM sequence WHERE run = ?", arguments: [run]) ?? 0,
        storedBytes: try row.count("stored_bytes"), endedAt: try row.value("ended_at"), heartbeat: heartbeat, checks: checks)
    }
  }

  private static func routers(_ db: Database, run: Int64, file: String) throws -> [RouterDescription] {
    try Row.fetchAll(db, sql: "SELECT stack, layer, spec FROM router WHERE run = ? ORDER BY id", arguments: [run]).map { row in
      guard let stack = RouterStack(rawValue: try row.value("stack")) else {
        throw StoreError.damaged(file: file, place: "routers of run \(run)", problem: "unknown stack \(try row.value("stack") as String)")
      }
      let id = RouterID(stack: stack, layer: try row.count("layer"))
      let spec = try decoded(RouterSpec.self, row.value("spec"), place: "router \(id) of run \(run)", file: file)
      do { try spec.validate() } catch {
        throw StoreError.damaged(file: file, place: "router \(id) of run \(run)", problem: "\(error)")
      }
      return RouterDescription(id: id, spec: spec)
    }
  }

  static func decoded<Value: Decodable>(_ type: Value.Type, _ text: String, place: String, file: String) throws -> Value {
    do { return try TraceCoding.value(type, from: text) } catch {
      throw StoreError.damaged(file: file, place: place, problem: "its JSON does not say what it should")
    }
  }
}
