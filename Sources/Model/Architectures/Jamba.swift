// Jamba (AI21 2024, arXiv:2403.19887): state spaces in most layers, attention without positions in the others; every second layer is
// routed, a softmax whose chosen probabilities stay as they are.
//
// | key                      | meaning                                             | default  |
// |--------------------------|-----------------------------------------------------|----------|
// | num_experts, num_experts_per_tok | routed experts a layer (1: no router), topK | required |
// | intermediate_size        | width of an expert and of a dense layer             | required |
// | attn_layer_period, attn_layer_offset | layer n is attention where n % period == offset | 8, 4 |
// | expert_layer_period, expert_layer_offset | likewise for routed layers          | 2, 1     |
// | mamba_expand, mamba_d_state, mamba_d_conv, mamba_dt_rank | the state space; auto: hidden_size / 16, rounded up | 2, 16, 4, auto |

import Routing

extension Family {
  static let jamba = Family(
    modelType: "jamba", defaults: ["num_experts": "16", "num_experts_per_tok": "2", "num_key_value_heads": "8", "rms_norm_eps": "1e-06"]
  ) { configuration in
    let sizes = try DecoderSizes(configuration)
    func isAt(_ kind: String, _ period: Int, _ offset: Int) throws -> (Int) -> Bool {
      let period = try configuration.count("\(kind)_layer_period", default: period)
      let offset = try configuration.wholeNumber("\(kind)_layer_offset", default: offset)
      return { $0 % period == offset }
    }
    let (isAttention, isExpert) = (try isAt("attn", 8, 4), try isAt("expert", 2, 1))
    let scan = try selectiveScan(sizes)
    let width = try configuration.count("intermediate_size")
    let router = RouterSpec.softmaxTopK(
      try configuration.count("num_experts_per_tok"), of: try configuration.count("num_experts"), renormalised: false)
    if try configuration.optionalCount("sliding_window") != nil {
      throw configuration.refused("sliding_window", found: "set", supported: "null")
    }
    configuration.disregard(["use_mamba_kernels", "use_mambapy", "use_associative_scan", "num_logits_to_keep"])
    return sizes.model("jamba", finalNorm: sizes.rms("model.final_layernorm")) { layer in
      let prefix = sizes.prefix(layer)
      let mixer: any OperationPlan = isAttention(layer) ? sizes.attention(layer: layer, rotary: nil) : scan(prefix + "mamba.")
      let feedForward: any OperationPlan =
        isExpert(layer) && router.expertCount > 1
        ? ExpertsPlan(
          router: router, routerLinear: LinearPlan(prefix: prefix + "feed_forward.router"),
          expert: { .projections(prefix + "feed_forward.experts.\($0).", width) })
        : GatedPlan.projections(prefix + "feed_forward.", width)
      return BlockPlan([
        SublayerPlan(sizes.rms(prefix + "input_layernorm"), mixer), SublayerPlan(sizes.rms(prefix + "pre_ff_layernorm"), feedForward),
      ])
    }
  }

  private static func selectiveScan(_ sizes: DecoderSizes) throws -> (String) -> SelectiveScanPlan {
    let configuration = sizes.configuration
    let channels = try configuration.count("mamba_expand", default: 2) * sizes.hiddenSize
    let stateSize = try configuration.count("mamba_d_state", default: 16)
    let isAutomatic = configuration.value("mamba_dt_rank").map { $0.string == "auto" } ?? true
    let rank = isAutomatic ? (sizes.hiddenSize + 15) / 16 : try configuration.count("mamba_dt_rank")
    let reach = try configuration.count("mamba_d_conv", default: 4)
    let hasBias = try configuration.flag("mamba_conv_bias", default: true)
    let bias = try configuration.flag("mamba_proj_bias", default: false)
    return { prefix in
      SelectiveScanPlan(
        channels: channels, stateSize: stateSize, stepRank: rank, input: LinearPlan(prefix: prefix + "in_proj", bias: bias),
        convolution: ConvolutionPlan(
          channels: channels, width: reach, weight: prefix + "conv1d.weight", bias: hasBias ? VectorPlan(prefix + "conv1d.bias") : nil),
        selection: LinearPlan(prefix: prefix + "x_proj"),
        norms: (sizes.rms(prefix + "dt_layernorm"), sizes.rms(prefix + "b_layernorm"), sizes.rms(prefix + "c_layernorm")),
        step: LinearPlan(prefix: prefix + "dt_proj", bias: true),
        logRate: VectorPlan(prefix + "A_log", storedShape: [channels, stateSize]), skip: VectorPlan(prefix + "D"),
        output: LinearPlan(prefix: prefix + "out_proj", bias: bias))
    }
  }
}
