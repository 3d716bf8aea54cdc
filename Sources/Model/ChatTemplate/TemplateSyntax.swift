// What is a template made of? The tree the parser builds and the renderer walks. Everything carries the line it came from.

/// A part of a template's body.
indirect enum TemplateStatement: Sendable {
  case text(String)
  case output(TemplateExpression)
  /// Conditions with their bodies, tried in order; the last may have none (`else`).
  case branches([(condition: TemplateExpression?, body: [TemplateStatement])])
  case loop(TemplateLoop)
  case assign(TemplateTarget, TemplateExpression)
  /// `{% set name %}…{% endset %}`: what the body renders.
  case capture(TemplateTarget, [TemplateStatement], line: Int)
  case macro(TemplateMacro)
  /// `{% call(…) name(…) %}…{% endcall %}`: a call that is handed the body as `caller`.
  case call(caller: TemplateMacro, TemplateExpression)
  /// `{% generation %}`: marks what an assistant wrote; renders as if it were not there.
  case block([TemplateStatement])
  case breakLoop
  case continueLoop
}

struct TemplateLoop: Sendable {
  var targets: [String]
  var sequence: TemplateExpression
  var condition: TemplateExpression?
  var body: [TemplateStatement]
  var otherwise: [TemplateStatement]
}

/// Where `set` puts a value.
enum TemplateTarget: Sendable {
  case names([String])
  case member(of: String, String, line: Int)
}

struct TemplateMacro: Sendable {
  var name: String
  var parameters: [(name: String, fallback: TemplateExpression?)]
  var body: [TemplateStatement]
  /// Which of `caller`, `varargs` and `kwargs` the body names: a macro without them takes no such arguments.
  var extras: Set<String>
}

extension TemplateMacro {
  /// What a template may ask of a macro; nil for anything else.
  func member(_ name: String) -> TemplateValue? {
    switch name {
    case "name": return .string(self.name)
    case "arguments": return .tuple(parameters.map { .string($0.name) })
    case "catch_varargs": return .bool(extras.contains("varargs"))
    case "catch_kwargs": return .bool(extras.contains("kwargs"))
    case "caller": return .bool(extras.contains("caller"))
    default: return nil
    }
  }
}

struct TemplateExpression: Sendable {
  var line: Int
  var kind: Kind

  indirect enum Kind: Sendable {
    case name(String)
    case none
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case string(String)
    case list([TemplateExpression])
    case tuple([TemplateExpression])
    case map([(key: TemplateExpression, value: TemplateExpression)])
    case member(TemplateExpression, String)
    case item(TemplateExpression, TemplateExpression)
    case slice(TemplateExpression, from: TemplateExpression?, to: TemplateExpression?, step: TemplateExpression?)
    case call(TemplateExpression, TemplateArguments)
    case filter(TemplateExpression, String, TemplateArguments)
    case test(TemplateExpression, String, TemplateArguments)
    case not(TemplateExpression)
    case negative(TemplateExpression)
    case positive(TemplateExpression)
    case binary(String, TemplateExpression, TemplateExpression)
    /// A chain `a < b <= c`: every neighbouring pair.
    case comparison(TemplateExpression, [(operation: String, operand: TemplateExpression)])
    case choice(condition: TemplateExpression, then: TemplateExpression, otherwise: TemplateExpression?)
  }
}

struct TemplateArguments: Sendable {
  var positional: [TemplateExpression] = []
  var named: [(name: String, value: TemplateExpression)] = []
  /// Behind `*`: further plain arguments.
  var list: TemplateExpression?
  /// Behind `**`: further named ones.
  var mapping: TemplateExpression?
}
