// What lies here in place of the file that was asked for? A clone without git-lfs holds pointers, and a download that was not allowed
// holds a web page; both have the right name. Readers ask once a file turns out not to be what its name says.

/// Something else under a file's name.
struct Impostor {
  /// What it is, and what to do.
  let words: String
  let hint: String

  /// nil when the bytes are not one of the known ones.
  init?(_ bytes: UnsafeRawBufferPointer) {
    let spaces: Set<UInt8> = [0x20, 0x09, 0x0A, 0x0D, 0xEF, 0xBB, 0xBF]  // a byte-order mark among them
    let begin = bytes.prefix(64).drop { spaces.contains($0) }
    let text = String(decoding: begin, as: UTF8.self).lowercased()
    if text.hasPrefix("version https://git-lfs") {
      (words, hint) = ("is a pointer of Git LFS, not the file it stands for", "git lfs pull fetches the file")
    } else if text.hasPrefix("<!doctype html") || text.hasPrefix("<html") {
      (words, hint) = (
        "is a web page (HTML), not the file", "the download was answered with a page: log in or accept the terms, then repeat it"
      )
    } else if text.hasPrefix("<?xml") {
      (words, hint) = ("is an XML answer, not the file", "the download was answered with an error: repeat it")
    } else {
      return nil
    }
  }

  func error(_ file: String, place: String) -> FormatError { .malformed(file: file, place: place, problem: words, hint: hint) }
}
