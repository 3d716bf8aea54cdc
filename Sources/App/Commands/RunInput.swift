// What `run` feeds to the model: token ids, a text file, labelled files or a prompt; resolved into token sequences.

import ArgumentParser
import Model
import Routing

struct RunInputOptions: ParsableArguments {
  @Option(name: [.customShort("p"), .long], help: ArgumentHelp("A prompt, continued by generation.", valueName: "text")) var prompt: String?
  @Option(
    name: [.customShort("f"), .long],
    help: ArgumentHelp("Text, or JSON lines with \"text\" and labels (- is standard input); read as it is.", valueName: "file"),
    transform: ModelPlaces.found)
  var file: String?
  @Option(help: ArgumentHelp("Token ids as JSON; used verbatim. - is standard input.", valueName: "file"), transform: ModelPlaces.found)
  var tokens: String?
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
  var source: String {
    prompt.map { _ in "prompt" } ?? (file ?? tokens).map { TextInput.name(of: $0) } ?? domains.joined(separator: " ")
  }

  /// What there is to read, and what is to be said about it.
  ///
  /// - Parameters:
  ///   - bos: what goes before a text.
  ///   - tokenizer: opened only when text is read.
  ///   - template: opened only for `--chat`.
  /// - Throws: what the readers throw; `Failure` when not one token came out.
  func sequences(
    bos: BOSChoice, tokenizer: () throws -> Tokenizer, template: () throws -> ChatTemplate
  ) throws -> (list: [TokenSequence], notes: [String]) {
    if bos != .model, tokens != nil || chat {
      throw ValidationError("--bos: \(chat ? "a chat template puts its own BOS" : "token ids are used verbatim")")
    }
    var notes: [String] = []
    let list = try read(bos: bos, tokenizer: tokenizer, template: template, notes: &notes).map { $0.prefix(length ?? .max) }
    guard list.contains(where: { !$0.tokens.isEmpty }) else {
      throw Failure(prompt == nil ? .damaged : .usage, "\(source): there is not one token in it")
    }
    return (list, notes)
  }

  private func read(
    bos: BOSChoice, tokenizer: () throws -> Tokenizer, template: () throws -> ChatTemplate, notes: inout [String]
  ) throws -> [TokenSequence] {
    if let tokens { return try TokensFile.read(tokens) }
    if chat, let prompt {
      let messages = [system.map { ChatMessage(role: "system", content: $0) }, ChatMessage(role: "user", content: prompt)]
      let text = try template().prompt(for: messages.compactMap { $0 })
      // The template has written the special tokens out.
      return [TokenSequence(.init(name: "prompt"), tokens: try tokenizer().encode(text, addSpecialTokens: false))]
    }
    var texts: [LabelledText] = []
    if let prompt { texts.append(LabelledText(description: .init(name: "prompt"), text: prompt)) }
    for (domain, path) in try files() {
      let file = try TextFile.read(path)
      notes += file.notes
      texts += file.texts.map { text in
        var text = text
        if let domain { text.description.labels["domain"] = domain }
        return text
      }
    }
    let tokenizer = try tokenizer()
    return try texts.map { TokenSequence($0.description, tokens: try tokenizer.encode($0.text, bos: bos)) }
  }

  /// `--file` and `--domain`: paths with the domain of their texts.
  private func files() throws -> [(domain: String?, path: String)] {
    (file.map { [(nil, $0)] } ?? [])
      + domains.map { domain in
        let parts = domain.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        return (parts[0], ModelPlaces.found(parts[1]))
      }
  }
}
