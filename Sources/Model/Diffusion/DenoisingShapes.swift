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

  /// What the training script saved beside the weights.
  private let settings: [String: PyTorchFile.Setting]

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

  /// - Parameter overrides: the user's settings, as JSON; they answer before shapes do.
  /// - Throws: `ModelError.missingTensor` or `.tensorShape` for a file that is no diffusion transformer, `.unsupportedSetting` for one whose
  ///   blocks do not route.
  init(_ checkpoint: Checkpoint, overrides: [String: String] = [:]) throws {
    let path = checkpoint.files.first?.path ?? checkpoint.path
    file = path.split(separator: "/").last.map(String.init) ?? path
    settings = checkpoint.settings
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
    let predictsVariance = output == 2 * patch[1] * patch[2] * patch[2]
    var depth = 0
    while checkpoint.shape(of: "blocks.\(depth).adaLN_modulation.1.weight") != nil { depth += 1 }
    fields = [
      "hidden_size": "\(hidden)", "in_channels": "\(patch[1])", "patch_size": "\(patch[2])", "input_size": "\(grid * patch[2])",
      "depth": "\(depth)", "learn_sigma": "\(predictsVariance)",
    ]
    let classRows = try shape("y_embedder.embedding_table.weight", rank: 2)[0]
    if let experts = checkpoint.shape(of: "routers.0.f_gate.1.weight")?.first {
      set("model_type", "\"switch_dit\"")
      set("num_experts", "\(experts)")
      set("mlp_ratio", "\(try shape("blocks.0.mlp.fc1.weight", rank: 2)[0] / hidden)")
      // Its training script leaves "no class" out where there is one class, and nowhere else.
      setClasses(rows: classRows, known: max(1, classRows - 1), overrides)
      know("num_experts_per_tok", saved(["config.routing.param.k"]) { $0.whole.map { "\($0)" } }, otherwise: "2")
      know("sampler", nil, otherwise: "\"ddpm\"")
      know("noise_schedule", saved(["config.general.schedule_name"]) { $0.text.map(JSONValue.quoted) }, otherwise: "\"cosine\"")
      if let factor = saved(["config.eval.cfg_scale"], { $0.number.map { "\($0)" } }) { set("guidance", factor) }
      assumeHeads(hidden)
      return
    }
    guard checkpoint.shape(of: "blocks.0.moe.gate.weight") != nil || checkpoint.shape(of: "blocks.0.mlp.fc1.weight") == nil else {
      // Of the same authors and of DiT: blocks without a choice.
      let masked = checkpoint.tensors.contains { $0.name.hasPrefix("routers.") }
      throw ModelError.unsupportedSetting(
        file: path, key: "routing",
        found: masked ? "by masks that are fixed in advance for each timestep (DTR)" : "none: every block is dense (DiT)",
        supported: "diffusion transformers whose routers choose experts: DiT-MoE, Switch-DiT")
    }
    let gate = try shape("blocks.0.moe.gate.weight", rank: 2)
    set("model_type", "\"dit_moe\"")
    set("num_experts", "\(gate[0])")
    set("mlp_ratio", "\(try shape("blocks.0.moe.experts.0.gate_proj.weight", rank: 2)[0] / hidden)")
    set("n_shared_experts", "\((checkpoint.shape(of: "blocks.0.moe.shared_experts.gate_proj.weight")?.first ?? 0) / hidden)")
    setClasses(rows: classRows, known: saved(["args.num_classes"]) { $0.whole }, overrides)
    let flows = saved(["args.rf"]) { $0.flag }
    let sampler = flows.map { $0 || !predictsVariance ? "\"rectified-flow\"" : "\"ddpm\"" }
    if let heads = checkpoint.shape(of: "blocks.0.attn.q_norm.weight")?.first, heads > 0 {
      set("qk_norm", "true")
      set("num_heads", "\(hidden / heads)")
      know("sampler", sampler, otherwise: "\"rectified-flow\"")
    } else {
      know("sampler", sampler, otherwise: predictsVariance ? "\"ddpm\"" : "\"rectified-flow\"")
      assumeHeads(hidden)
    }
    if let topK = saved(["args.num_experts_per_tok"], { $0.whole }) {
      set("num_experts_per_tok", "\(topK)")
    } else if let topK = Self.topK(inName: file) {
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

  /// A value of the first of these settings that the training script saved.
  private func saved<Value>(_ paths: [String], _ value: (PyTorchFile.Setting) -> Value?) -> Value? {
    for path in paths { if let found = settings[path].flatMap(value) { return found } }
    return nil
  }

  /// How many classes there are, and whether the table's last row stands for none of them: a table of R rows fits R classes as well as
  /// R - 1 and "no class".
  private mutating func setClasses(rows: Int, known: Int?, _ overrides: [String: String]) {
    let classes = overrides["num_classes"].flatMap { Int($0) } ?? known ?? max(1, rows - 1)
    if known == nil { assume("num_classes", "\(classes)") } else { set("num_classes", "\(classes)") }
    set("null_class", "\(classes < rows)")
  }

  private mutating func know(_ key: String, _ value: String?, otherwise fallback: String) {
    if let value { set(key, value) } else { assume(key, fallback) }
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
