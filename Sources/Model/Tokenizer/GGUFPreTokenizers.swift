// Which split does a GGUF file mean by `tokenizer.ggml.pre`? The name stands for what the model's tokenizer.json says: its pre-tokenizer,
// its normaliser, whether whole words skip the merges. The patterns are those of the models; where llama.cpp's own differ (it has no
// normaliser, and approximates some classes), the model is followed: NFC for the families whose published tokenizer.json or tokenizer code
// has it (Qwen, OLMo, Command R, MiniMax-M2, Hunyuan), `ignore_merges` for those whose file has it (Llama 3 and 4, GLM-4, LFM2, gpt-oss,
// Mistral's). Where tokens were made by tiktoken (Kimi, Hunyuan, Grok) every token is reached by its merges, so the flag says nothing there.
// A name that is not here is refused.

import Formats

/// What a name of `tokenizer.ggml.pre` stands for.
struct GGUFPreTokenizer: Sendable {
  enum Step: Sendable {
    /// Matches are pieces of their own, or go with what follows them ("MergedWithNext").
    case split(String, behavior: String = "Isolated")
    /// Every digit by itself.
    case digits
    /// GPT-2's own split; only as the last step.
    case gpt2
  }

  let steps: [Step]
  /// The Unicode whose normal form NFC text gets; nil for text as it is.
  var nfc: UnicodeFormTables?
  var ignoresMerges = false

  /// Patterns by name; nil for a name nobody has checked.
  static func named(_ name: String) -> GGUFPreTokenizer? { known[name] }

  /// The `pre_tokenizer` that tokenizer.json would have.
  func json(file: String) throws(FormatError) -> JSONValue {
    var writer = JSONWriter()
    var endsInGPT2 = false
    writer.object { writer in
      writer.member("type", "Sequence")
      writer.member("pretokenizers") { writer in
        writer.array { writer in
          for step in steps {
            switch step {
            case .split(let pattern, let behavior):
              writer.object { writer in
                writer.member("type", "Split")
                writer.member("pattern") { writer in writer.object { $0.member("Regex", pattern) } }
                writer.member("behavior", behavior)
              }
            case .digits:
              writer.object { writer in
                writer.member("type", "Digits")
                writer.member("individual_digits", true)
              }
            case .gpt2: endsInGPT2 = true
            }
          }
          writer.object { writer in
            writer.member("type", "ByteLevel")
            writer.member("add_prefix_space", false)
            writer.member("use_regex", endsInGPT2)
          }
        }
      }
    }
    return try JSON.parse(text: writer.text, name: file)
  }

  private static let contraction = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
  private static let spaces = #"\s*[\r\n]+|\s+(?!\S)|\s+"#
  /// GPT-4's and its successors', which differ in how many digits make a piece.
  private static func gpt4(digits: String) -> String {
    contraction + #"|[^\r\n\p{L}\p{N}]?\p{L}+|"# + digits + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|"# + spaces
  }

  /// GPT-4o's: words are capitals followed by small letters.
  private static func gpt4o(suffix: String, digits: String, without excluded: String = "", symbols: String = #"[\r\n/]*"#) -> String {
    let upper = #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}"# + excluded + "]"
    let lower = #"[\p{Ll}\p{Lm}\p{Lo}\p{M}"# + excluded + "]"
    let lead = #"[^\r\n\p{L}\p{N}]?"#
    return lead + upper + "*" + lower + "+" + suffix + "|" + lead + upper + "+" + lower + "*" + suffix + "|" + digits
      + #"| ?[^\s\p{L}\p{N}]+"# + symbols + "|" + spaces
  }

  private static let llama3 = gpt4(digits: #"\p{N}{1,3}"#)
  private static let qwen2 = gpt4(digits: #"\p{N}"#)
  private static let qwen35 =
    contraction + #"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|"# + spaces
  private static let o200k = gpt4o(suffix: contraction + "?", digits: #"\p{N}{1,3}"#)
  private static let tekken = gpt4o(suffix: "", digits: #"\p{N}"#)
  /// Digits in threes from the right, in one pattern: as many as leave a multiple of three.
  private static let digitsFromRight = #"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))"#
  private static let kimi =
    #"[\p{Han}]+|"# + gpt4o(suffix: contraction + "?", digits: #"\p{N}{1,3}"#, without: #"&&[^\p{Han}]"#, symbols: #"[\r\n]*"#)
  private static let bailing =
    #"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"#
  private static let exaone =
    contraction + #"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+"#
  private static let deepseekWords =
    ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|"## + spaces
  private static let deepseekV3: [Step] = [.split(#"\p{N}{1,3}"#), .split("[一-龥\u{3040}-ゟ゠-ヿ]+"), .split(deepseekWords)]
  private static let afmoe: [Step] = [
    .split(digitsFromRight),
    .split(
      "[\u{4E00}-\u{9FFF}\u{3400}-\u{4DBF}\u{F900}-\u{FAFF}\u{3040}-\u{30FF}\u{FF65}-\u{FF9F}\u{2F00}-\u{2FDF}"
        + "\u{0E40}-\u{0EFF}\u{1780}-\u{17FF}\u{1000}-\u{109F}\u{AA60}-\u{AA7F}\u{A9E0}-\u{A9FF}\u{AC00}-\u{D7AF}\u{1100}-\u{11FF}]+"),
    .split(deepseekWords),
  ]
  private static let eastAsian = "[一-龥ࠀ-一가-\u{D7FF}]+"

  /// DeepSeek's first tokenizer lists the letters of alphabets with two cases one by one.
  private static let casedLetters =
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u{1F7D}ᾀ-ᾴᾶ-ᾼ\u{1FBE}ῂ-ῄῆ-ῌῐ-\u{1FD3}ῖ-\u{1FDB}"
    + "ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u{2126}ℨ\u{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ"
    + "\u{10400}-\u{1044F}\u{104B0}-\u{104D3}\u{104D8}-\u{104FB}\u{10C80}-\u{10CB2}\u{10CC0}-\u{10CF2}\u{118A0}-\u{118DF}\u{1E900}-\u{1E943}"

  /// Newlines go with what follows them, then as Qwen2.
  private static let laguna: [Step] = [.split(#"(?:\r?\n)+(?!\r?\n)"#, behavior: "MergedWithNext"), .split(qwen2)]

  private static let known: [String: GGUFPreTokenizer] = [
    "gpt-2": .init(steps: [.gpt2]), "mellum": .init(steps: [.gpt2]), "olmo": .init(steps: [.gpt2], nfc: .version9),
    "starcoder": .init(steps: [.digits, .gpt2]), "refact": .init(steps: [.digits, .gpt2]), "mellum2": .init(steps: [.digits, .gpt2]),
    "command-r": .init(steps: [.digits, .gpt2], nfc: .version9),
    "dbrx": .init(steps: [.split(llama3)]), "glm4": .init(steps: [.split(llama3)], ignoresMerges: true),
    "chatglm-bpe": .init(steps: [.split(llama3)], ignoresMerges: true),
    "llama-bpe": .init(steps: [.split(llama3)], ignoresMerges: true), "llama3": .init(steps: [.split(llama3)], ignoresMerges: true),
    "llama-v3": .init(steps: [.split(llama3)], ignoresMerges: true), "lfm2": .init(steps: [.split(llama3)], ignoresMerges: true),
    "pixtral": .init(steps: [.split(llama3)], ignoresMerges: true), "falcon3": .init(steps: [.split(llama3)], ignoresMerges: true),
    "qwen2": .init(steps: [.split(qwen2)], nfc: .version9), "deepseek-r1-qwen": .init(steps: [.split(qwen2)], nfc: .version9),
    "qwen35": .init(steps: [.split(qwen35)], nfc: .version9), "laguna": .init(steps: laguna),
    // Its tokenizer is Python's own code, with the normal form of Python's Unicode.
    "hunyuan": .init(steps: [.split(qwen2)], nfc: .current),
    "solar-open": .init(steps: [.split(qwen2)]), "grok-2": .init(steps: [.split(qwen2)]),
    "deepseek-v3": .init(steps: deepseekV3), "hunyuan-dense": .init(steps: deepseekV3), "hy_v4": .init(steps: deepseekV3),
    "joyai-llm": .init(steps: deepseekV3), "afmoe": .init(steps: afmoe),
    "deepseek-llm": .init(steps: [
      .split(#"[\r\n]"#), .split(#"\s?["# + casedLetters + "]+"), .split(#"\s?[!-/:-~！-／：-～‘-‟　-。]+"#), .split(#"\s+$"#),
      .split(eastAsian), .digits,
    ]),
    "deepseek-coder": .init(steps: [.split(#"[\r\n]"#), .split(#"\s?\p{L}+"#), .split(#"\s?\p{P}+"#), .split(eastAsian), .digits]),
    "gpt-4o": .init(steps: [.split(o200k)], ignoresMerges: true), "llama4": .init(steps: [.split(o200k)], ignoresMerges: true),
    "kanana2": .init(steps: [.split(o200k)]), "minimax-m2": .init(steps: [.split(o200k)], nfc: .version9),
    "tekken": .init(steps: [.split(tekken)], ignoresMerges: true),
    "kimi-k2": .init(steps: [.split(kimi)]), "bailingmoe": .init(steps: [.split(bailing)]),
    "bailingmoe2": .init(steps: [.split(bailing)]), "llada-moe": .init(steps: [.split(bailing)]),
    "exaone-moe": .init(steps: [.split(exaone)]),
  ]
}
