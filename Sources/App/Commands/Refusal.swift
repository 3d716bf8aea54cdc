// What `inspect --json` prints of a model that it refuses: the object it prints of any other, as far as headers go, and why not more.

import Formats
import Model

/// A refusal as an answer.
struct Refusal {
  private let path: String
  private let error: any Error
  private let status: ExitStatus

  /// - Returns: nil where there is no model to speak of: nothing lies at the path, or the request was wrong.
  init?(_ error: any Error, of path: String) {
    guard let status = Failure.status(of: error), status != .usage, FileStatus.exists(path) else { return nil }
    (self.path, self.error, self.status) = (path, error, status)
  }

  var json: String {
    let name = path.split(separator: "/").last.map(String.init) ?? path
    let summary = ModelListing([.init(name: name, path: path)]).rows[0].summary
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("schema", "moetop.inspect/1")
      writer.member("model", name)
      writer.member("family", summary?.family)
      writer.member("supported", false)
      writer.member("parameters", summary?.parameters)
      writer.parameters(beside: summary?.otherParameters ?? OtherParameters())
      writer.member("weight_bytes", summary?.bytes)
      writer.member("refused") { writer in
        writer.object { writer in
          writer.member("reason", Failure.message(of: error).split(separator: "\n").first.map(String.init) ?? "")
          writer.member("exit_code", Int(status.rawValue))
          for (name, value) in (error as? ModelError)?.particulars ?? [] { writer.member(name, value) }
        }
      }
    }
    return writer.text + "\n"
  }
}

extension JSONWriter {
  /// `other_parameters`: what lies beside the text model.
  mutating func parameters(beside others: OtherParameters) {
    member("other_parameters") { writer in
      writer.object { writer in
        writer.member("vision", others.vision)
        writer.member("audio", others.audio)
        writer.member("mtp", others.mtp)
        writer.member("training", others.training)
        writer.member("surplus_layers", others.surplusLayers)
      }
    }
  }
}
