// Are the routers of a run those that were recorded? Each has a row of its own, and a row that was taken away takes its pages with it: what
// is left is consistent. But the checks of the capture say how many routers they looked at, and which tokens each of them saw.

import Foundation
import GRDB
import Routing

extension TraceReader {
  /// As many routers as were recorded, each where the model has blocks, in a stack that its run has, with the tokens of that stack.
  func checkRouters(of run: Int64, _ problems: inout [String]) throws {
    problems += try read { db -> [String] in
      let checks = try Row.fetchAll(db, sql: "SELECT name, outcome, detail FROM capture_check WHERE run = ?", arguments: [run])
      let routers = try Row.fetchAll(
        db, sql: "SELECT stack, layer, token_count, expert_count, log_expert_count FROM router WHERE run = ? ORDER BY id", arguments: [run])
      var found: [String] = []
      for check in checks {
        guard let count = Self.routerCount(in: try check.value(2)), count != routers.count else { continue }
        found.append("routers: found \(routers.count), but the capture check \(try check.value(0) as String) was of \(count)")
        break
      }
      let counts = """
        SELECT r.token_count, count(t.token), coalesce(json_extract(r.description, '$.model.layerCount'), 0),
          json_extract(r.description, '$.recorded.kind') IS NULL
        FROM run AS r LEFT JOIN token AS t ON t.run = r.id AND t.phase = \(TokenPhase.encode.rawValue) WHERE r.id = ?
        """
      guard let row = try Row.fetchOne(db, sql: counts, arguments: [run]) else { return found }
      let tokens = try row.count(0)
      let encoded = try row.count(1)
      let layers = try row.count(2)
      let isOwn: Bool = try row.value(3)
      // Where some routers' routes are not known of all rows, it holds of the others only.
      let sawAll = try checks.contains {
        try $0.value(0) as String == "equal_tokens" && $0.value(1) as String == "held" && Self.isOfAll($0.value(2))
      }
      for router in routers {
        let stack: String = try router.value(0)
        let layer = try router.count(1)
        let name = RouterID(lane: stack, layer: layer)
        let id = "router \(name?.description ?? "\(stack).\(layer)")"
        if layers > 0, layer >= layers { found.append("\(id): the model has \(layers) layers") }
        let logarithm: Double = try router.value(4)
        if abs(logarithm - log(Double(try router.count(3)))) > 1e-9 {
          found.append("\(id): its log_expert_count is \(logarithm), not that of its experts")
        }
        guard sawAll, tokens > 0 else { continue }
        let isOfPair = name?.stack == .encoder || name?.stack == .decoder
        if isOfPair != (encoded > 0) { found.append("\(id): the run has \(encoded > 0 ? "an" : "no") encoder, and no such stack") }
        let expected = name?.stack == .encoder ? encoded : tokens - encoded
        let seen = try router.count(2)
        // Routes that others recorded may be missing.
        if isOwn ? seen != expected : seen > expected {
          found.append("\(id): tokens: found \(seen), expected \(expected), those of its stack")
        }
      }
      return found
    }
  }

  /// Whether a check's words say that it is of every router: `… 6 of 6 routers`.
  private static func isOfAll(_ detail: String) -> Bool {
    let words = detail.split(separator: " ")
    return words.last == "routers" && words.count > 3 && words[words.count - 4] == words[words.count - 2]
  }

  /// The number that a check's words end in: `… of 6 routers`.
  private static func routerCount(in detail: String) -> Int? {
    let words = detail.split(separator: " ")
    guard words.last == "routers", words.count > 2, words[words.count - 3] == "of" else { return nil }
    return Int(words[words.count - 2])
  }
}
