// How do pictures get into files? As PNG, by libpng; what a picture shows and where it came from stands in text chunks inside the file, so
// that a grid of samples can be made again. The file appears under its name only when it is complete.

import CPng
import Formats

/// Writes pictures.
enum PNGFile {
  /// Writes one picture.
  ///
  /// - Parameters:
  ///   - pixels: `[height, width, 3]`, red, green and blue, 0...255, top row first.
  ///   - notes: provenance, such as `("model", "dit-moe-tiny")`, `("seed", "7")`; keys are 1 to 79 bytes of ASCII.
  /// - Precondition: there are as many pixels as the sizes say.
  /// - Throws: `FormatError.system` when the file cannot be created (exit code 73, 77) or the disk is full (74); `Failure` with libpng's
  ///   words for a picture that PNG cannot hold, such as an empty one.
  static func write(pixels: [UInt8], width: Int, height: Int, notes: [(key: String, value: String)] = [], to path: String) throws {
    let bytes = try encode(pixels: pixels, width: width, height: height, notes: notes, path: path)
    let output = try OutputFile(path: path)
    try output.write(bytes)
    try output.commit()
  }

  private static func encode(
    pixels: [UInt8], width: Int, height: Int, notes: [(key: String, value: String)], path: String
  ) throws -> [UInt8] {
    precondition(width >= 0 && height >= 0 && pixels.count == width * height * 3, "as many pixels as the sizes say")
    var bytes: [UInt8] = []
    var message = [UInt8](repeating: 0, count: 200)
    let written = withCStrings(notes.flatMap { [$0.key, $0.value] }) { texts in
      let notes = stride(from: 0, to: texts.count, by: 2).map { moetop_png_note(keyword: texts[$0], text: texts[$0 + 1]) }
      return withUnsafeMutablePointer(to: &bytes) { sink in
        message.withUnsafeMutableBytes { message in
          moetop_png_write(
            pixels, UInt32(clamping: width), UInt32(clamping: height), notes, notes.count,
            { context, bytes, count in
              context?.assumingMemoryBound(to: [UInt8].self).pointee.append(contentsOf: UnsafeBufferPointer(start: bytes, count: count))
            }, sink, message.baseAddress, message.count)
        }
      }
    }
    guard written == 1 else {
      let words = String(decoding: message.prefix { $0 != 0 }, as: UTF8.self)
      throw Failure(
        .failed, "\(path): a picture of \(width) x \(height) cannot be written as PNG: \(words)\n  try: fewer or smaller images")
    }
    return bytes
  }

  /// All of `strings` as C strings for the time of the call.
  private static func withCStrings<Result>(_ strings: [String], _ body: ([UnsafePointer<CChar>]) -> Result) -> Result {
    let starts = strings.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1.utf8.count + 1) }
    let bytes = strings.flatMap { Array($0.utf8) + [0] }.map { CChar(bitPattern: $0) }
    return bytes.withUnsafeBufferPointer { buffer in
      body(buffer.baseAddress.map { base in strings.indices.map { base + starts[$0] } } ?? [])
    }
  }
}
