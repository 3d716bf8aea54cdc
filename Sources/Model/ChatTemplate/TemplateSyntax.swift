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
}
