// Does the JSON reader accept exactly JSON, and keep what it read? Tables of valid and invalid texts, typed access with its error
// lines, and the writer.

import Formats
import Foundation
import Support
import Testing

@Suite struct JSONTests {
  @Test(arguments: [
    "null", " true ", "false", "0", "-0", "-1", "1.5", "1e5", "1E+5", "1e-5", "0.0e0", "123456789012345678901234567890", "\"\"",
    "\"a\"", "\"é\"", "\"😀\"", #""\u00e9\n\t\"\\\/\b\f\r""#, #""\ud83d\ude00""#, "[]", "[ ]", "{}", "{ }", "[1]", "[1 , 2]",
    "[[[]]]", "{\"a\":1}", "{\"a\":1,\"b\":{\"c\":[]}}", "\n\t\r [1]\n", "{\"\":0}", "\"\u{7f}\"", "\"\u{2028}\"", "\"0123456789abcdef\"",
  ])
  func accepts(_ text: String) throws {
    _ = try JSON.parse(text: text, name: "t")
  }

  @Test(arguments: [
    "", " ", "nul", "nulll", "True", "+1", "01", "-", "1.", ".5", "1e", "1e+", "0x1", "NaN", "Infinity", "-Infinity", "'a'", "\"", "\"a",
    "\"\\", "\"\\u12\"", "\"\\x\"", "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"\n\"", "\"\u{0}\"", "[", "]", "[1", "[1,",
    "[1,]",
    "[,1]", "[1 2]", "[1}", "{", "}", "{1:2}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\" 1}", "{,}", "{\"a\":1 \"b\":2}", "1 2", "[] []",
    "/* */ 1", "1 // x", "\u{FEFF}1", "{\"a\":1,\"a\":2}", #"{"a":1,"\u0061":2}"#, "[1]\u{0}", "\u{0}",
  ])
  func refuses(_ text: String) {
    #expect(throws: FormatError.self) { try JSON.parse(text: text, name: "t") }
  }

  @Test(
    arguments: [
      [0x22, 0x80, 0x22], [0x22, 0xC0, 0x80, 0x22], [0x22, 0xC1, 0xBF, 0x22], [0x22, 0xE0, 0x80, 0x80, 0x22],
      [0x22, 0xED, 0xA0, 0x80, 0x22],
      [0x22, 0xF0, 0x80, 0x80, 0x80, 0x22], [0x22, 0xF4, 0x90, 0x80, 0x80, 0x22], [0x22, 0xF5, 0x80, 0x80, 0x80, 0x22], [0x22, 0xC3],
      [0x22, 0xE2, 0x82, 0x22], [0x22, 0xFF, 0x22], [0x22, 0xF0, 0x9F, 0x98],
    ] as [[UInt8]])
  func refusesBadUTF8(_ bytes: [UInt8]) {
    #expect(throws: FormatError.self) { try bytes.withUnsafeBytes { try JSON.parse($0, name: "t") } }
  }

  @Test func depthIsLimited() throws {
    let deep = { (n: Int) in String(repeating: "[", count: n) + String(repeating: "]", count: n) }
    _ = try JSON.parse(text: deep(256), name: "t")
    #expect(throws: FormatError.self) { try JSON.parse(text: deep(257), name: "t") }
    #expect(throws: FormatError.self) { try JSON.parse(text: String(repeating: "[{\"a\":", count: 500_000), name: "t") }
  }

  @Test func errorsNameTheByte() {
    #expect(throws: FormatError.syntax(file: "c.json", offset: 7, expected: "a value", found: "\"}\"")) {
      try JSON.parse(text: "{\"abc\":}", name: "c.json")
    }
    #expect(throws: FormatError.syntax(file: "c.json", offset: 10, expected: "different member names", found: "\"a\" twice")) {
      try JSON.parse(text: "{ \"a\":1, \"a\":1}", name: "c.json")
    }
  }

  @Test func pythonSpellingsOnRequest() throws {
    let value = try JSON.parse(text: "[NaN, Infinity, -Infinity, {\"a\":1,\"a\":2}]", name: "t", options: .python)
    let elements = Array(value.elements)
    #expect(elements[0].double?.isNaN == true)
    #expect(elements[1].double == .infinity && elements[2].double == -.infinity)
    #expect(elements[3]["a"]?.int64 == 2)
    #expect(throws: FormatError.self) { try elements[1].requireNumber() }
  }

  @Test func largeObjectsFindRepeatedNames() throws {
    let members = (0..<5000).map { "\"k\($0)\":\($0)" }
    let value = try JSON.parse(text: "{\(members.joined(separator: ","))}", name: "t")
    #expect(value["k4999"]?.int64 == 4999 && value["k5000"] == nil && value.count == 5000)
    #expect(throws: FormatError.self) {
      try JSON.parse(text: "{\(members.joined(separator: ",")),\"\\u006b77\":1}", name: "t")
    }
  }

  @Test func numbersAreExact() throws {
    let text = "[0,-0,9223372036854775807,-9223372036854775808,9223372036854775808,1.0,1e2,0.1,5e-324,1.7976931348623157e308,1e999]"
    let values = Array(try JSON.parse(text: text, name: "t").elements)
    #expect(values.map(\.int64) == [0, 0, .max, .min, nil, nil, nil, nil, nil, nil, nil])
    #expect(values[1].double?.sign == .minus)
    #expect(
      values.dropFirst(2).map(\.double) == [
        0x1p63, -0x1p63, 0x1p63, 1, 100, 0.1, .leastNonzeroMagnitude, .greatestFiniteMagnitude, .infinity,
      ])
  }

  @Test func stringsAreDecoded() throws {
    let value = try JSON.parse(text: #"["a\u00e9\ud83d\ude00\n\"\\\/\b\f\r\t", "plain ü 😀 text of some length", ""]"#, name: "t")
    #expect(value.elements.map(\.string) == ["aé😀\n\"\\/\u{8}\u{c}\r\t", "plain ü 😀 text of some length", ""])
  }

  @Test func typedAccessNamesThePlace() throws {
    let text = #"{"hidden_size":"abc","rope":{"factors":[1,{"x":-3}]},"none":null,"big":1e400,"s":"x"}"#
    let config = try JSON.parse(text: text, name: "config.json")
    #expect(line { try config.positiveInteger("hidden_size") } == "config.json: hidden_size: expected a positive integer, found \"abc\"")
    #expect(line { try config.integer("layers", in: 0 ... .max) } == "config.json: layers: missing; expected an integer of at least 0")
    #expect(line { try config.number("big") } == "config.json: big: expected a number, found 1e400")
    #expect(line { try config.bool("rope") } == "config.json: rope: expected true or false, found an object")
    let inner = Array(try config.member("rope").array("factors"))[1]
    #expect(inner.path == "rope.factors[1]")
    #expect(line { try inner.integer("x", in: 1...8) } == "config.json: rope.factors[1].x: expected an integer in 1...8, found -3")
    #expect(line { try inner.string("y") } == "config.json: rope.factors[1].y: missing; expected a string")
    #expect(line { try config.member("s").integer("t") } == "config.json: s: expected an object, found \"x\"")
    #expect(try config.integerIfPresent("none") == nil && config.stringIfPresent("s") == "x" && config.boolIfPresent("zz") == nil)
  }

  private func line(_ body: () throws -> some Any) -> String {
    do {
      return "no error: \(try body())"
    } catch { return "\(error)" }
  }

  @Test func writerKeepsOrderAndEscapes() throws {
    var json = JSONWriter()
    json.object {
      $0.member("z", 1)
      $0.member("a", [0.1, 1e300, .nan])
      $0.member("quote\"\\", "line\n\u{1}é")
      $0.member("none", Int?.none)
      $0.member("list") { $0.array { for i in 0..<2 { $0.value(i) } } }
      $0.member("empty") { $0.object { _ in } }
      $0.member("f", Float(0.1))
    }
    #expect(
      json.text
        == #"{"z":1,"a":[0.1,1e+300,null],"quote\"\\":"line\n\u0001é","none":null,"list":[0,1],"empty":{},"f":0.1}"#)
    _ = try JSON.parse(text: json.text, name: "t")
    var pretty = JSONWriter(layout: .indented)
    pretty.object {
      $0.member("a", [1, 2])
      $0.member("b") { $0.array { _ in } }
    }
    #expect(pretty.text == "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": []\n}")
  }

  @Test func writtenDoublesReadBackTheSame() throws {
    var random = SeededRandom(seed: 7)
    let values = (0..<2000).map { _ in Double(bitPattern: random.next()) }.filter(\.isFinite)
    var json = JSONWriter()
    json.value(values)
    #expect(try JSON.parse(text: json.text, name: "t").elements.map(\.double) == values)
  }

  @Test func mutationsNeverCrash() {
    let seed = Array(#"{"a":[1,-2.5e3,true,null,"x\u00e9\ud83d\ude00é"],"b":{"c":"0123456789abcdef","d":[[],{}]}}"#.utf8)
    var random = SeededRandom(seed: 1)
    for _ in 0..<20_000 {
      var bytes = seed
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      }
      if Bool.random(using: &random) { bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random)) }
      if let value = try? bytes.withUnsafeBytes({ try JSON.parse($0, name: "t") }) { visit(value) }
    }
  }

  /// Texts around the length from which a container's end is remembered, against Foundation's reader.
  @Test func longAndNestedTextsReadAsFoundationReadsThem() throws {
    var random = SeededRandom(seed: 3)
    for _ in 0..<60 {
      let text = text(depth: 0, &random)
      let value = try JSON.parse(text: text, name: "t")
      let reference = try JSONSerialization.jsonObject(with: Data(text.utf8), options: .fragmentsAllowed)
      #expect(try plain(value) == reference as? NSObject, "\(text.count) bytes")
    }
  }

  private func text(depth: Int, _ random: inout SeededRandom) -> String {
    switch Int.random(in: depth == 0 ? 4...5 : 0...(depth > 5 ? 3 : 5), using: &random) {
    case 0: return ["null", "true", "false"][Int.random(in: 0..<3, using: &random)]
    case 1: return "\(Int.random(in: -1000...1000, using: &random))"
    case 2: return "\"\(String(repeating: "[{,}] é\\\"", count: Int.random(in: 0...3, using: &random)))\""
    case 3: return "\"\(String(repeating: "x", count: Int.random(in: 0...2000, using: &random)))\""
    case 4: return "[ \((0..<Int.random(in: 0...9, using: &random)).map { _ in text(depth: depth + 1, &random) }.joined(separator: " ,")) ]"
    default:
      let members = (0..<Int.random(in: 0...9, using: &random)).map { "\"k\\u0041\($0)\" :\(text(depth: depth + 1, &random))" }
      return "{\(members.joined(separator: ",\n"))}"
    }
  }

  private func plain(_ value: JSONValue) throws -> NSObject {
    switch value.kind {
    case .null: return NSNull()
    case .bool: return NSNumber(value: try value.requireBool())
    case .number: return NSNumber(value: try value.requireInteger())
    case .string: return NSString(string: try value.requireString())
    case .array:
      let elements = try value.elements.map(plain)
      #expect(elements.count == value.count)
      return NSArray(array: elements)
    case .object:
      let members = try value.members.map { (try $0.key.requireString(), try plain($0.value)) }
      #expect(members.count == value.count)
      for (key, _) in members { #expect(value[key] != nil) }
      return NSDictionary(dictionary: Dictionary(uniqueKeysWithValues: members))
    }
  }

  /// Its values may be wrong then; nothing outside it is read.
  @Test func aMappedFileMayChangeWhileItIsRead() throws {
    let folder = try TemporaryDirectory()
    let path = folder.file("t.json")
    let long = "\"" + String(repeating: "word ", count: 1500) + "\""
    let text = Array(#"{"a":[1,-2.5e3,true,null,"x\u00e9\ud83d\ude00é"],"b":{"c":\#(long),"d":[[],{"e":\#(long)}]}}"#.utf8)
    let letters = Array("\"\\[]{},:u1".utf8)
    var random = SeededRandom(seed: 5)
    for round in 0..<200 {
      try Data(text).write(to: URL(fileURLWithPath: path), options: [])
      let value = try JSON.parse(MappedFile(path: path), options: .python)
      if round == 0 { #expect(value["b"]?["d"]?.count == 2) }
      var changed = text
      for _ in 0..<Int.random(in: 1...400, using: &random) {
        changed[Int.random(in: 0..<text.count, using: &random)] = letters[Int.random(in: 0..<letters.count, using: &random)]
      }
      let handle = try #require(FileHandle(forUpdatingAtPath: path))
      try handle.write(contentsOf: Data(changed))
      try handle.close()
      visit(value)
    }
  }

  /// Touches everything in a value, so that a wrong table would show.
  private func visit(_ value: JSONValue) {
    _ = (value.string, value.double, value.int64, value.path)
    for element in value.elements { visit(element) }
    for member in value.members { visit(member.value) }
  }
}
