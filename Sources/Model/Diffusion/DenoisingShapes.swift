// Published diffusion transformers come as one file of weights, without a configuration. What shapes and names tell is read from them;
// what they cannot tell is taken from the file's name or from the published sizes and listed as assumed; what is left is asked for.

import Formats

/// The configuration that a file of weights stands for.
struct DenoisingShapes {
  let file: String
  /// Fields of config.json and their values as JSON.
  private(set) var fields: [String: String] = [:]
  /// Those that no tensor says.
  private(set) var assumed: [(key: String, value: String)] = []
  /// Fields that neither shapes nor the name answer, and what is asked.
  private(set) var questions: [(key: String, question: String)] = []

  /// Weights without a configuration: one file, or a folder that holds one.
  static func open(_ path: String) throws -> Checkpoint {
    try FileStatus.isFolder(path) ? Checkpoint(directory: path) : Checkpoint(file: path)
  }

  /// Whether a file of weights has the tensors that every diffusion transformer has.
  static func fit(_ path: String) -> Bool {
    guard let checkpoint = try? open(path) else { return false }
    return ["x_embedder.proj.weight", "pos_embed", "t_embedder.mlp.0.weight", "y_embedder.embedding_table.weight"].allSatisfy {
      checkpoint.shape(of: $0) != nil
    }
  }

  /// - Throws: `ModelError.missingTensor` or `.tensorShape` for a file that is no diffusion transformer.
  init(_ checkpoint: Checkpoint) throws {
    let path = checkpoint.files.first?.path ?? checkpoint.path
    file = path.split(separator: "/").last.map(String.init) ?? path
    func shape(_ name: String, rank: Int) throws -> [Int] {
      guard let shape = checkpoint.shape(of: name) else { throw ModelError.missingTensor(file: path, name: name) }
      guard shape.count == rank, shape.allSatisfy({ $0 > 0 }) else {
        throw ModelError.tensorShape(
          file: path, name: name, expected: Array(repeating: -1, count: rank), found: shape, because: "a diffusion transformer")
      }
      return shape
    }
    let patch = try shape("x_embedder.proj.weight", rank: 4)
    let patches = try shape("pos_embed", rank: 3)[1]
    let hidden = patch[0]
    let grid = Int(Double(patches).squareRoot().rounded())
    let output = try shape("final_layer.linear.weight", rank: 2)[0]
    var depth = 0
    while checkpoint.shape(of: "blocks.\(depth).adaLN_modulation.1.weight") != nil { depth += 1 }
    fields = [
      "hidden_size": "\(hidden)", "in_channels": "\(patch[1])", "patch_size": "\(patch[2])", "input_size": "\(grid * patch[2])",
      "depth": "\(depth)", "num_classes": "\(max(1, try shape("y_embedder.embedding_table.weight", rank: 2)[0] - 1))",
      "learn_sigma": output == 2 * patch[1] * patch[2] * patch[2] ? "true" : "false",
    ]
    if let gate = checkpoint.shape(of: "routers.0.f_gate.1.weight"), let experts = gate.first {
      set("model_type", "\"switch_dit\"")
      set("num_experts", "\(experts)")
      assume("num_experts_per_tok", "2")
      assume("sampler", "\"ddpm\"")
      assume("noise_schedule", "\"cosine\"")
      assumeHeads(hidden)
      return
    }
    let gate = try shape("blocks.0.moe.gate.weight", rank: 2)
    set("model_type", "\"dit_moe\"")
    set("num_experts", "\(gate[0])")
    set("mlp_ratio", "\(try shape("blocks.0.moe.experts.0.gate_proj.weight", rank: 2)[0] / hidden)")
    set("n_shared_experts", "\((checkpoint.shape(of: "blocks.0.moe.shared_experts.gate_proj.weight")?.first ?? 0) / hidden)")
    if let heads = checkpoint.shape(of: "blocks.0.attn.q_norm.weight")?.first, heads > 0 {
      set("qk_norm", "true")
      set("num_heads", "\(hidden / heads)")
      assume("sampler", "\"rectified-flow\"")
    } else {
      assume("sampler", "\"ddpm\"")
      assumeHeads(hidden)
    }
    if let topK = Self.topK(inName: file) {
      assume("num_experts_per_tok", "\(topK)")
    } else {
      questions.append(("num_experts_per_tok", "how many experts a patch takes"))
    }
  }

  /// - Throws: `ModelError.openQuestion` with the first question that the user's settings leave open.
  func requireAnswers(_ overrides: [String: String]) throws {
    guard let open = questions.first(where: { overrides[$0.key] == nil }) else { return }
    throw ModelError.openQuestion(file: file, key: open.key, question: open.question)
  }

  private mutating func set(_ key: String, _ value: String) { fields[key] = value }

  private mutating func assume(_ key: String, _ value: String) {
    fields[key] = value
    assumed.append((key, value))
  }

  /// Heads of 64 in the published widths; anything else is left open.
  private mutating func assumeHeads(_ hidden: Int) {
    let published = [384: 6, 768: 12, 1024: 16, 1152: 16]
    if let heads = published[hidden] {
      assume("num_heads", "\(heads)")
    } else {
      questions.append(("num_heads", "how many heads attention has"))
    }
  }

  /// K of a name like `dit_moe_s_8E2A.pt`: eight experts, two of them active.
  private static func topK(inName name: String) -> Int? {
    guard let match = name.firstMatch(of: #/[0-9]+E([0-9]{1,3})A/#) else { return nil }
    return Int(match.1)
  }
}
