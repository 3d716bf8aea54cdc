// How filters are written: every form of a term, and at which character a slip is found.

import Routing
import Testing

struct FilterParsingTests {
  private func term(_ text: String) throws -> FilterTerm {
    let clauses = try Filter(parsing: text).clauses
    #expect(clauses.count == 1 && !clauses[0].isNegated && clauses[0].text == text)
    return clauses[0].term
  }

  @Test func everyFormOfATermIsRead() throws {
    #expect(try term("layer=3-7,9") == .layer(.within([3...7, 9...9])))
    #expect(try term("layer>=2") == .layer(.compared(.atLeast, 2)))
    #expect(try term("router=attn.*,ffn.?") == .router([Glob("attn.*"), Glob("ffn.?")]))
    #expect(try term("expert=23,40") == .expert(.within([23...23, 40...40])))
    #expect(try term("entropy>0.9") == .entropy(.above, .share(0.9)))
    #expect(try term("entropy<=1.6nat") == .entropy(.atMost, .nats(1.6)))
    #expect(try term("entropy>=q0.95") == .entropy(.atLeast, .quantile(0.95)))
    #expect(try term("margin<1e-2") == .margin(NumberTest(comparison: .below, limit: 0.01)))
    #expect(try term("weight=1") == .weight(NumberTest(comparison: .equal, limit: 1)))
    #expect(try term("rank=0") == .rank(.within([0...0])))
    #expect(try term("position>4") == .position(.compared(.above, 4)))
    #expect(try term("id=5,7") == .id(.within([5...5, 7...7])))
    #expect(try term("token=\"exact text\"") == .text("exact text"))
    #expect(try term("token=\"\\u0041\\n\\\"\\ud83d\\ude00·\"") == .text("A\n\"😀·"))
    #expect(try term("token~part=<") == .textPart("part=<"))
    #expect(try term("token~\" the\"") == .textPart(" the"))
    #expect(try term("bos") == .beginning)
    #expect(try term("phase=decode,prefill") == .phase([.decode, .prefill]))
    #expect(try term("surprisal>-3") == .surprisal(NumberTest(comparison: .above, limit: -3)))
    #expect(try term("domain=code,law") == .label("domain", ["code", "law"]))
    #expect(try term("title=\"a, b\",c") == .label("title", ["a, b", "c"]))
    #expect(try term("label:layer=x") == .label("layer", ["x"]))
    #expect(try term("label:\"two words\"=x") == .label("two words", ["x"]))
    #expect(try term("@loss>0.5") == .coordinate("loss", NumberTest(comparison: .above, limit: 0.5)))
    #expect(try term("step<10") == .place(.step, .compared(.below, 10)))
    #expect(try term("branch=0") == .place(.branch, .within([0...0])))
    #expect(try term("patch-row=0-3") == .place(.patchRow, .within([0...3])))
    #expect(try term("patch-column=7") == .place(.patchColumn, .within([7...7])))
    #expect(try term("class=3") == .label("class", ["3"]))
  }

  @Test func theReferenceIsWrittenInItsOwnGrammar() throws {
    for help in Filter.terms { #expect(try Filter(parsing: help.form).clauses.map(\.term.subject) == [help.subject], "\(help.form)") }
  }

  @Test func spacesAndTheWordAndJoinTermsAndABangTurnsOne() throws {
    let filter = try Filter(parsing: "  layer=3   !domain=code and token=\"a b\" !bos ")
    #expect(filter.clauses.map(\.isNegated) == [false, true, false, true])
    #expect(filter.clauses.map(\.text) == ["layer=3", "!domain=code", "token=\"a b\"", "!bos"])
    #expect(filter.clauses.map(\.place) == [2, 12, 29, 41])
    #expect(!filter.selectsDecisions && !filter.keepsWholeSequences)
    #expect(try Filter(parsing: "layer=1 domain=x").keepsWholeSequences)
    #expect(try Filter(parsing: "router=*").keepsWholeRouters)
    #expect(try Filter(parsing: "rank=0 entropy>q0.5 entropy<q0.9").entropyQuantiles == [0.5, 0.9])
  }

  @Test(arguments: [
    ("", 0, "a term", "nothing"), ("   ", 3, "a term", "nothing"), ("layer", 5, "a comparison right behind 'layer'", "nothing"),
    ("layer = 3", 5, "a comparison", "a space"), ("!", 1, "a term behind '!'", "nothing"), ("!!bos", 1, "a term behind", "'!bos'"),
    ("=3", 0, "the name of a term", "'=3'"), ("layer=", 6, "whole numbers", "nothing"), ("layer=3-", 6, "whole numbers", "'3-'"),
    ("layer=7-3", 6, "rises", "'7-3'"), ("layer=1,,2", 8, "whole numbers", "nothing"), ("layer=1 expert=x", 15, "whole numbers", "'x'"),
    ("layer~3", 5, "= > <", "'~'"), ("expert>3,4", 7, "a whole number", "'3,4'"), ("entropy>1.6", 8, "a share", "'1.6'"),
    ("entropy>q1", 8, "quantile", "'q1'"), ("entropy>-1nat", 8, "nats", "'-1nat'"), ("entropy>banana", 8, "a share", "'banana'"),
    ("entropy~1", 7, "= > <", "'~'"), ("margin<", 7, "a number", "nothing"), ("margin<nan", 7, "a number", "'nan'"),
    ("token=the", 6, "JSON string", "'the'"), ("token=\"the", 10, "a quote that ends", "nothing"), ("token=\"\\q\"", 7, "one of", "'\\q'"),
    ("token=\"\\ud83d\"", 7, "surrogates", "half of one"), ("token=\"a\"b", 9, "a space before", "'b'"), ("token>a", 5, "= or ~", "'>'"),
    ("token~", 6, "a part", "nothing"), ("phase=now", 6, "prefill", "'now'"), ("bos=1", 3, "stands alone", "'=1'"),
    ("domain>3", 6, "= behind the label", "'>'"), ("domain=", 7, "a value", "nothing"), ("domain=a,", 9, "a value", "nothing"),
    ("label:=3", 6, "the name of a label", "'=3'"), ("@>3", 1, "a coordinate", "'>3'"), ("and=1", 3, "'and' joins", "'=1'"),
    ("domain\"a\"", 6, "one of =", "'\"a\"'"), ("router>ffn.1", 6, "= behind 'router'", "'>'"),
  ]) func slipsAreFoundWhereTheyStand(_ text: String, _ place: Int, _ expected: String, _ found: String) {
    let error = #expect(throws: FilterError.self, "\(text)") { try Filter(parsing: text) }
    guard case .syntax(let filter, let at, let wanted, let seen)? = error else { return }
    #expect(filter == text && at == place && wanted.contains(expected) && seen == found, "\(error.map(String.init(describing:)) ?? "")")
  }

  @Test func partsOfARuleEndOutsideQuotes() {
    let parts = Filter.parts(of: "mask 1:2 if token=\"a;\\\";\"; topk all=4", separatedBy: ";")
    #expect(parts.map(\.text) == ["mask 1:2 if token=\"a;\\\";\"", " topk all=4"])
    #expect(parts.map(\.place) == [0, 26])
    #expect(Filter.parts(of: "", separatedBy: ";").map(\.text) == [""])
  }

  @Test func globsMatchWholePaths() {
    #expect(Glob("attn.*").matches("attn.3") && Glob("*").matches("") && Glob("*.1?").matches("ffn.12") && Glob("a*b*c").matches("a.b.b.c"))
    #expect(
      !Glob("attn.*").matches("ffn.3") && !Glob("ffn.?").matches("ffn.12") && !Glob("fn.1").matches("ffn.1") && !Glob("").matches("a"))
  }
}
