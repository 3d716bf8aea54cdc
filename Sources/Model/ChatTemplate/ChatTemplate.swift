// How does a conversation become the prompt a chat model was trained on? `ChatTemplate` finds the template that came with a model and
// renders messages with it: Jinja as transformers sets it up (`trim_blocks`, `lstrip_blocks`, loop controls), in a subset that is either
// exact or refused with the template's line. The interpreter's parts are the files beside this one.

import Formats

#if canImport(Darwin)
  import Darwin
#elseif canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// One message of a conversation.
public struct ChatMessage: Sendable {
  /// "system", "user", "assistant", …
  public var role: String
  public var content: String

  public init(role: String, content: String) {
    self.role = role
    self.content = content
  }
}

/// The chat template of one model.
public struct ChatTemplate: Sendable {
  /// The file it came from.
  public let path: String
  private let statements: [TemplateStatement]
  /// `bos_token` and its like, as the template may name them.
  private let specialTokens: [(name: String, spelling: String)]

  /// - Parameters:
  ///   - text: the template.
  ///   - path: the file it came from, for errors.
  ///   - specialTokens: what the template may call `bos_token`, `eos_token`, ….
  /// - Throws: `TemplateError`.
  public init(_ text: String, path: String, specialTokens: [(name: String, spelling: String)] = []) throws(TemplateError) {
    self.path = path
    self.specialTokens = specialTokens
    statements = try TemplateParser.parse(text, file: path)
  }

  /// The template of a model's folder: `chat_template.jinja`, else the `chat_template` of `tokenizer_config.json`; nil without one.
  ///
  /// - Throws: `TemplateError` for a template, `FormatError` for a file that cannot be read.
  public init?(directory: String) throws {
    let configuration = "\(directory)/tokenizer_config.json"
    let json = MappedFile.exists(configuration) ? try JSON.read(configuration, options: .python) : nil
    let specialTokens = try json.map { try Self.specialTokens($0) } ?? []
    let file = "\(directory)/chat_template.jinja"
    if MappedFile.exists(file) {
      let mapped = try MappedFile(path: file)
      let text = withExtendedLifetime(mapped) { String(validating: mapped.bytes, as: UTF8.self) }
      guard let text else {
        throw FormatError.malformed(file: file, place: "the file", problem: "not UTF-8", hint: nil)
      }
      try self.init(text, path: file, specialTokens: specialTokens)
    } else if let value = try json?.memberIfPresent("chat_template") {
      try self.init(try Self.text(value), path: configuration, specialTokens: specialTokens)
    } else {
      return nil
    }
  }

  /// The template in the metadata of a GGUF file; nil without one.
  public init?(gguf file: GGUFFile) throws(TemplateError) {
    guard let text = file["tokenizer.chat_template"]?.string else { return nil }
    var specialTokens: [(name: String, spelling: String)] = []
    let tokens = file["tokenizer.ggml.tokens"]?.array?.strings ?? []
    for (name, key) in [("bos_token", "bos"), ("eos_token", "eos"), ("unk_token", "unknown"), ("pad_token", "padding")] {
      guard let id = file["tokenizer.ggml.\(key)_token_id"]?.int64, id >= 0, id < tokens.count else { continue }
      specialTokens.append((name, tokens[Int(id)]))
    }
    try self.init(text, path: file.path, specialTokens: specialTokens)
  }

  /// A text, or a list of named texts of which the one called "default" is for conversations without tools.
  private static func text(_ json: JSONValue) throws(FormatError) -> String {
    guard json.kind == .array else { return try json.requireString() }
    for entry in json.elements where try entry.string("name") == "default" { return try entry.string("template") }
    throw json.unexpected("a template, or a list with one called \"default\"")
  }

  private static func specialTokens(_ json: JSONValue) throws(FormatError) -> [(name: String, spelling: String)] {
    var tokens: [(name: String, spelling: String)] = []
    func add(_ name: String, _ value: JSONValue) throws(FormatError) {
      tokens.append((name, value.kind == .object ? try value.string("content") : try value.requireString()))
    }
    for name in ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"] {
      if let value = try json.memberIfPresent(name) { try add(name, value) }
    }
    // Tokens of this model alone: whatever else ends so, and the named ones of extra_special_tokens.
    for (key, value) in json.members where value.kind == .string || value["content"]?.kind == .string {
      guard let name = key.string, name.hasSuffix("_token"), !tokens.contains(where: { $0.name == name }) else { continue }
      try add(name, value)
    }
    if let extra = try json.memberIfPresent("extra_special_tokens"), extra.kind == .object {
      for (key, value) in extra.members { if let name = key.string { try add(name, value) } }
    }
    return tokens
  }

  /// The prompt for `messages`, ready for the answer.
  ///
  /// The template itself puts the special tokens: encode the result without adding any.
  /// - Throws: `TemplateError`; `.refusal` when the template does not take such a conversation.
  public func prompt(for messages: [ChatMessage]) throws(TemplateError) -> String {
    var list: [TemplateValue] = []
    for message in messages {
      var map = TemplateMap()
      map["role"] = .string(message.role)
      map["content"] = .string(message.content)
      list.append(.map(map))
    }
    return try render([("messages", .list(list)), ("add_generation_prompt", .bool(true))])
  }

  /// Renders with these variables besides the special tokens; tools and documents are none unless given.
  func render(
    _ variables: [(name: String, value: TemplateValue)], clock: @escaping (String) -> String = Self.localTime
  ) throws(TemplateError) -> String {
    let scope = TemplateScope()
    for (name, spelling) in specialTokens { scope[name] = .string(spelling) }
    scope["tools"] = TemplateValue.none
    scope["documents"] = TemplateValue.none
    for (name, value) in variables { scope[name] = value }
    var renderer = TemplateRenderer(file: path, clock: clock)
    try renderer.render(statements, scope)
    return renderer.output
  }

  /// The time now, by a format of strftime.
  static func localTime(_ format: String) -> String {
    var seconds = time(nil)
    var fields = tm()
    guard localtime_r(&seconds, &fields) != nil else { return "" }
    var text = [CChar](repeating: 0, count: 256)
    let count = strftime(&text, text.count, format, &fields)
    return String(decoding: text.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

extension LanguageModel {
  /// The chat template that came with this model.
  ///
  /// - Throws: `ModelError.noChatTemplate` when there is none; `TemplateError`, `FormatError`.
  public func openChatTemplate() throws -> ChatTemplate {
    let found = GGUFFile.isAt(path) ? try ChatTemplate(gguf: GGUFSplit(path: path).files[0]) : try ChatTemplate(directory: path)
    guard let template = found else { throw ModelError.noChatTemplate(path: path) }
    return template
  }
}
