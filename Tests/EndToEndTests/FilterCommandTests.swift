// `--filter` as a user calls it: metrics of what passes are what one gets by filtering an export oneself, exports hold the rows that pass, and a
// filter that cannot be meant is refused with what there is.

import Formats
import Foundation
import Support
import Testing

struct FilterCommandTests {
  private let folder: TemporaryDirectory

  init() throws { folder = try TemporaryDirectory() }

  /// A trace of the fixture with labels.
  private func trace(_ record: String = "full", family: String = "mixtral") throws -> String {
    let path = folder.file("\(family)-\(record).db")
    let model = try #require(Fixtures.own("models/\(family)"))
    let texts = (0..<6).map { text in (0..<20).map { String((text * 7 + $0 * 5 + $0 * $0 % 11) % 60) }.joined(separator: ", ") }
    let labels = (0..<6).map { #"{"domain": "\#(["code", "law", "news"][$0 % 3])", "layer": "x"}"# }
    let input = #"{"sequences": [[\#(texts.joined(separator: "], ["))]], "labels": [\#(labels.joined(separator: ", "))]}"#
    let result = try Binary.run([
      "run", model, "--tokens", try folder.write(Array(input.utf8), to: "texts.json"), "--trace", path, "--record", record, "-q",
    ])
    #expect(result.status == 0, "\(result.errors)")
    return path
  }

  private func analyze(_ arguments: String..., status: Int32 = 0) throws -> CommandResult {
    let result = try Binary.run(["analyze"] + arguments)
    #expect(result.status == status, "\(arguments.joined(separator: " ")): \(result.status) \(result.errors)")
    return result
  }

  private func rows(_ path: String, _ metric: String, _ filter: String, by: String = "layer") throws -> [[String: Any]] {
    let output = try analyze(path, "--metric", metric, "--by", by, "--filter", filter, "--threshold", "0.9", "--json").output
    let document = try #require(try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any])
    #expect((document["settings"] as? [String: Any])?["filter"] as? String == filter)
    return try #require(document["layers"] as? [[String: Any]] ?? document["experts"] as? [[String: Any]])
  }

  private func decisions(_ path: String, _ filter: String? = nil) throws -> [[String: Any]] {
    let result = try Binary.run(["export", path, "--format", "jsonl"] + (filter.map { ["--filter", $0] } ?? []))
    #expect(result.status == 0, "\(result.errors)")
    return try result.output.split(separator: "\n").map {
      try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
    }
  }

  /// The filters, and the same over a line of the unfiltered export.
  private static let filters: [(text: String, holds: @Sendable ([String: Any]) -> Bool)] = [
    ("layer=1 position>4 domain=code,law", { integer($0, "layer") == 1 && integer($0, "position") > 4 && integer($0, "sequence") % 3 < 2 }),
    ("entropy>0.9 !expert=2", { number($0, "entropy") / log(6) > 0.9 && !experts($0).contains(2) }),
    ("expert=1,4 rank=0", { [1, 4].contains(experts($0)[0]) }),
    ("weight>0.6 id=5-40", { weights($0).contains { $0 > 0.6 } && (5...40).contains(integer($0, "token_id")) }),
    ("bos !layer=0", { integer($0, "position") == 0 && integer($0, "layer") != 0 }),
    ("label:layer=x margin<0.05 and phase=prefill", { number($0, "selection_margin") < 0.05 }),
  ]

  private static func integer(_ line: [String: Any], _ key: String) -> Int { line[key] as? Int ?? -1 }
  private static func number(_ line: [String: Any], _ key: String) -> Double { line[key] as? Double ?? .nan }
  private static func experts(_ line: [String: Any]) -> [Int] { line["experts"] as? [Int] ?? [] }
  private static func weights(_ line: [String: Any]) -> [Double] { line["weights"] as? [Double] ?? [] }

  @Test func metricsAreThoseOfAnExportFilteredByHand() throws {
    let path = try trace()
    let all = try decisions(path)
    for (text, holds) in Self.filters {
      let left = all.filter(holds)
      #expect(!left.isEmpty && left.count < all.count, "\(text)")
      let found = try decisions(path, text)
      func names(_ lines: [[String: Any]]) -> [[Int]] { lines.map { [Self.integer($0, "token"), Self.integer($0, "layer")] } }
      #expect(names(found) == names(left), "\(text)")
      let layers = Dictionary(grouping: left) { Self.integer($0, "layer") }

      func check(_ metric: String, _ key: String = "value", _ expected: ([[String: Any]]) -> Double?) throws {
        let rows = try rows(path, metric, text)
        #expect(rows.count == layers.count, "\(metric) under \(text)")
        for row in rows {
          let own = try #require(layers[Self.integer(row, "layer")])
          let value = row[key] as? Double
          let wanted = expected(own)
          let isSame = value == nil && wanted == nil || abs((value ?? .nan) - (wanted ?? .nan)) < 1e-5
          #expect(isSame, "\(metric) under \(text): \(value ?? .nan), expected \(wanted ?? .nan)")
        }
      }
      try check("entropy") { Self.mean($0.map { Self.number($0, "entropy") / log(6.0) }) }
      try check("uncertain") { Self.mean($0.map { Self.number($0, "entropy") / log(6.0) >= 0.9 ? 1 : 0 }) }
      try check("load_cv") { own in
        let counts = Self.loads(own)
        let mean = counts.reduce(0, +) / 6
        let squares = counts.map { ($0 - mean) * ($0 - mean) }
        return (squares.reduce(0, +) / 6).squareRoot() / mean
      }
      // sqrt((E - k) / (k T)) of six experts, two a token, at the tokens that are left.
      try check("load_cv", "baseline") { (4 / (2 * Double($0.count))).squareRoot() }
      try check("z_loss") { own in
        Self.mean(
          own.map { line in
            let logits = line["router_logits"] as? [Double] ?? []
            let value = log(logits.map { exp($0) }.reduce(0, +))
            return value * value
          })
      }
      // Pairs of neighbours, both of which pass.
      try check("repeat_first") { own in
        var first: [[Int]: Int] = [:]
        for line in own { first[[Self.integer(line, "sequence"), Self.integer(line, "position")]] = Self.experts(line)[0] }
        var agree: [Double] = []
        for line in own {
          guard let next = first[[Self.integer(line, "sequence"), Self.integer(line, "position") + 1]] else { continue }
          agree.append(next == Self.experts(line)[0] ? 1 : 0)
        }
        return Self.mean(agree)
      }
      for row in try rows(path, "load", text, by: "expert") {
        let counts = Self.loads(try #require(layers[Self.integer(row, "layer")]))
        let share = counts[Self.integer(row, "expert")] / counts.reduce(0, +)
        let value = row["value"] as? Double ?? .nan
        #expect(abs(value - share) < 1e-9)
      }
    }
  }

  private static func mean(_ values: [Double]) -> Double? { values.isEmpty ? nil : values.reduce(0, +) / Double(values.count) }

  /// How often each of six experts was chosen.
  private static func loads(_ lines: [[String: Any]]) -> [Double] {
    var counts = Array(repeating: 0.0, count: 6)
    for expert in lines.flatMap({ experts($0) }) { counts[expert] += 1 }
    return counts
  }

  /// Rows of tensors are joined by the number of their token with those of the whole run.
  @Test func tensorsJoinByTheNumberOfTheToken() throws {
    let path = try trace()
    let filter = "entropy>0.9 !expert=2"
    let output = folder.file("some.safetensors")
    let result = try Binary.run(["export", path, "--format", "safetensors", "--filter", filter, "-o", output])
    #expect(result.status == 0, "\(result.errors)")
    let file = try SafetensorsFile(path: output)
    func integers<Number: FixedWidthInteger>(_ name: String, _ type: Number.Type) throws -> [Int] {
      let view = try file.tensor(name)
      return (0..<view.elementCount).map {
        Int(Number(littleEndian: view.bytes.loadUnaligned(fromByteOffset: MemoryLayout<Number>.size * $0, as: type)))
      }
    }
    let tokens = try integers("token", Int64.self)
    let left = try decisions(path).filter(Self.filters[1].holds)
    #expect(Set(tokens) == Set(left.map { Self.integer($0, "token") }) && tokens.count == Set(tokens).count)
    for layer in 0...1 {
      let ids = try integers("ffn.\(layer).expert_ids", Int32.self)
      for (row, token) in tokens.enumerated() {
        let line = left.first { Self.integer($0, "layer") == layer && Self.integer($0, "token") == token }
        #expect(Array(ids[2 * row..<2 * row + 2]) == line.map(Self.experts) ?? [-1, -1])
      }
    }
    for what in ["load", "tokens"] {
      let all = try Binary.run(["export", path, "--what", what]).output
      let some = try Binary.run(["export", path, "--what", what, "--filter", filter])
      #expect(some.status == 0 && some.output != all && some.output.split(separator: "\n").first == all.split(separator: "\n").first)
    }
  }

  @Test func theFilterStandsInEveryForm() throws {
    let path = try trace("weights")
    let filter = "domain=law entropy>0.5"
    for format in ["table", "md"] {
      let output = try analyze(path, "--metric", "load_cv", "--filter", filter, "--format", format).output
      #expect(output.contains("filter: \(filter) (") && output.contains("decisions"), "\(output)")
    }
    let csv = try analyze(path, "--metric", "load_cv", "--filter", filter, "--format", "csv").output.split(separator: "\n")
    #expect(csv[0].hasSuffix(",filter") && csv.dropFirst().allSatisfy { $0.hasSuffix(",\(filter)") })
    // Values of a label that the filter takes away are no rows that a gate could miss.
    _ = try analyze(path, "--metric", "load_cv", "--by", "domain", "--filter", "domain=law,code", "--fail-if", "load_cv<0")
    let list = try analyze(path, "--metric", "uncertain", "--by", "token", "--filter", "domain=law", "--threshold", "0.5", "--json").output
    #expect(list.contains("\"sequence\":1") && !list.contains("\"sequence\":0"))
  }

  @Test(arguments: [
    ("layer=7", "layers 0-1"), ("router=attn.*", "ffn.0, ffn.1"), ("expert=6", "experts 0 to 5"), ("rank=2", "ranks 0 to 1"),
    ("domian=law", "labels domain, layer"), ("domain=laws", "domain code, law, news"), ("entropy>", "character 9: expected a share"),
    ("layer = 1", "character 6: expected a comparison right behind 'layer', as in layer=3-7,9, found a space"),
    ("position>4000", "none of"), ("step=1", "run of text"), ("@depth>1", "no coordinates"), ("", "expected a term such as layer=3"),
  ]) func badFiltersAreRefused(_ filter: String, _ words: String) throws {
    let path = try trace("weights")
    let refused = try analyze(path, "--metric", "load_cv", "--filter", filter, status: 64)
    #expect(refused.errors.contains(words) && refused.output.isEmpty, "\(refused.errors)")
    let export = try Binary.run(["export", path, "--filter", filter])
    #expect(export.status == 64 && export.errors.contains(words) && export.output.isEmpty, "\(export.errors)")
  }

  @Test func whatARunDoesNotKeepIsRefused() throws {
    let ids = try trace("ids")
    #expect(try analyze(ids, "--filter", "weight>0.5", status: 64).errors.contains("--record weights"))
    for metric in ["importance", "z_loss", "balance_loss", "token_information"] {
      #expect(try analyze(ids, "--metric", metric, "--filter", "entropy>0.5", status: 64).errors.contains("--record full"))
    }
    let by = try analyze(ids, "--metric", "importance", "--by", "expert", "--filter", "layer=1").output
    #expect(by.contains("ffn.1") && !by.contains("ffn.0"))
    #expect(try Binary.run(["docs", "filters"]).output.contains("`token~part`"))
  }

  /// The tokenizer's beginning of a sequence is kept with the run.
  @Test func beginningsAreKnownFromTheTokenizer() throws {
    let path = folder.file("text.db")
    let text = try folder.write(Array("A river is a river.\n".utf8), to: "text.txt")
    let result = try Binary.run(["run", "\(Fixtures.root)/samples/olmoe-tiny", "-f", text, "--trace", path, "-q"])
    #expect(result.status == 0, "\(result.errors)")
    let begin = try decisions(path, "bos layer=0")
    #expect(begin.count == 1 && Self.integer(begin[0], "token_id") == 0)
    let rivers = try decisions(path, "token=\" river\" layer=0")
    let parts = try decisions(path, "token~RIVER layer=0")
    #expect(rivers.count == 2 && parts.count == 2)
    #expect(try Binary.run(["export", path, "--filter", "token=\"·river\""]).status == 64)
  }
}
