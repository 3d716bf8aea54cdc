// Is it the standard's SHA-256, in the form that traces keep? The vectors of FIPS 180-4, every way to split a message, and files.

import Formats
import Foundation
import Support
import Testing

@Suite struct SHA256Tests {
  @Test(arguments: [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
    (String(repeating: "a", count: 1_000_000), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
  ])
  func vectors(_ text: String, _ digest: String) {
    #expect(Array(text.utf8).withUnsafeBytes { SHA256.hexDigest(of: $0) } == digest)
  }

  @Test func filesAreReadInBlocks() throws {
    let folder = try TemporaryDirectory()
    for count in [0, 1, 1 << 20, (5 << 19) + 7] {
      let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
      try folder.write(Data(bytes), to: "file")
      var hash = SHA256()
      var seen = 0
      try hash.update(FileBytes(path: folder.file("file"))) { seen += $0 }
      #expect(seen == count && hash.hexDigest() == bytes.withUnsafeBytes { SHA256.hexDigest(of: $0) })
      #expect(try SHA256.hexDigest(ofFile: folder.file("file")) == hash.hexDigest())
    }
    #expect(throws: FormatError.self) { try SHA256.hexDigest(ofFile: folder.path) }
    #expect(throws: FormatError.self) { try SHA256.hexDigest(ofFile: folder.file("missing")) }
  }

  @Test func splitsDoNotMatter() {
    let message = (0..<200).map { UInt8($0) }
    for length in [55, 56, 63, 64, 65, 119, 120, 128, 200] {
      let whole = message.prefix(length).withUnsafeBytes { SHA256.hexDigest(of: $0) }
      for split in 0...length {
        var hash = SHA256()
        message[..<split].withUnsafeBytes { hash.update($0) }
        _ = hash.hexDigest()
        message[split..<length].withUnsafeBytes { hash.update($0) }
        #expect(hash.hexDigest() == whole)
      }
    }
  }
}
