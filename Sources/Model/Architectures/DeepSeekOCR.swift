// DeepSeek-OCR and its second version (2025, 2026), their text model: LLaMA's attention, and the router and shared experts of DeepSeek-V2.
// The publisher calls the whole deepseek_vl_v2 and says nothing of the text model's type.
//
// | key              | meaning                                                       | default |
// |------------------|---------------------------------------------------------------|---------|
// | use_mla          | false: other checkpoints of that name have latent attention   | false   |
// | mlp_layer_types, or first_k_dense_replace | which blocks are dense               | the first |
// All else is as in DeepSeek.swift.

import Routing

extension Family {
  static let deepSeekOCR = Family(
    modelType: "deepseek_ocr2_text", wrapper: "deepseek_ocr2", publishedWrapper: "deepseek_vl_v2"
  ) { configuration in
    let sizes = try DecoderSizes(configuration)
    try configuration.refuseSet("use_mla", "rm_head")
    try configuration.requireSet("lm_head")
    if let rank = try configuration.optionalCount("kv_lora_rank") {
      throw configuration.refused("kv_lora_rank", found: "\(rank)", supported: "null: no latent attention")
    }
    configuration.disregard(["q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "norm_topk_prob"])
    let bias = try configuration.flag("attention_bias", default: false)
    // The publisher's file is silent about it.
    let rotary = try configuration.rotary(headSize: sizes.headSize, statedBase: 10_000)
    let feedForward = try sharedExperts(sizes, router: greedyRouter(configuration), hasBias: false)
    return sizes.model("deepseek_ocr2_text") {
      sizes.block(layer: $0, sizes.attention(layer: $0, rotary: rotary, bias: bias), feedForward($0))
    }
  }
}
