// What does `inspect` say of a file that holds weights and nothing about their model? The tensors, and where in the file they were found.

import Formats
import Model

/// The tensors of one file of torch.save.
struct TensorListing {
  let file: PyTorchFile

  /// Tensors that the text shows; `--json` has all.
  private static let shownTensors = 12
  private static let family = "not known: the file holds weights, no configuration"

  private var name: String { file.path.split(separator: "/").last.map(String.init) ?? file.path }
  private var parameters: Int { file.tensors.reduce(0) { $0 + $1.elementCount } }

  private var state: String {
    guard let key = file.stateKey else { return "the file itself" }
    return "\"\(key)\", of \(file.keys.joined(separator: ", "))"
  }

  var text: String {
    var table = TextTable([.left(""), .left("")])
    table.rows = [
      ["model", name], ["family", Self.family], ["format", "torch.save"], ["tensors from", state],
      ["parameters", Show.count(parameters)],
    ]
    for stored in ModelFacts.Stored.table(of: file.tensors) {
      table.rows.append(["stored", "\(stored.type)  \(Show.bytes(stored.bytes)) in \(Show.grouped(stored.tensors)) tensors"])
    }
    for tensor in file.tensors.prefix(Self.shownTensors) {
      table.rows.append(["tensor", "\(tensor.name)  \(tensor.elementType.safetensorsName) \(tensor.shape)"])
    }
    let rest = file.tensors.count - Self.shownTensors
    if rest > 0 { table.rows.append(["", "and \(Show.grouped(rest)) more  (--json has all)"]) }
    return table.text
  }

  var json: String {
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("schema", "moetop.inspect.tensors/1")
      writer.member("model", name)
      writer.member("supported", false)
      writer.member("format", "torch.save")
      if let key = file.stateKey { writer.member("state", key) }
      writer.member("keys") { writer in writer.array { writer in for key in file.keys { writer.value(key) } } }
      writer.member("parameters", parameters)
      writer.member("weight_bytes", file.tensors.reduce(0) { $0 + $1.byteCount })
      writer.objects("tensors", file.tensors) { writer, tensor in
        writer.member("name", tensor.name)
        writer.member("type", tensor.elementType.safetensorsName)
        writer.member("shape", tensor.shape)
        writer.member("offset", tensor.byteOffset)
        writer.member("bytes", tensor.byteCount)
      }
    }
    return writer.text + "\n"
  }
}
