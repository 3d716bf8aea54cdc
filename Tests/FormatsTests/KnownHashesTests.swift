// Is a large file hashed once, and again as soon as anything about it has changed?

import Foundation
import Support
import Testing

@testable import Formats

struct KnownHashesTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private var known: KnownHashes { KnownHashes(folder: directory.path + "/data/hashes") }

  /// A file of this length without content, last changed long ago as far as its own times go.
  private func file(_ name: String, bytes: Int) throws -> MappedFile {
    let path = try directory.write([1], to: name)
    #expect(truncate(path, off_t(bytes)) == 0)
    return try MappedFile(path: path)
  }

  private let digest = String(repeating: "0a", count: 32)

  @Test func aFileThatWasJustChangedIsNotKept() throws {
    let large = try file("a", bytes: KnownHashes.leastBytes)
    known.keep(digest, of: [large])
    #expect(known.hash(of: [large]) == nil && !large.isSettled)
  }

  @Test func smallFilesAreHashedEachTime() throws {
    let small = try file("a", bytes: KnownHashes.leastBytes - 1)
    #expect(known.key(of: [small]) == nil)
  }

  @Test func whatIsKeptIsFoundUntilTheFileChanges() throws {
    let path = try file("a", bytes: KnownHashes.leastBytes).path
    sleep(6)
    let large = try MappedFile(path: path)
    known.keep(digest, of: [large])
    #expect(known.hash(of: [large]) == digest)
    #expect(known.hash(of: [try MappedFile(path: path)]) == digest)
    // Written into, with the time of its content set back: the system's own time of the change is not.
    let before = try FileManager.default.attributesOfItem(atPath: path)
    let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    try handle.write(contentsOf: [2])
    try handle.close()
    try FileManager.default.setAttributes([.modificationDate: try #require(before[.modificationDate])], ofItemAtPath: path)
    #expect(known.hash(of: [try MappedFile(path: path)]) == nil)
  }

  @Test func whatIsNoDigestIsNotBelieved() throws {
    let large = try file("a", bytes: KnownHashes.leastBytes)
    let key = try #require(known.key(of: [large]))
    try FileManager.default.createDirectory(atPath: directory.path + "/data/hashes", withIntermediateDirectories: true)
    for text in ["", digest, String(repeating: "zz", count: 32) + "\n", digest + digest] {
      _ = try directory.write(Array(text.utf8), to: "data/hashes/" + key)
      #expect(known.hash(of: [large]) == nil, "\(text)")
    }
    _ = try directory.write(Array((digest + "\n").utf8), to: "data/hashes/" + key)
    #expect(known.hash(of: [large]) == digest)
  }

  @Test func aFolderThatCannotBeMadeCostsNothing() throws {
    let large = try file("a", bytes: KnownHashes.leastBytes)
    let inFile = KnownHashes(folder: large.path + "/hashes")
    inFile.keep(digest, of: [large])
    #expect(inFile.hash(of: [large]) == nil)
  }
}
