// How does a regular expression of a tokenizer file run? Through PCRE2 (UTF, Unicode properties, just-in-time compiled), the only engine
// measured to be both fast and equal to the reference on these patterns. Patterns are written for Oniguruma; PatternTranslation.swift
// respells them. What is done with the matches is TextPattern.swift's.

import CPCRE2
import Formats

/// One compiled regular expression.
///
/// `@unchecked Sendable`: PCRE2 never changes compiled code after `pcre2_jit_compile`; everything a match writes to is in `PatternMatcher`.
final class CompiledPattern: @unchecked Sendable {
  private let code: OpaquePointer
  private let isJIT: Bool
  /// Where the pattern stands, for errors.
  private let file: String
  private let path: String

  /// - Parameters:
  ///   - pattern: in Oniguruma's (Ruby) spelling, as tokenizer.json has it.
  ///   - place: where it stands, for errors.
  /// - Throws: `FormatError.unsupported` for what PCRE2 cannot do alike, `.value` for a pattern that does not compile.
  convenience init(oniguruma pattern: String, at place: JSONValue) throws(FormatError) {
    let translated: String
    do {
      translated = try PatternTranslation.translate(pattern)
    } catch {
      throw .unsupported(file: place.fileName, place: place.path, found: "\(error.construct) in a regular expression", hint: nil)
    }
    try self.init(pcre: translated, at: place)
  }

  /// A pattern already in PCRE2's spelling.
  init(pcre pattern: String, at place: JSONValue) throws(FormatError) {
    // Oniguruma's Ruby syntax lets ^ and $ match at every line.
    let options = UInt32(PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C)
    var failure: Int32 = 0
    var offset = 0
    let bytes = Array(pattern.utf8)
    guard let context = pcre2_compile_context_create_8(nil) else { throw Self.outOfMemory(place) }
    defer { pcre2_compile_context_free_8(context) }
    pcre2_set_newline_8(context, UInt32(PCRE2_NEWLINE_LF))
    guard let code = pcre2_compile_8(bytes, bytes.count, options, &failure, &offset, context) else {
      var message = [UInt8](repeating: 0, count: 256)
      pcre2_get_error_message_8(failure, &message, message.count)
      let words = String(decoding: message.prefix { $0 != 0 }, as: UTF8.self)
      throw .value(
        file: place.fileName, path: place.path, expected: "a regular expression this program can run (\(words))",
        found: "\"\(pattern)\"")
    }
    self.code = code
    (file, path) = (place.fileName, place.path)
    // Without executable memory (hardened kernels) PCRE2 interprets: slower, same matches.
    isJIT = pcre2_jit_compile_8(code, UInt32(PCRE2_JIT_COMPLETE)) == 0
  }

  deinit { pcre2_code_free_8(code) }

  /// Calls `body` with each match's first byte and the byte after it, left to right, relative to `text`, which is a text of its own:
  /// nothing before it is seen by anchors or lookbehind.
  ///
  /// An empty match directly after another is passed over, as Oniguruma's iterator does.
  /// - Precondition: `text` is valid UTF-8.
  /// - Throws: `FormatError.unsupported` when PCRE2 gives up (steps, memory).
  func forEachMatch(
    in text: UnsafeBufferPointer<UInt8>, _ matcher: PatternMatcher, _ body: (Int, Int) -> Void
  ) throws(FormatError) {
    guard let start = text.baseAddress, !text.isEmpty else { return }
    let offsets = matcher.offsets
    var position = 0
    var lastEnd = -1
    while position <= text.count {
      var outcome: Int32
      if isJIT {
        outcome = pcre2_jit_match_8(code, start, text.count, position, 0, matcher.data, matcher.context)
      } else {
        outcome = pcre2_match_8(code, start, text.count, position, UInt32(PCRE2_NO_UTF_CHECK), matcher.data, matcher.context)
      }
      if outcome == PCRE2_ERROR_JIT_STACKLIMIT {
        let options = UInt32(PCRE2_NO_UTF_CHECK) | PCRE2_NO_JIT
        outcome = pcre2_match_8(code, start, text.count, position, options, matcher.data, matcher.context)
      }
      if outcome == PCRE2_ERROR_NOMATCH { return }
      guard outcome >= 0 else {
        throw .unsupported(
          file: file, place: path, found: "a pattern that does not come to an end on this text (PCRE2 error \(outcome))",
          hint: "try a shorter text")
      }
      let (from, to) = (offsets[0], offsets[1])
      if to > from {
        body(from, to)
        lastEnd = to
        position = to
      } else {
        if from != lastEnd { body(from, to) }
        lastEnd = to
        position = to + 1
        while position < text.count && text[position] & 0xC0 == 0x80 { position += 1 }
      }
    }
  }

  private static func outOfMemory(_ place: JSONValue) -> FormatError {
    .unsupported(file: place.fileName, place: place.path, found: "out of memory", hint: nil)
  }
}

/// The writable half of matching; one for each thread of work.
final class PatternMatcher {
  fileprivate let data: OpaquePointer
  fileprivate let context: OpaquePointer
  private let stack: OpaquePointer?

  fileprivate var offsets: UnsafeMutablePointer<Int> { pcre2_get_ovector_pointer_8(data) }

  init() {
    // Only allocation can fail here, and the program cannot go on without these few bytes.
    guard let data = pcre2_match_data_create_8(1, nil), let context = pcre2_match_context_create_8(nil) else {
      preconditionFailure("out of memory")
    }
    self.data = data
    self.context = context
    stack = pcre2_jit_stack_create_8(64 << 10, 64 << 20, nil)
    if let stack { pcre2_jit_stack_assign_8(context, nil, UnsafeMutableRawPointer(stack)) }
    // A hostile pattern may try the ways through a text without end. Ours take a few steps a byte of a piece, so this gets through
    // millions of spaces, and costs a hostile one less than a second.
    pcre2_set_match_limit_8(context, 1 << 24)
    pcre2_set_depth_limit_8(context, .max)
  }

  deinit {
    pcre2_match_data_free_8(data)
    pcre2_match_context_free_8(context)
    if let stack { pcre2_jit_stack_free_8(stack) }
  }
}
