// DBRX (Databricks 2024): queries, keys and values in one clamped projection, experts stacked in one tensor, weights divided by their
// p-norm, layer norms without biases.
//
// | key                                       | meaning                          | default  |
// |-------------------------------------------|----------------------------------|----------|
// | d_model, n_heads, n_layers, max_seq_len   | sizes                            | required |
// | attn_config.kv_n_heads, clip_qkv, rope_theta | attention                     | 1, none, 10000 |
// | ffn_config.moe_num_experts, moe_top_k     | experts, topK                    | required |
// | ffn_config.ffn_hidden_size                | width of one expert              | required |
// | ffn_config.moe_normalize_expert_weights   | p of the norm; null: none        | 1        |

import Formats
import Routing

extension Family {
  static let dbrx = Family(modelType: "dbrx", defaults: ["attn_config.kv_n_heads": "1"]) { configuration in
    let attention = try configuration.section(
      "attn_config", irrelevant: ["attn_pdrop", "model_type"])
    let experts = try configuration.section(
      "ffn_config", irrelevant: ["moe_jitter_eps", "moe_loss_weight", "hidden_size", "uniform_expert_assignment", "model_type"])
    let hidden = try configuration.count("d_model")
    let heads = try configuration.count("n_heads")
    let keyHeads = try attention.count("kv_n_heads", default: heads)
    let size = hidden / heads
    guard hidden % (2 * heads) == 0, heads % keyHeads == 0 else {
      throw ModelError.configuration(
        file: configuration.file, key: "n_heads, attn_config.kv_n_heads",
        expected: "head counts that divide, and heads of even size in d_model \(hidden)", found: "\(heads), \(keyHeads)")
    }
    let clip = try attention.optionalNumber("clip_qkv").map { Float($0) }
    let base = try attention.optionalNumber("rope_theta")
    _ = configuration.value("num_key_value_heads", "resid_pdrop", "emb_pdrop")
    let rotary = try configuration.rotary(headSize: size, statedBase: base)
    let count = try experts.count("moe_num_experts")
    let width = try experts.count("ffn_hidden_size")
    let power = experts.isNull("moe_normalize_expert_weights") ? nil : try experts.number("moe_normalize_expert_weights", default: 1)
    let router = RouterSpec(
      expertCount: count, scoring: .softmax, selection: .tokenChoice(topK: try experts.count("moe_top_k")),
      normalization: power.map { .pNorm(Float($0)) } ?? .none)
    if let activation = experts.value("ffn_act_fn"), let name = activation.objectMembers.first(where: { $0.0 == "name" })?.1.string,
      name != "silu"
    {
      throw experts.refused("ffn_act_fn.name", found: "\"\(name)\"", supported: "\"silu\"")
    }
    try attention.finish()
    try experts.finish()
    let isTied = try configuration.flag("tie_word_embeddings", default: false)
    let vocabulary = try configuration.count("vocab_size")
    let embedding: MatrixPlan = "transformer.wte.weight"
    let blocks = (0..<(try configuration.layerCount("n_layers"))).map { layer in
      let prefix = "transformer.blocks.\(layer)."
      let mixer = prefix + "norm_attn_norm."
      let rows = hidden + 2 * keyHeads * size
      func part(_ first: Int) -> LinearPlan {
        LinearPlan(MatrixPlan(mixer + "attn.Wqkv.weight", storedShape: [rows, hidden], firstRow: first))
      }
      var plan = AttentionPlan(
        headCount: heads, keyValueHeadCount: keyHeads, headSize: size, query: part(0), key: part(hidden),
        value: part(hidden + keyHeads * size), output: LinearPlan(prefix: mixer + "attn.out_proj"), rotary: rotary)
      plan.clip = clip
      let routed = ExpertsPlan(
        router: router, routerLinear: LinearPlan(prefix: prefix + "ffn.router.layer"),
        expert: { index in
          func rows(_ name: String) -> MatrixPlan {
            MatrixPlan(prefix + "ffn.experts.mlp." + name, storedShape: [count * width, hidden], firstRow: index * width)
          }
          var down = rows("w2")
          down.transposition = .init()
          return GatedPlan(gate: LinearPlan(rows("w1")), up: LinearPlan(rows("v1")), down: LinearPlan(down), intermediateSize: width)
        })
      return BlockPlan([
        SublayerPlan(.layer("\(mixer)norm_1.weight", 1e-5), plan), SublayerPlan(.layer("\(mixer)norm_2.weight", 1e-5), routed),
      ])
    }
    return ModelPlan(
      family: "dbrx", hiddenSize: hidden, vocabularySize: vocabulary, contextLength: try configuration.count("max_seq_len"),
      embedding: embedding, decoder: StackPlan(blocks: blocks, finalNorm: .layer("transformer.norm_f.weight", 1e-5)),
      outputHead: LinearPlan(isTied ? .tiedHead(embedding) : "lm_head.weight"))
  }
}
