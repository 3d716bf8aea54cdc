// Do our own lines of JSON come back as they were exported, and what is said of lines that nobody exported?

import Formats
import Foundation
import Routing
import Support
import Testing

@testable import Store

extension LineReaderTests {
  @Test func soundMoetopLines() throws {
    let told = try #require(ForeignCase.all(of: .moetopJSONL).first { $0.name == "moetop-jsonl/sound" })
    let record = try Self.open(.moetopJSONL, told.files)
    let computed = try ComputedRoutes("models/olmoe")
    #expect(record.shape.row == .token)
    #expect(record.shape.sequences.map(\.name) == ["0", "1"])
    #expect(record.shape.sequences.map(\.labels) == [["domain": "a"], ["domain": "b"]])
    #expect(record.shape.sequences.map(\.start) == [0, 0] && record.shape.sequences.map(\.tokenCount) == [24, 24])
    for column in record.shape.columns {
      #expect(column.experts == 8 && column.hasWeights && column.hasLogits && column.spec?.rule == .executable)
    }
    for sequence in 0..<2 {
      let rows = try record.all(sequence)
      #expect(rows.positions == nil)
      #expect(rows.facts?.coordinates == ["depth": (0..<24).map { Double($0) / 2 }])
      #expect(rows.facts?.labels.isEmpty == true)
      for token in try computed.tokens(sequence, 0..<24) { #expect(rows.texts[token] == Array("<\(token)>".utf8)) }
      for (column, router) in computed.routers.enumerated() {
        for (read, exact) in zip(try #require(rows.columns[column].weights), try computed.values("\(router).weights", sequence, 0..<24)) {
          #expect(abs(read - exact) < 1e-6)
        }
        for (read, exact) in zip(
          try #require(rows.columns[column].logits), try computed.values("\(router).router_logits", sequence, 0..<24))
        {
          #expect(abs(read - exact) < 1e-5)
        }
      }
    }
    let gap = try Self.open(.moetopJSONL, [ForeignCase.folder + "/moetop-jsonl/length_mismatch.jsonl"])
    #expect(try gap.rows(9..<11, of: 0).positions == [9, 13])
    #expect(gap.shape.findings.map(\.first) == [[10]])
  }

  private static let head =
    #"{"moetop":"routing/1","row":"node","routers":[{"router":"vision.ffn.3","experts":4,"top_k":2,"rule":"top_k"},"#
    + #"{"router":"attn.0.q","experts":6,"top_k":3,"rule":"threshold"},{"router":"ffn.9","experts":2,"top_k":1}]}"# + "\n"

  @Test func rowsOfMoetopLines() throws {
    // Sequences that alternate, positions that are not said, rows that take fewer, routers that rows do not have, facts of single rows.
    let record = try open(
      .moetopJSONL,
      Self.head + """
        {"sequence":"x","position":5,"vision.ffn.3":{"ids":[0,1],"weights":[0.5,null]},"attn.0.q":{"ids":[4]},"labels":{"a":1,"b":"u"},"request":7}
        {"sequence":"y","token_id":3,"vision.ffn.3":{"ids":null},"attn.0.q":{"ids":[5,1]},"coordinates":{"t":1.5}}
        {"sequence":"x","vision.ffn.3":{"ids":[2,3]},"labels":{"a":1,"b":"v"},"rank":2}
        {"sequence":"y","vision.ffn.3":{"ids":[2,1],"logits":[1,2,3,4]},"attn.0.q":null}
        """)
    #expect(record.shape.row == .node)
    #expect(record.shape.columns.compactMap { $0.router?.description } == ["vision.ffn.3", "attn.0.q", "ffn.9"])
    #expect(record.shape.columns.map(\.slots) == [2, 2, 1])
    #expect(record.shape.columns.map { $0.spec?.rule } == [.declared, .declared, nil])
    #expect(record.shape.columns.map { $0.spec?.weightKind } == [.unnormalized, WeightKind.none, nil])
    #expect(record.shape.sequences.map(\.name) == ["x", "y"] && record.shape.sequences.map(\.labels) == [["a": "1"], [:]])
    #expect(record.shape.sequences.map(\.start) == [5, 0] && record.shape.sequences.map(\.tokenCount) == [7, 2])
    let (x, y) = (try record.all(0), try record.all(1))
    #expect(x.columns.map(\.ids) == [[0, 1, 2, 3], [4, -1, -1, -1], [-1, -1]])
    #expect(y.columns.map(\.ids) == [[-1, -1, 2, 1], [5, 1, -1, -1], [-1, -1]])
    #expect(x.columns[0].weights?[0] == 0.5 && x.columns[0].weights?[1...].allSatisfy(\.isNaN) == true)
    #expect(y.columns[0].logits?[4...] == [1, 2, 3, 4] && y.columns[0].logits?[..<4].allSatisfy(\.isNaN) == true)
    #expect(x.tokens == nil && y.tokens == [3, -1] && x.positions == nil)
    #expect(x.facts?.labels == ["b": ["u", "v"]] && x.facts?.request == [7, -1] && x.facts?.rank == [-1, 2])
    #expect(y.facts?.coordinates["t"]?.first == 1.5)
    #expect(try record.rows(1..<2, of: 0).columns[0].ids == [2, 3])
    #expect(
      record.shape.findings.map(\.found) == [
        .init(code: "missing_last", router: "attn.0.q", count: 2, of: 4)
      ])
    // A file whose rows name no sequence is one; two files are two, and their first lines must be the same.
    let one = try directory.write((Self.head + "{\"ffn.9\":{\"ids\":[1]}}\n").utf8, to: "one.jsonl")
    let two = try directory.write((Self.head + "{\"sequence\":0,\"ffn.9\":{\"ids\":[0]}}\n").utf8, to: "two.jsonl")
    #expect(try Self.open(.moetopJSONL, [one, two]).shape.sequences.map(\.name) == ["one", "two 0"])
    let other = try directory.write(Self.head.replacingOccurrences(of: "node", with: "user").utf8, to: "other.jsonl")
    #expect(throws: FormatError.self) { try Self.open(.moetopJSONL, [one, other]) }
  }

  @Test func rulesOfMoetopLines() throws {
    func spec(_ rule: String) throws -> RouterSpec? {
      try open(.moetopJSONL, #"{"moetop":"routing/1","routers":[{"router":"ffn.0","experts":4,"top_k":2\#(rule)}]}"#).shape.columns[0].spec
    }
    #expect(try spec("") == nil)
    #expect(try spec(#","rule":"unknown""#) == .unknown(experts: 4, slots: 2))
    for word in StatedSelection.allCases { #expect(try spec(#","rule":"\#(word.rawValue)""#)?.selectionName == word.rawValue) }
    let own = RouterSpec(
      expertCount: 4, scoring: .sigmoid, correctionBias: [0, 1, 2, 3], selection: .tokenChoice(topK: 2), normalization: .sum(epsilon: 1e-20)
    )
    #expect(try spec(",\"rule\":" + TraceCoding.json(own)) == own)
    for wrong in [
      #""best""#, "3", "{}", try TraceCoding.json(RouterSpec(expertCount: 5, scoring: .softmax, selection: .tokenChoice(topK: 2))),
    ] {
      #expect(throws: FormatError.self) { try spec(",\"rule\":" + wrong) }
    }
  }

  @Test(arguments: [
    (#"{"moetop":"routing/2","routers":[]}"#, "line 1, moetop: version routing/2 is not supported; this version reads routing/1"),
    (#"{"moetop":"routing/1","routers":[]}"#, "line 1, routers: expected at least one router, found an array of 0"),
    (
      #"{"moetop":"routing/1","row":"x","routers":[]}"#,
      "line 1, row: expected one of token, patch, frame, sample, task, step, node, user, found \"x\""
    ),
    (
      #"{"moetop":"routing/1","routers":[{"router":"3","experts":1,"top_k":1}]}"#,
      "line 1, routers[0].router: expected the path of a router, such as \"ffn.3\", found \"3\""
    ),
    (
      #"{"moetop":"routing/1","routers":[{"router":"ffn.3","experts":1,"top_k":2}]}"#,
      "line 1, routers[0].top_k: expected an integer in 1...1, found 2"
    ),
    (head + #"{"ffn.8":{"ids":[1]}}"#, "line 2, ffn.8: expected nothing: the first line names no router ffn.8, found an object"),
    (head + #"{"ffn.9":[1]}"#, "line 2, ffn.9: expected an object with ids, found an array of 1"),
    (
      head + #"{"position":3}"# + "\n" + #"{"position":3}"#,
      "line 3, position: expected 4 or more, behind the row before of its sequence, found 3"
    ),
    (head + #"{"ffn.9":{"ids":[1],"weights":[1,2]}}"#, "line 2, ffn.9.weights: expected 1 weights, one for each id, found an array of 2"),
    (head + #"{"ffn.9":{"ids":[1],"logits":[1]}}"#, "line 2, ffn.9.logits: expected 2 logits, one for each expert, found an array of 1"),
    (head + #"{"coordinates":{"t":"x"}}"#, "line 2, coordinates.t: expected a number, found \"x\""),
    (head + #"{"labels":{"t":[]}}"#, "line 2, labels.t: expected a text, a number, true or false, found an array of 0"),
    (head + #"{"sequence":[]}"#, "line 2, sequence: expected a number or a name, found an array of 0"),
  ]) func refusedMoetopLines(_ text: String, _ words: String) throws { refused(.moetopJSONL, text, words) }
}
