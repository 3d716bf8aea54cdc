// `moetop whatif` of models that make images: what changes nothing changes no latent, and a series of runs is one of images too.

import Formats
import Foundation
import Support
import Testing

/// What the suites of `whatif` read off its answers.
protocol WhatIfAnswers {}

extension WhatIfAnswers {
  func parsed(_ result: CommandResult) throws -> JSONValue { try JSON.parse(text: result.output, name: "answer") }

  func effects(_ answer: JSONValue) throws -> [JSONValue] { try Array(answer.array("effects")) }

  func number(_ value: JSONValue, _ path: String...) throws -> Double {
    try path.dropLast().reduce(value) { try $0.member($1) }.number(path[path.count - 1])
  }
}

struct WhatIfImageCommandTests: WhatIfAnswers {
  private let folder: TemporaryDirectory

  init() throws { folder = try TemporaryDirectory() }

  private func images(_ name: String, _ arguments: [String]) throws -> JSONValue {
    let result = try Binary.run(
      ["whatif", try #require(Fixtures.own("dit/\(name)")), "--images", "6", "--steps", "4", "--threads", "1", "--no-progress", "--json"]
        + arguments)
    #expect(result.status == 0, "\(name) \(arguments): \(result.errors)")
    return try parsed(result)
  }

  @Test(arguments: ["timm", "flash", "switch"])
  func imagesHaveALatentChange(_ name: String) throws {
    let rules = ["topk all=+0", "swap all", "swap all if step=1", "redraw all=uniform if branch=0", "mask 0:1"]
    let answer = try images(name, rules.flatMap { ["--rules", $0] } + ["--seeds", "2", "--by", "class"])
    #expect(try answer.integer("samples") == 6 && answer.memberIfPresent("texts") == nil)
    let effects = try self.effects(answer)
    #expect(try number(effects[0], "latent_change") == 0 && number(effects[0], "high") == 0 && number(effects[0], "touched") == 0)
    #expect(try number(effects[1], "latent_change") > 0 && number(effects[1], "low") < number(effects[1], "latent_change"))
    #expect(try effects[1].string("unit") == "times the rms" && effects[1].string("n_of") == "samples")
    #expect(try effects[1].memberIfPresent("kl") == nil && effects[1].memberIfPresent("loss_change") == nil)
    #expect(try abs(number(effects[2], "touched") - 0.25) < 1e-9 && number(effects[2], "latent_change") > 0)
    #expect(try effects.map { try $0.member("control").string("kind") } == ["none", "none", "none", "equal_size", "equal_load"])
    #expect(try effects[2].member("control").string("reason").contains("all or none"), "all decisions of a step: no others are in it")
    #expect(try effects[2].member("difference").member("p").isNull)
    #expect(try effects[3].member("control").integer("unmatched") == 0 && number(effects[3], "control", "latent_change") > 0)
    #expect(try Array(effects[1].array("by")).count >= 2)
  }

  @Test func experimentsAskImagesToo() throws {
    for experiment in ["gw-moe", "redundancy", "k-sweep", "importance"] {
      let effects = try self.effects(images("timm", ["--experiment", experiment, "--seeds", "1"]))
      #expect(effects.count >= 3, "\(experiment)")
      if experiment == "redundancy" { #expect(try number(effects[0], "latent_change") == 0) }
      if experiment == "k-sweep" { #expect(try number(effects[1], "latent_change") == 0, "k as it is") }
    }
    let table = try Binary.run(["whatif", try #require(Fixtures.own("dit/timm")), "--images", "6", "--steps", "2", "--rules", "swap all"])
    #expect(table.output.contains("latent change") && table.output.contains("made     6 images"), "\(table.output)\(table.errors)")
    let verdict = try Binary.run(
      [
        "whatif", try #require(Fixtures.own("dit/timm")), "--images", "2", "--steps", "2", "--rules", "swap all", "--fail-if",
        "latent_change>0",
      ])
    #expect(verdict.status == 2)
  }

  @Test func aPatchThatTakesNoOtherExpertIsNoOtherImage() throws {
    let path = try #require(Fixtures.own("dit/timm"))
    let trace = folder.file("i.db")
    let options = ["--images", "1", "--steps", "1", "--class", "1", "--cfg", "1", "--threads", "1"]
    let recorded = try Binary.run(["run", path, "--trace", trace, "--quiet"] + options)
    #expect(recorded.status == 0, "\(recorded.errors)")
    let taken = try Binary.run(["sql", trace, "SELECT DISTINCT layer, expert FROM routing", "--format", "csv"]).output
    let rules =
      ["replay all=\(trace)#1", "replay all=\(trace)#1+weights"]
      + (0..<4).filter { !taken.contains("0,\($0)\n") }.map { "mask 0:\($0)" }
    for rules in rules {
      let result = try Binary.run(["whatif", path, "--rules", rules, "--json", "--quiet"] + options)
      #expect(result.status == 0, "\(result.errors)")
      #expect(try number(#require(effects(parsed(result)).first), "latent_change") == 0, "\(rules)")
    }
    let series = folder.file("s.db")
    let kept = try Binary.run(
      ["whatif", path, "--rules", "swap all if patch-row=0", "--seeds", "1", "--trace", series, "--json", "--quiet"] + options)
    #expect(kept.status == 0, "\(kept.errors)")
    let view = try Binary.run(["sql", series, "SELECT run, intervention, parent FROM runs ORDER BY run", "--format", "csv"])
    #expect(
      view.output.split(separator: "\n").dropFirst().map(String.init) == [
        "1,,", "2,swap all if patch-row=0,1", "3,swap all if patch-row=0,1",
      ])
    #expect(try Binary.run(["runs", "check", series]).status == 0)
  }
}
