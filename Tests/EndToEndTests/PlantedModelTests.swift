// `moetop whatif` of models whose answer was put into them (tools/make_planted.py): does it say what is true? What each costs stands in truth.json,
// from the tables the models were made of.

import Formats
import Foundation
import Support
import Testing

struct PlantedModelTests {
  /// What is true of a model, and what the command says of it: rows by name.
  private struct Case {
    let truth: JSONValue
    let answer: JSONValue
    let rows: [String: JSONValue]
    let order: [String]

    init(_ name: String, _ experiment: String) throws {
      let path = try #require(Fixtures.own("planted/\(name)"))
      truth = try JSON.parse(text: try String(contentsOfFile: path + "/truth.json", encoding: .utf8), name: "truth.json")
      let texts = try #require(Fixtures.own("planted/texts.json"))
      let result = try Binary.run(
        [
          "whatif", path, "--tokens", texts, "--experiment", experiment, "--seeds", "3", "--threads", "1", "--json", "--quiet",
          "--no-progress",
        ])
      #expect(result.status == 0, "\(result.errors)")
      answer = try JSON.parse(text: result.output, name: "answer")
      let effects = try Array(answer.array("effects"))
      order = try effects.map { try $0.string("name") }
      rows = try Dictionary(uniqueKeysWithValues: effects.map { (try $0.string("name"), $0) })
    }

    func number(_ row: String, _ path: String...) throws -> Double {
      try path.dropLast().reduce(try #require(rows[row])) { try $0.member($1) }.number(path[path.count - 1])
    }

    /// Whether a row's loss change is the true one.
    func expectTrue(_ row: String) throws {
      let (got, want) = (try number(row, "loss_change"), try truth.member("changes").number(row))
      #expect(abs(got - want) < 1e-6, "\(row): \(got), true is \(want)")
    }
  }

  @Test func theExpertThatMattersIsFoundAndNoOther() throws {
    let found = try Case("important", "importance")
    #expect(abs(try found.answer.member("baseline").number("loss") - found.truth.number("loss")) < 1e-6)
    #expect(found.order.count == 8 && found.order.first == "ffn.0:5")
    for row in found.order {
      try found.expectTrue(row)
      guard row != "ffn.0:5" else { continue }
      #expect(try abs(found.number(row, "loss_change")) < 0.01, "\(row) does not matter")
      #expect(try found.number(row, "touched") > 0.2, "and yet tokens took it")
    }
    #expect(try found.number("ffn.0:5", "low") > 0.1 && found.number("ffn.0:5", "difference", "low") > 0.1)
    #expect(try found.number("ffn.0:5", "difference", "adjusted_p") <= 0.01)
    #expect(try abs(found.number("ffn.0:5", "control", "loss_change")) < 0.01, "experts of its load do not")
  }

  @Test func anyChoiceServesTokensThatWereMadeHarmless() throws {
    let found = try Case("harmless", "gw-moe")
    for action in ["redraw", "swap", "broadcast"] { #expect(try abs(found.number("\(action), uncertain", "loss_change")) < 1e-6) }
    for row in ["swap, uncertain", "broadcast, uncertain", "swap, all", "broadcast, all"] { try found.expectTrue(row) }
    #expect(abs(try found.number("swap, uncertain", "touched") - found.truth.number("uncertain")) < 1e-9)
    #expect(try found.number("redraw, certain", "low") > 0.05 && found.number("redraw, uncertain", "control", "loss_change") > 0.05)
    #expect(try found.number("redraw, uncertain", "difference", "high") < -0.05)
    #expect(try found.number("redraw, uncertain", "difference", "adjusted_p") <= 0.01)
  }

  @Test func anotherChoiceRuinsTokensThatWereMadeToNeedTheirs() throws {
    let found = try Case("harmful", "gw-moe")
    for row in ["swap, uncertain", "broadcast, uncertain", "swap, all", "broadcast, all"] { try found.expectTrue(row) }
    // Draws vary around the mean over all pairs.
    let (low, high) = try (found.number("redraw, uncertain", "low"), found.number("redraw, uncertain", "high"))
    #expect(try (low...high).contains(found.truth.member("changes").number("redraw, uncertain")) && low > 0.05)
    for action in ["redraw", "broadcast"] {
      let row = "\(action), uncertain"
      #expect(try found.number(row, "difference", "low") > 0.04 && found.number(row, "difference", "adjusted_p") <= 0.01, "\(action)")
      #expect(try found.number(row, "control", "loss_change") < 0.1 * found.number(row, "loss_change"), "\(action)")
      let (controlLow, controlHigh) = try (found.number("\(action), certain", "low"), found.number("\(action), certain", "high"))
      #expect(controlLow <= 0 && 0 <= controlHigh, "\(action): certain tokens are served by any")
    }
  }
}
