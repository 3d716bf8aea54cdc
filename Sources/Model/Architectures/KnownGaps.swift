// Which mixtures of experts are known and not run, and for want of what? A name that is looked up here is refused with the part of its computation
// that no operation of this engine is. Some share their model_type with models that are run, or with models without experts: there the class
// in `architectures` tells them apart, and this is asked first.

/// A family whose computation has a part that is not implemented.
struct KnownGap: Sendable {
  /// `model_type`, names of classes in `architectures`, and `general.architecture` of GGUF files.
  let names: Set<String>
  /// What it would take, as the object of "needs".
  let needs: String

  init(_ names: String..., needs: String) {
    self.names = Set(names)
    self.needs = needs
  }

  /// - Returns: nil where nothing is known that stands in the way.
  static func among(_ names: some Sequence<String>, in gaps: [KnownGap] = all) -> (name: String, gap: KnownGap)? {
    for name in names {
      if let gap = gaps.first(where: { $0.names.contains(name) }) { return (name, gap) }
    }
    return nil
  }

  /// Families that are run, and whose GGUF files are not read: `general.architecture`.
  static let ofGGUF: [KnownGap] = [
    KnownGap("hy_v4", needs: "scorers and streams to be found under llama.cpp's names; the checkpoint it was made of (hy_v4) is run"),
    KnownGap("deepseek2-ocr", needs: "settings that its metadata are not read for; the checkpoint it was made of (deepseek_vl_v2) is run"),
  ]

  private static let unmasking = "texts that are made by uncovering masks, each token seeing those behind it too: there is no next token"

  static let all: [KnownGap] = [
    // Language models that are not read from left to right.
    KnownGap("LLaDAMoEModelLM", "LLaDAMoEModel", "llada-moe", needs: unmasking),
    KnownGap("llada2_moe", "LLaDA2MoeModelLM", needs: unmasking + "; blocks of them are uncovered one after the other"),
    KnownGap("rnd1", "RND1LM", needs: unmasking),
    KnownGap("sdar_moe", "SDARMoeForCausalLM", needs: unmasking + "; blocks of them are uncovered one after the other"),
    KnownGap("diffusion_gemma", "diffusion-gemma", needs: unmasking + "; an encoder of the text so far stands beside it"),
    KnownGap(
      "openai_privacy_filter", "OpenAIPrivacyFilterForTokenClassification", "openai-privacy-filter",
      needs: "labels of tokens in place of a next token, and windows that reach to both sides"),
    KnownGap(
      "nomic-bert-moe", "NomicBertModel", needs: "one vector of a whole text in place of a next token, and attention to both sides"),
    // Routers and experts.
    KnownGap(
      "GroveMoeForCausalLM", "modeling_grove_moe.GroveMoeForCausalLM", "grove_moe", "grovemoe",
      needs: "adjugate experts: one for each group of experts, run with the weights of all its chosen members"),
    KnownGap(
      "doge", "DogeForCausalLM",
      needs: "experts found by the product of two sets of keys, and attention that its own values bias and cut (dynamic mask)"),
    KnownGap(
      "zaya", "ZayaForCausalLM",
      needs:
        "routers that hand a state on from layer to layer, attention on convolved projections (CCA), and factors on every element of the stream"
    ),
    KnownGap(
      "inkling_mm_model", "inkling_text", "InklingForConditionalGeneration",
      needs:
        "shared experts that are weighed by the same sum as the routed ones, scores by relative position, and short convolutions in attention"
    ),
    KnownGap(
      "inkling2", "inkling2_text", "Inkling2ForConditionalGeneration",
      needs: "attention over the outputs of earlier blocks in place of a residual stream, dynamic short convolutions, and capped experts"),
    KnownGap(
      "muse_spark", "muse_spark_text", "MuseSparkForConditionalGeneration",
      needs: "a norm behind each expert, and gates of every element between a half of a block and the stream"),
    KnownGap(
      "arctic", "ArcticForCausalLM",
      needs: "a dense half beside experts that read the stream in front of attention, with a norm of their own"),
    KnownGap(
      "grok", "grok-1", "Grok1ModelForCausalLM", "Grok1ForCausalLM", needs: "attention scores that are capped by a tanh"),
    // Attention.
    KnownGap(
      "mistral_large4", "mistral_large4_text", "MistralLarge4ForConditionalGeneration",
      needs:
        "rotations by learned frequencies, queries that grow by learned factors of each head, and layers that take over keys and values of earlier ones"
    ),
    KnownGap(
      "glm5_next", "glm5_next_text", "Glm5NextForConditionalGeneration", "glm5-next", "glm5next",
      needs: "latent attention that chooses among pools of keys by a scorer with a compressor of its own"),
    KnownGap(
      "dots3_note", "dots3_note_text", "Dots3NoteForConditionalGeneration", "dots3note",
      needs: "latent attention of two sizes, one of them with a window, and a norm on the part of keys that turns"),
    KnownGap(
      "unlimited_ocr", "unlimited_ocr_text", "UnlimitedOcrForConditionalGeneration",
      needs: "windows that a prompt and its images stay in for good"),
    KnownGap("step3_text", "step3_vl", "Step3VLForConditionalGeneration", needs: "attention over factorised queries (MFA)"),
    KnownGap("kimi_k3", "KimiK3ForConditionalGeneration", "kimi-k3", needs: "the activation SiTU of its experts"),
  ]
}
