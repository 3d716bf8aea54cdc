// What a trace says of single rows beside who they are: labels, coordinates, requests and ranks, each in a table that has a row only where
// there is something to say.

import Formats
import GRDB
import Routing

extension TraceReader {
  /// Names of the coordinates, and labels with their values, that single rows of a run have.
  public func namedPlaces(run: Int64) throws -> (coordinates: [String], labels: [String: Set<String>]) {
    try read { db in
      guard try db.tableExists("token_label") else { return ([], [:]) }
      let names = try String.fetchAll(db, sql: "SELECT DISTINCT name FROM coordinate WHERE run = ? ORDER BY name", arguments: [run])
      var labels: [String: Set<String>] = [:]
      for row in try Row.fetchAll(db, sql: "SELECT DISTINCT label, value FROM token_label WHERE run = ?", arguments: [run]) {
        labels[try row.value(0), default: []].insert(try row.value(1))
      }
      return (names, labels)
    }
  }
}

enum TokenMore {
  /// - Throws: `DatabaseError`.
  static func insert(_ db: Database, _ facts: TokenFacts, run: Int64, firstToken: Int) throws {
    for (label, values) in facts.labels.sorted(by: { $0.key < $1.key }) {
      let statement = try db.cachedStatement(sql: "INSERT INTO token_label VALUES (?, ?, ?, ?)")
      for (row, value) in values.enumerated() {
        if let value { try statement.execute(arguments: [run, firstToken + row, label, value]) }
      }
    }
    for (name, values) in facts.coordinates.sorted(by: { $0.key < $1.key }) {
      let statement = try db.cachedStatement(sql: "INSERT INTO coordinate VALUES (?, ?, ?, ?)")
      for (row, value) in values.enumerated() where value.isFinite {
        try statement.execute(arguments: [run, firstToken + row, name, value])
      }
    }
    if facts.request == nil && facts.rank == nil { return }
    var rows = try RowInserter(db, "INSERT INTO token_more VALUES (?, ?, ?, ?)")
    for row in 0..<facts.count {
      let (request, rank) = (facts.request?[row] ?? -1, facts.rank?[row] ?? -1)
      if request < 0 && rank < 0 { continue }
      rows.add(run)
      rows.add(firstToken + row)
      rows.add(request < 0 ? nil : request)
      rows.add(rank < 0 ? nil : rank)
      try rows.insert()
    }
  }

  /// What is known of the tokens of a table; nil: nothing.
  static func fetch(_ db: Database, run: Int64, of table: TokenTable) throws -> TokenFacts? {
    guard try db.tableExists("token_more") else { return nil }
    var facts = TokenFacts(count: table.count)
    let (low, high) = (table.firstToken, table.firstToken + table.count)
    func rows(_ columns: String, _ name: String) throws -> RowCursor {
      let statement = try db.cachedStatement(sql: "SELECT token, \(columns) FROM \(name) WHERE run = ? AND token >= ? AND token < ?")
      return try Row.fetchCursor(statement, arguments: [run, low, high])
    }
    let labels = try rows("label, value", "token_label")
    while let row = try labels.next() { facts.setLabel(try row.value(1), try row.value(2), of: try row.count(0) - low) }
    let coordinates = try rows("name, value", "coordinate")
    while let row = try coordinates.next() { facts.setCoordinate(try row.value(1), try row.value(2), of: try row.count(0) - low) }
    let places = try rows("request, rank", "token_more")
    while let row = try places.next() {
      if let request = try row.value(1) as Int64? { facts.setRequest(request, of: try row.count(0) - low) }
      if let rank = try row.value(2) as Int64? { facts.setRank(rank, of: try row.count(0) - low) }
    }
    return facts.isEmpty ? nil : facts
  }
}
