// How does text appear while tokens arrive? A `StreamingDecoder` takes one id at a time and gives back the text that is certain by then:
// it holds incomplete UTF-8, runs of byte tokens, and spaces that may yet be stripped. `Tokenizer.decode` is the same machine run to its end,
// so streamed and whole text cannot differ.

/// Decodes a growing sequence of ids.
public struct StreamingDecoder: Sendable {
  private let tokenizer: Tokenizer
  private let skipsSpecialTokens: Bool
  private var states: [StepState]
  private var output: [UInt8] = []

  /// What a step remembers between tokens.
  private struct StepState: Sendable {
    /// Bytes held back.
    var held: [UInt8] = []
    /// Whether a token has gone through.
    var hasStarted = false
    /// Strip after Fuse: characters it may still take from the front.
    var leading = 0
    /// Whether the tokens that reach this step are parts of one.
    var isFused = false
  }

  init(tokenizer: Tokenizer, skipsSpecialTokens: Bool) {
    self.tokenizer = tokenizer
    self.skipsSpecialTokens = skipsSpecialTokens
    var isFused = false
    states = tokenizer.decoder.steps.map { step in
      var state = StepState(isFused: isFused)
      switch step {
      case .fuse, .byteLevel: isFused = true
      case .strip(_, let start, _): state.leading = start
      default: break
      }
      return state
    }
  }

  /// Takes the next token; the text that is new and certain now, often empty. Ids outside the vocabulary are passed over.
  public mutating func append(_ id: Int32) -> String {
    feed(id)
    return takeText()
  }

  /// Ends the sequence; the text still held. Call once.
  public mutating func finish() -> String {
    for step in states.indices { flush(step) }
    return takeText()
  }

  /// Takes the next token without giving text yet.
  mutating func feed(_ id: Int32) {
    guard let token = tokenizer.decoderSpelling(of: id, skipsSpecialTokens: skipsSpecialTokens) else { return }
    push(token, into: 0)
  }

  private mutating func takeText() -> String {
    defer { output.removeAll(keepingCapacity: true) }
    return String(decoding: output, as: UTF8.self)
  }

  private mutating func push(_ token: [UInt8], into step: Int) {
    guard step < states.count else {
      output.append(contentsOf: token)
      return
    }
    switch tokenizer.decoder.steps[step] {
    case .fuse: push(token, into: step + 1)
    case .joinWithSpaces:
      push(states[step].hasStarted ? [0x20] + token : token, into: step + 1)
      states[step].hasStarted = true
    case .replace(let pattern, let content):
      push(tokenizer.replaceInToken(token, pattern, content), into: step + 1)
    case .metaspace(let replacement, let dropsFirst):
      let drops = dropsFirst && !states[step].hasStarted
      states[step].hasStarted = true
      push(tokenizer.replaceInToken(token, .literal(replacement), drops ? [] : [0x20]), into: step + 1)
    case .byteFallback:
      if let byte = ByteAlphabet.fallbackByte(token) {
        states[step].held.append(byte)
      } else {
        flush(step)
        push(token, into: step + 1)
      }
    case .byteLevel:
      var held = states[step].held
      held.append(contentsOf: Decoder.byteLevel(token))
      let complete = held.count - incompleteTail(held)
      states[step].held = Array(held[complete...])
      if complete > 0 { push(repaired(held[..<complete]), into: step + 1) }
    case .strip(let character, let start, let stop):
      if states[step].isFused {
        strip(token, character, stop, step)
      } else {
        push(stripped(token, character, start, stop), into: step + 1)
      }
    }
  }

  /// Gives out what `step` has held, because what it waited for cannot come any more.
  private mutating func flush(_ step: Int) {
    let held = states[step].held
    states[step].held = []
    guard !held.isEmpty else { return }
    switch tokenizer.decoder.steps[step] {
    case .byteFallback:
      // The reference: a run of byte tokens is text as a whole, or a replacement character for each.
      if String(validating: held, as: UTF8.self) != nil {
        push(held, into: step + 1)
      } else {
        for _ in held { push([0xEF, 0xBF, 0xBD], into: step + 1) }
      }
    case .byteLevel: push(repaired(held[...]), into: step + 1)
    case .strip: break  // at most `stop` characters at the very end: these go
    default: push(held, into: step + 1)
    }
  }

  /// Strip on parts of one token: takes from the front of the first parts, holds what may be taken from the end.
  private mutating func strip(_ part: [UInt8], _ character: [UInt8], _ stop: Int, _ step: Int) {
    var rest = part[...]
    while states[step].leading > 0, !rest.isEmpty {
      guard rest.starts(with: character) else {
        states[step].leading = 0
        break
      }
      rest = rest.dropFirst(character.count)
      states[step].leading -= 1
    }
    var all = states[step].held + rest
    var end = all.count
    for _ in 0..<stop {
      guard all[..<end].suffix(character.count).elementsEqual(character) else { break }
      end -= character.count
    }
    states[step].held = Array(all[end...])
    all.removeLast(all.count - end)
    if !all.isEmpty { push(all, into: step + 1) }
  }

  private func stripped(_ token: [UInt8], _ character: [UInt8], _ start: Int, _ stop: Int) -> [UInt8] {
    var rest = token[...]
    for _ in 0..<start {
      guard rest.starts(with: character) else { break }
      rest = rest.dropFirst(character.count)
    }
    for _ in 0..<stop {
      guard rest.count >= character.count, rest.suffix(character.count).elementsEqual(character) else { break }
      rest = rest.dropLast(character.count)
    }
    return Array(rest)
  }

  private func repaired(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
    Array(String(decoding: bytes, as: UTF8.self).utf8)
  }
}

/// How many bytes at the end of `bytes` begin a UTF-8 sequence that more bytes could complete: 0 to 3.
func incompleteTail(_ bytes: [UInt8]) -> Int {
  for length in 1...3 where length <= bytes.count {
    let lead = bytes[bytes.count - length]
    if lead & 0xC0 == 0x80 { continue }
    let needed = lead >= 0xF0 && lead <= 0xF4 ? 4 : lead >= 0xE0 && lead < 0xF0 ? 3 : lead >= 0xC2 && lead < 0xE0 ? 2 : 1
    guard needed > length else { return 0 }
    guard length > 1 else { return 1 }
    // The second byte has a narrower range after some leads; out of it, the sequence is broken already.
    let second = bytes[bytes.count - length + 1]
    switch lead {
    case 0xE0: return second >= 0xA0 ? length : 0
    case 0xED: return second < 0xA0 ? length : 0
    case 0xF0: return second >= 0x90 ? length : 0
    case 0xF4: return second < 0x90 ? length : 0
    default: return length
    }
  }
  return 0
}
