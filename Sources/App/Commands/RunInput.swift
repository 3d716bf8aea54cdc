// What `run` feeds to the model: token ids, a text file, labelled files or a prompt; resolved into token sequences.

import ArgumentParser
import Model
import Routing

struct RunInputOptions: ParsableArguments {
  @Option(name: [.customShort("p"), .long], help: ArgumentHelp("A prompt, continued by generation.", valueName: "text")) var prompt: String?
  @Option(
    name: [.customShort("f"), .long], help: ArgumentHelp("Text, or JSON lines with \"text\" and labels; read as it is.", valueName: "file"))
  var file: String?
  @Option(help: ArgumentHelp("Token ids as JSON; used verbatim.", valueName: "file")) var tokens: String?
  @Option(name: .customLong("domain"), help: ArgumentHelp("A text file with the label domain=NAME; repeatable.", valueName: "name=file"))
  var domains: [String] = []
  @Option(help: ArgumentHelp("Take at most this many tokens of each text.", valueName: "n")) var length: Int?
  @Flag(help: "Hand the prompt to the model as a user's message, written out by its chat template.") var chat = false
  @Option(help: ArgumentHelp("With --chat: a system message before the prompt.", valueName: "text")) var system: String?

  func validate() throws {
    let given = [prompt != nil, file != nil, tokens != nil, !domains.isEmpty].filter { $0 }.count
    if given > 1 { throw ValidationError("expected one of --prompt, --file, --tokens or --domain, found \(given)") }
    if chat && prompt == nil { throw ValidationError("--chat needs --prompt: other texts are read as they are") }
    if system != nil && !chat { throw ValidationError("--system needs --chat") }
    if let length, length < 1 { throw ValidationError("--length: expected at least 1, found \(length)") }
    for domain in domains where !domain.contains("=") { throw ValidationError("--domain: expected NAME=FILE, found \(domain)") }
  }

  var isEmpty: Bool { prompt == nil && file == nil && tokens == nil && domains.isEmpty }

  /// How the user named the input.
  var source: String { prompt.map { _ in "prompt" } ?? file ?? tokens ?? domains.joined(separator: " ") }

  /// - Parameters:
  ///   - tokenizer: opened only when text is read.
  ///   - template: opened only for `--chat`.
  func sequences(tokenizer: () throws -> Tokenizer, template: () throws -> ChatTemplate) throws -> [TokenSequence] {
    if let tokens { return try TokensFile.read(tokens).map(cut) }
    if chat, let prompt {
      let messages = [system.map { ChatMessage(role: "system", content: $0) }, ChatMessage(role: "user", content: prompt)]
      let text = try template().prompt(for: messages.compactMap { $0 })
      // The template has written the special tokens out.
      return [cut(TokenSequence(.init(name: "prompt"), tokens: try tokenizer().encode(text, addSpecialTokens: false)))]
    }
    var texts: [LabelledText] = []
    if let prompt { texts.append(LabelledText(description: .init(name: "prompt"), text: prompt)) }
    if let file { texts += try TextFile.read(file) }
    for domain in domains {
      let parts = domain.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      texts += try TextFile.read(parts[1]).map { text in
        var text = text
        text.description.labels["domain"] = parts[0]
        return text
      }
    }
    let tokenizer = try tokenizer()
    return try texts.map { cut(TokenSequence($0.description, tokens: try tokenizer.encode($0.text, addSpecialTokens: true))) }
  }

  private func cut(_ sequence: TokenSequence) -> TokenSequence { sequence.prefix(length ?? .max) }
}
