// Which tensors do the files of a record hold? What the readers of .pt and .npy files share: names of sequences, files that lost their end,
// and the check that no file describes more numbers than it has.

import Formats
import Routing

/// The files of a record that torch.save wrote, those that are whole.
struct TorchFiles {
  var files: [TorchFile] = []
  /// Those that lost their end.
  var cut: [String] = []
  var findings: [ImportFinding] = []

  /// - Throws: `FormatError`; a file that lost its end is a finding, as long as another one is whole.
  init(_ paths: [String]) throws(FormatError) {
    var cut: [(path: String, error: FormatError)] = []
    for path in paths {
      do throws(FormatError) { files.append(try TorchFile(path: path)) } catch {
        guard TorchFile.isCut(path) else { throw error }
        cut.append((path, error))
      }
    }
    guard let first = cut.first else { return }
    guard !files.isEmpty else { throw first.error }
    self.cut = cut.map(\.path)
    findings.append(
      ImportFinding(
        .truncated, count: cut.count, of: paths.count,
        detail: "files without their end, where torch.save lists what is in them: \(cut.map { fileName($0.path) }.joined(separator: ", "))")
    )
  }
}

/// How many numbers the tensors of a file may describe together.
struct ByteBudget {
  private let path: String
  private var left: Int

  init(_ path: String) throws(FormatError) {
    self.path = path
    left = try MappedFile(path: path).byteCount
  }

  /// Tensors of a record share no bytes: a file whose tensors have more than it holds would never be read to its end.
  mutating func take(_ tensor: TensorView) throws(FormatError) {
    left -= tensor.byteCount
    guard left >= 0 else {
      throw .malformed(
        file: path, place: tensor.name, problem: "the tensors up to this one describe more bytes than the file has",
        hint: "torch.save writes this of views of one tensor: save them with .clone()")
    }
  }
}

/// The last part of a path.
func fileName(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }
