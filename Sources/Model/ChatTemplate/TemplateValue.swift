// What do a template's variables hold? The values of Python that JSON can bring, with Python's ideas of truth, equality and order, and
// what a template itself makes: macros, namespaces, functions. How they are printed is PythonText.swift's.

import Formats

/// A value while a template runs.
indirect enum TemplateValue {
  /// A name or member that is not there; carries its name for errors.
  case undefined(String)
  case none
  case bool(Bool)
  case integer(Int)
  case number(Double)
  case string(String)
  /// `… | safe`: a text that `+` escapes its other operand for, as markupsafe has it.
  case markup(String)
  case list([TemplateValue])
  /// As a list, but printed and compared as what it is.
  case tuple([TemplateValue])
  /// What `map`, `select` and their like give: true also when nothing is left, without a length or items, and gone once read.
  case generator(TemplateGenerator)
  case map(TemplateMap)
  case namespace(TemplateNamespace)
  case macro(TemplateMacro, TemplateScope)
  /// A method of a value, not called yet.
  case method(of: TemplateValue, name: String)
  /// A function of the environment (`range`, `raise_exception`, …).
  case function(String)
  /// The `loop` of the iteration at `index` of `values`.
  case loop(index: Int, values: [TemplateValue])
}

/// Keys (texts, most often) with values, in the order they came in. Few of them: found by walking.
struct TemplateMap {
  struct Entry {
    var key: TemplateValue
    var value: TemplateValue
  }

  private(set) var entries: [Entry] = []

  subscript(key: String) -> TemplateValue? {
    get { self[.string(key)] }
    set { self[.string(key)] = newValue }
  }

  subscript(key: TemplateValue) -> TemplateValue? {
    get { entries.first { $0.key.equals(key) }?.value }
    set {
      let place = entries.firstIndex { $0.key.equals(key) }
      if let newValue {
        if let place { entries[place].value = newValue } else { entries.append(Entry(key: key, value: newValue)) }
      } else if let place {
        entries.remove(at: place)
      }
    }
  }
}

/// Values that are read once.
final class TemplateGenerator {
  private var values: [TemplateValue]

  init(_ values: [TemplateValue]) { self.values = values }

  func rest() -> [TemplateValue] {
    defer { values = [] }
    return values
  }

  func next() -> TemplateValue? { values.isEmpty ? nil : values.removeFirst() }
}

/// `namespace(…)`: the one value a template may change from an inner scope.
final class TemplateNamespace {
  var members = TemplateMap()
}

/// Names and their values, within another scope.
final class TemplateScope {
  private var values: [String: TemplateValue] = [:]
  private let outer: TemplateScope?

  init(inside outer: TemplateScope? = nil) { self.outer = outer }

  subscript(name: String) -> TemplateValue? {
    get { values[name] ?? outer?[name] }
    set { values[name] = newValue }
  }
}

/// Whether two texts are the same code points; Swift's own `==` also takes canonically equivalent texts for equal, Python's does not.
func isSame(_ a: String, _ b: String) -> Bool { a.utf8.elementsEqual(b.utf8) }

extension TemplateValue {
  init(_ json: JSONValue) {
    switch json.kind {
    case .null: self = .none
    case .bool: self = .bool(json.bool ?? false)
    case .number: self = json.int64.map { .integer(Int($0)) } ?? .number(json.double ?? 0)
    case .string: self = .string(json.string ?? "")
    case .array: self = .list(json.elements.map { TemplateValue($0) })
    case .object:
      var map = TemplateMap()
      for (key, value) in json.members { map[key.string ?? ""] = TemplateValue(value) }
      self = .map(map)
    }
  }

  var isUndefined: Bool {
    if case .undefined = self { return true }
    return false
  }

  /// Python's truth.
  var isTrue: Bool {
    switch self {
    case .undefined, .none: return false
    case .bool(let value): return value
    case .integer(let value): return value != 0
    case .number(let value): return value != 0
    case .string(let value), .markup(let value): return !value.isEmpty
    case .list(let values), .tuple(let values): return !values.isEmpty
    case .map(let map): return !map.entries.isEmpty
    case .generator, .namespace, .macro, .method, .function, .loop: return true
    }
  }

  /// The number this value counts as; truth values are 0 and 1.
  var asNumber: Double? {
    switch self {
    case .bool(let value): return value ? 1 : 0
    case .integer(let value): return Double(value)
    case .number(let value): return value
    default: return nil
    }
  }

  var asInteger: Int? {
    switch self {
    case .bool(let value): return value ? 1 : 0
    case .integer(let value): return value
    default: return nil
    }
  }

  /// Python's `==` for values of these kinds.
  func equals(_ other: TemplateValue) -> Bool {
    switch (self, other) {
    case (.undefined, .undefined), (.none, .none): return true
    case (.string(let a), .string(let b)), (.markup(let a), .string(let b)), (.string(let a), .markup(let b)),
      (.markup(let a), .markup(let b)):
      return isSame(a, b)
    case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)): return a.count == b.count && zip(a, b).allSatisfy { $0.equals($1) }
    case (.map(let a), .map(let b)):
      return a.entries.count == b.entries.count && a.entries.allSatisfy { entry in b[entry.key].map { entry.value.equals($0) } ?? false }
    case (.namespace(let a), .namespace(let b)): return a === b
    case (.generator(let a), .generator(let b)): return a === b
    default:
      if let a = asInteger, let b = other.asInteger { return a == b }
      if let a = asNumber, let b = other.asNumber { return a == b }
      return false
    }
  }

  /// Whether this value sorts before `other`; nil when Python would not compare them.
  func isLess(than other: TemplateValue) -> Bool? {
    switch (self, other) {
    case (.string(let a), .string(let b)): return a.unicodeScalars.lexicographicallyPrecedes(b.unicodeScalars)
    case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)):
      for (x, y) in zip(a, b) where !x.equals(y) { return x.isLess(than: y) }
      return a.count < b.count
    default:
      if let a = asInteger, let b = other.asInteger { return a < b }
      if let a = asNumber, let b = other.asNumber { return a < b }
      return nil
    }
  }

  /// Whether Python takes this for the key of a dictionary.
  var isKey: Bool {
    switch self {
    case .list, .map: return false
    case .tuple(let values): return values.allSatisfy(\.isKey)
    default: return true
    }
  }

  /// Whether a loop can go through this; nothing is read.
  var isIterable: Bool {
    switch self {
    case .undefined, .list, .tuple, .string, .markup, .map, .generator: return true
    default: return false
    }
  }

  /// What a loop goes through; nil when this cannot be iterated. A generator is read by it.
  var iterated: [TemplateValue]? {
    switch self {
    case .undefined: return []
    case .list(let values), .tuple(let values): return values
    case .string(let text), .markup(let text): return text.unicodeScalars.map { .string(String($0)) }
    case .map(let map): return map.entries.map(\.key)
    case .generator(let generator): return generator.rest()
    default: return nil
    }
  }

  /// What to call this kind of value in an error.
  var kindName: String {
    switch self {
    case .undefined(let name): return "undefined (\(name))"
    case .none: return "None"
    case .bool: return "a truth value"
    case .integer, .number: return "a number"
    case .string: return "a text"
    case .markup: return "a text made safe"
    case .list: return "a list"
    case .tuple: return "a tuple"
    case .map: return "a mapping"
    case .generator: return "a generator"
    case .namespace: return "a namespace"
    case .macro, .method, .function: return "a function"
    case .loop: return "a loop"
    }
  }
}
