// The written form of rules: what it means, and what is said, and where, about what it does not mean.

import Routing
import Testing

struct RuleParserTests {
  @Test func everyActionIsRead() throws {
    let rules = try RuleSet(
      parsing: """
        temperature 5-9=0.5; bias all=off; mask 7:23; mask all:top2; topk all=4; topk all=+1; force 7:40,8; swap 0-5; redraw all=uniform;
        redraw ffn.3=router; replay all=a.db#2; replay all="my runs.db#x;y"+weights; capacity all=1.25; capacity 1=32tok,switch;
        capacity all=2,priority; capacity all=1,expert-choice; broadcast 0,15; scale 7:23=0; shared attn.*=off;
        """
    ).rules
    let actions: [RuleAction] = [
      .temperature(0.5), .bias(isOn: false), .mask(.ids([23])), .mask(.best(2)), .topK(.exactly(4)), .topK(.by(1)), .force([40, 8]),
      .swap, .redraw(.uniform), .redraw(.router), .replay(run: "a.db#2", withWeights: false),
      .replay(run: "my runs.db#x;y", withWeights: true), .capacity(CapacityChange(limit: .factor(1.25), order: .gshard)),
      .capacity(CapacityChange(limit: .tokens(32), order: .switch)), .capacity(CapacityChange(limit: .factor(2), order: .priority)),
      .capacity(CapacityChange(limit: .factor(1), order: .expertChoice)), .broadcast, .scale(.ids([23]), 0), .sharedExperts(isOn: false),
    ]
    #expect(rules.map(\.action) == actions)
    #expect(rules[0].routers == .layers([5...9]) && rules[1].routers == .all && rules[9].routers == .path(Glob("ffn.3")))
    #expect(rules[16].routers == .layers([0...0, 15...15]) && rules[18].routers == .path(Glob("attn.*")))
    #expect(try RuleSet(parsing: "mask 7:9,3-5").rules.map(\.action) == [.mask(.ids([9, 3, 4, 5]))])
    #expect(rules[2].text == "mask 7:23" && rules[11].text == "replay all=\"my runs.db#x;y\"+weights")
  }

  @Test(arguments: ["", "  ", ";", " ; ;\n"])
  func noRuleIsNoRule(_ text: String) throws { #expect(try RuleSet(parsing: text).isEmpty) }

  @Test(arguments: [
    ("musk 7:23", 1, "one of temperature, bias, mask", "'musk'"),
    ("mask", 5, "layers", "nothing"),
    ("mask 7", 7, "experts of mask", "nothing"),
    ("mask 7:", 8, "experts", "nothing"),
    ("mask 7:23,", 11, "experts", "nothing"),
    ("mask 7:2x", 8, "experts", "'2x'"),
    ("mask 7:3,3", 10, "each expert once", "3 again"),
    ("mask 7:2,1-3", 10, "each expert once", "2 again"),
    ("mask 7:3-1", 8, "experts", "'3-1'"),
    ("mask 7:23=1", 10, "no value", "'=1'"),
    ("mask 7-:23", 6, "a layer", "'7-'"),
    ("mask 9-7:23", 6, "a layer", "'9-7'"),
    ("mask 7,:23", 8, "a layer", "':23'"),
    ("mask ?:2", 6, "layers", "'?'"),
    ("swap 1; mask", 13, "layers", "nothing"),
    ("swap 1 2", 8, "'if' and a filter, ';', or the end", "'2'"),
    ("swap 1=2", 7, "no value", "'=2'"),
    ("temperature all", 16, "'=' and a temperature", "nothing"),
    ("temperature all=0", 17, "a temperature above 0", "'0'"),
    ("temperature all=nan", 17, "a temperature above 0", "'nan'"),
    ("temperature all:3=1", 16, "no experts", "':3=1'"),
    ("topk all=0", 10, "a number of experts", "'0'"),
    ("topk all=99999999999", 10, "a number of experts", "'99999999999'"),
    ("force 3:top2", 9, "numbers of experts", "'top2'"),
    ("redraw all=dice", 12, "uniform or router", "'dice'"),
    ("replay all=", 12, "a run", "nothing"),
    ("replay all=\"a", 14, "a quote that ends the string of character 12", "nothing"),
    ("capacity all=1.25,first", 14, "a factor", "'1.25,first'"),
    ("scale 7:23=inf", 12, "a factor", "'inf'"),
    ("shared all=no", 12, "on or off", "'no'"),
    ("swap 1 if", 10, "a term such as layer=3", "nothing"),
    ("mask 1:2; swap 1 if entropy>", 29, "a share of ln E", "nothing"),
    ("swap 1 if entropy>0.5 position", 31, "a comparison right behind 'position'", "nothing"),
  ])
  func whatIsNoRuleIsPointedAt(_ text: String, place: Int, expected: String, found: String) {
    do {
      _ = try RuleSet(parsing: text)
      Issue.record("\(text) was read")
    } catch RuleError.syntax(let there, let wanted, let seen) {
      #expect(there == place && wanted.contains(expected) && seen == found, "\(text): \(there) \(wanted) \(seen)")
    } catch { Issue.record(error) }
  }

  @Test func conditionsMayHoldWhatRulesAreWrittenWith() throws {
    let rules = try RuleSet(parsing: #"mask 7:23 if token="a; b=c" !domain=code; swap all if entropy>0.9 rank=0 ;"#).rules
    #expect(rules.map { $0.condition?.text } == [#"token="a; b=c" !domain=code"#, "entropy>0.9 rank=0 "])
    #expect(rules[0].text == #"mask 7:23 if token="a; b=c" !domain=code"#)
    #expect(try RuleSet(parsing: "swap all").rules[0].condition == nil)
  }

  private func bind(_ text: String, _ routers: [RouterDescription], shared: [Int]? = nil) throws -> Intervention {
    try Intervention(RuleSet(parsing: text), run: FilterContext(routers: routers), sharedExperts: shared ?? routers.map { _ in 0 })
  }

  private let routers = [1, 2, 4].map {
    RouterDescription(id: RouterID(layer: $0), spec: RouterSpec(expertCount: 8, scoring: .softmax, selection: .tokenChoice(topK: 2)))
  }

  @Test(arguments: [
    ("mask 3:1", "there is no router in layer 3; the model has ffn.1 to ffn.2, ffn.4"),
    ("mask 0-2:1", "there is no router in layer 0"),
    ("mask 4-999999999:1", "there is no router in layer 5"),
    ("mask attn.1:1", "there is no router attn.1"),
    ("mask 1:8", "there is no expert 8 at ffn.1, which has 0 to 7"),
    ("mask 1:top9", "expected at most its 8 experts, found top9"),
    ("topk all=9", "expected 1 to 8 experts a token, found 9"),
    ("topk all=-2", "expected 1 to 8 experts a token, found 0"),
    ("force 1:1,2,3", "expected at most the 2 experts a token takes, found 3"),
    ("topk 1=1; force 1:1,2", "expected at most the 1 experts"),
    ("topk 1=8; swap 1", "expected an expert that was not chosen"),
    ("shared all=off", "no shared expert is there; the model has none"),
    ("bias 2=off", "no correction bias is there; the model has none"),
    ("swap all if expert=9", "there is no expert 9"),
    ("swap all if domain=code", "there is no label"),
    ("swap all if surprisal>3", "not known yet when it is routed"),
    ("swap all if entropy>q0.9", "known at its end only"),
    ("replay all=x", "expected a router of this name in x, found none"),
  ])
  func whatIsNotThereIsRefused(_ text: String, words: String) {
    do {
      _ = try bind(text, routers)
      Issue.record("\(text) was bound")
    } catch { #expect("\(error)".contains(words), "\(error)") }
  }

  @Test func rulesFindTheirRouters() throws {
    let all = [RouterID(stack: .encoder, layer: 1), RouterID(stack: .decoder, layer: 1), RouterID(stack: .decoder, layer: 3)].map {
      RouterDescription(id: $0, spec: routers[0].spec)
    }
    func touched(_ text: String) throws -> [String] {
      let bound = try bind(text, all, shared: [0, 1, 1])
      return all.map(\.id).filter { bound[$0] != nil }.map(\.description)
    }
    #expect(try touched("swap all") == ["enc.1", "dec.1", "dec.3"])
    #expect(try touched("swap 1") == ["enc.1", "dec.1"])
    #expect(try touched("swap dec.*") == ["dec.1", "dec.3"])
    #expect(try touched("swap *.3") == ["dec.3"])
    #expect(try touched("shared all=off") == ["dec.1", "dec.3"])
    #expect(throws: RuleError.self) { try touched("shared 1=off") }
    #expect(try touched("") == [])
  }

  @Test func batchesAreAsWideAsTheRulesNeed() throws {
    func slots(_ text: String) throws -> Int { try bind(text, routers).described(routers)[0].slots }
    #expect(try slots("mask 1:3") == 2)
    #expect(try slots("topk 1=+3; topk 1=-1") == 4)
    #expect(try slots("topk 1=1") == 1)
    #expect(try slots("broadcast 1") == 8)
    #expect(try slots("capacity 1=1,expert-choice") == 8)
    #expect(try bind("broadcast 1", routers).described(routers)[1].slots == 2)
  }
}
