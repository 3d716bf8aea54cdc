// Do written pictures come back pixel for pixel, with their notes? Read by libpng's own reader; failures leave nothing behind.

import Formats
import Foundation
import PngReading
import Support
import Testing

@testable import App

struct PNGFileTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private func written(_ pixels: [UInt8], _ width: Int, _ height: Int) throws -> (width: UInt32, height: UInt32, pixels: [UInt8]) {
    let path = directory.file("out.png")
    try PNGFile.write(pixels: pixels, width: width, height: height, to: path)
    var found: (UInt32, UInt32) = (0, 0)
    var read = [UInt8](repeating: 0, count: pixels.count)
    #expect(moetop_png_read(path, &found.0, &found.1, &read, UInt32(read.count)) == 1)
    return (found.0, found.1, read)
  }

  @Test(arguments: [(1, 1), (7, 5), (130, 66)])
  func pixelsComeBack(_ width: Int, _ height: Int) throws {
    var random = SeededRandom(seed: 1)
    let pixels = (0..<width * height * 3).map { _ in UInt8.random(in: 0...255, using: &random) }
    let found = try written(pixels, width, height)
    #expect(Int(found.width) == width && Int(found.height) == height && found.pixels == pixels)
  }

  @Test func classesThatComeRoundAreColumns() {
    #expect(DenoisingResult.columns([4, 1, 2, 4, 1, 2]) == 3 && DenoisingResult.columns([0, 1, 2]) == 2)
    #expect(DenoisingResult.columns([3, 3, 3, 3]) == 2 && DenoisingResult.columns([0, 1, 2, 0]) == 2 && DenoisingResult.columns([]) == 0)
  }

  /// Notes are chunks of their own before the pixels: Latin text as tEXt, other text as iTXt in UTF-8.
  @Test func notesAreInTheFile() throws {
    let path = directory.file("notes.png")
    let notes: [(key: String, value: String)] = [("model", "dit-moe-tiny"), ("seed", "7"), ("class", "Größe ✓")]
    try PNGFile.write(pixels: [1, 2, 3], width: 1, height: 1, notes: notes, to: path)
    let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    #expect(bytes.starts(with: [0x89] + Array("PNG\r\n\u{1A}\n".utf8)))
    for text in ["tEXtmodel\0dit-moe-tiny", "tEXtseed\u{0}7", "iTXtclass\0\0\0\0\0Größe ✓"] {
      #expect(Data(bytes).range(of: Data(text.utf8)) != nil, "\(text)")
    }
  }

  @Test func failuresAreTyped() throws {
    func status(_ path: String, _ width: Int = 1, _ height: Int = 1) -> Int32? {
      do {
        try PNGFile.write(pixels: [UInt8](repeating: 0, count: 3 * width * height), width: width, height: height, to: path)
        return nil
      } catch {
        #expect(Failure.message(of: error).contains(path), "\(error)")
        return Failure.status(of: error)?.rawValue
      }
    }
    #expect(status(directory.file("none/out.png")) == 73)
    #expect(status(directory.file("empty.png"), 0, 0) == 1)
    #expect(status(directory.file("wide.png"), 1_000_001, 1) == 1)
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).isEmpty)
  }
}
