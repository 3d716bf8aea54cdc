// How do tokens become text again? The `decoder` of tokenizer.json as a chain of steps, each taking token after token. The chain works
// incrementally, so that decoding a whole text and streaming it are one thing: see StreamingDecoder.swift.

import Formats

/// The steps of a decoder, in order.
struct Decoder: Sendable {
  enum Step: Sendable {
    case byteLevel
    case byteFallback
    case metaspace(replacement: [UInt8], dropsFirst: Bool)
    case replace(TextPattern, with: [UInt8])
    case strip(character: [UInt8], start: Int, stop: Int)
    case fuse
    /// What the reference does without a decoder: spaces between the tokens.
    case joinWithSpaces
  }

  private(set) var steps: [Step] = []

  /// Reads the `decoder` member.
  init(_ json: JSONValue?) throws(FormatError) {
    guard let json, !json.isNull else {
      steps = [.joinWithSpaces]
      return
    }
    try add(json)
    // After tokens have become one, later steps see that one whole; only those that can work on a stream of parts are let through.
    var isFused = false
    for step in steps {
      switch step {
      case .fuse, .byteLevel: isFused = true
      case .strip, .joinWithSpaces: break
      case .byteFallback, .metaspace, .replace:
        if isFused {
          let found = "a decoder step after Fuse or ByteLevel other than Strip"
          throw .unsupported(file: json.fileName, place: json.path, found: found, hint: nil)
        }
      }
    }
  }

  private mutating func add(_ json: JSONValue) throws(FormatError) {
    let type = try json.string("type")
    switch type {
    case "Sequence":
      for decoder in try json.array("decoders") { try add(decoder) }
    case "ByteLevel": steps.append(.byteLevel)
    case "ByteFallback": steps.append(.byteFallback)
    case "Fuse": steps.append(.fuse)
    case "Metaspace":
      let scheme = try json.stringIfPresent("prepend_scheme") ?? "always"
      let addsSpace = try json.boolIfPresent("add_prefix_space") ?? true
      let replacement = try PreTokenizer.character(json, "replacement")
      steps.append(.metaspace(replacement: replacement, dropsFirst: scheme != "never" && addsSpace))
    case "Replace":
      steps.append(.replace(try TextPattern(json.member("pattern")), with: Array(try json.string("content").utf8)))
    case "Strip":
      let character = try PreTokenizer.character(json, "content")
      let range = 0...1 << 20
      steps.append(.strip(character: character, start: try json.integer("start", in: range), stop: try json.integer("stop", in: range)))
    default: throw unsupportedType(json, type, "decoder")
    }
  }

  /// The bytes of one token by itself, as a reader would see them within a text: no stripping, no dropping of a first space.
  func bytes(of token: [UInt8]) -> [UInt8] {
    var bytes = token
    let matcher = PatternMatcher()
    for step in steps {
      switch step {
      case .byteLevel: bytes = Self.byteLevel(bytes)
      case .byteFallback: if let byte = ByteAlphabet.fallbackByte(bytes) { bytes = [byte] }
      case .metaspace(let replacement, _): bytes = (try? replace(bytes, .literal(replacement), [0x20], matcher)) ?? bytes
      case .replace(let pattern, let content): bytes = (try? replace(bytes, pattern, content, matcher)) ?? bytes
      case .strip, .fuse, .joinWithSpaces: break
      }
    }
    return bytes
  }

  /// The bytes a byte-level token spells; a token with characters outside the alphabet stands for its own bytes.
  static func byteLevel(_ token: [UInt8]) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(token.count)
    for scalar in String(decoding: token, as: UTF8.self).unicodeScalars {
      guard let byte = ByteAlphabet.byte(of: scalar) else { return token }
      bytes.append(byte)
    }
    return bytes
  }
}
