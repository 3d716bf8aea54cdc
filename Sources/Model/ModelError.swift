// What can be wrong with a checkpoint or a request to run it. Cases carry facts; the sentences are in `description`.

public enum ModelError: Error, Sendable, Equatable {
  /// The kind decides the exit code.
  public enum Kind: Sendable { case missing, damaged, unsupported, invalidRequest }

  case noCheckpoint(path: String, why: String, advice: String = "a folder with config.json and model.safetensors")
  case unsupportedFamily(file: String, found: String, known: [String])
  /// The family is known, and needs something that is not implemented.
  case missingOperation(file: String, key: String, found: String, needs: String)
  case unsupportedSetting(file: String, key: String, found: String, supported: String)
  case configuration(file: String, key: String, expected: String, found: String)
  /// A setting that neither the file nor its name tells.
  case openQuestion(file: String, key: String, question: String)
  case missingTensor(file: String, name: String)
  /// Several tensors of the files are this one by their names, under one prefix and under another.
  case doubledTensor(file: String, name: String, spellings: [String])
  /// A tensor is missing or unreadable because another program laid out the whole file.
  case foreignLayout(file: String, name: String, layout: String)
  case tensorShape(file: String, name: String, expected: [Int], found: [Int], because: String)
  case tensorType(file: String, name: String, found: String, supported: String)
  /// Numbers of the tensor are entries of tables that do not come with the program, and `tables` has none, for this reason.
  case lookupTables(file: String, name: String, found: String, tables: String, why: String)
  /// A row of a table of experts does not name as many different experts as a token takes.
  case expertTable(file: String, name: String, token: Int, experts: Int, found: [Int64])
  /// A rule that is read from the weights has numbers that no rule can have.
  case tensorValues(file: String, name: String, expected: String, found: String)
  case unknownToken(id: Int, vocabularySize: Int, sequence: String)
  case sequenceTooLong(sequence: String, tokens: Int, limit: Int)
  /// An encoder's tokens are missing, or given to a model without an encoder.
  case sequenceKind(sequence: String, modelHasEncoder: Bool)
  /// Only decoder-only models continue a text.
  case cannotContinue(sequence: String)
  /// A sequence of more than `limit` tokens has other positions from its first token on.
  case positionsChange(sequence: String, limit: Int)
  case noTokenizer(path: String)
  case noChatTemplate(path: String)
  case badOption(name: String, expected: String, found: String)

  public var kind: Kind {
    switch self {
    case .noCheckpoint, .noTokenizer, .noChatTemplate: .missing
    case .unsupportedFamily, .missingOperation, .unsupportedSetting, .tensorType, .lookupTables, .foreignLayout, .cannotContinue,
      .positionsChange:
      .unsupported
    case .configuration, .missingTensor, .doubledTensor, .tensorShape, .expertTable, .tensorValues: .damaged
    case .unknownToken, .sequenceTooLong, .sequenceKind, .badOption, .openQuestion: .invalidRequest
    }
  }
}

extension ModelError {
  /// The facts of a refusal by name, for programs: which file, which key or tensor, what was found and what would do.
  public var particulars: [(name: String, value: String)] {
    switch self {
    case .unsupportedFamily(let file, let found, let known):
      [("file", file), ("key", "model_type"), ("found", found), ("supported", known.joined(separator: ", "))]
    case .missingOperation(let file, let key, let found, let needs):
      [("file", file), ("key", key), ("found", found), ("needs", needs)]
    case .unsupportedSetting(let file, let key, let found, let supported):
      [("file", file), ("key", key), ("found", found), ("supported", supported)]
    case .configuration(let file, let key, let expected, let found):
      [("file", file), ("key", key), ("expected", expected), ("found", found)]
    case .missingTensor(let file, let name): [("file", file), ("tensor", name)]
    case .doubledTensor(let file, let name, let spellings):
      [("file", file), ("tensor", name), ("found", spellings.joined(separator: ", "))]
    case .foreignLayout(let file, let name, let layout): [("file", file), ("tensor", name), ("found", layout)]
    case .tensorShape(let file, let name, let expected, let found, let because):
      [("file", file), ("tensor", name), ("expected", "\(expected) (\(because))"), ("found", "\(found)")]
    case .tensorType(let file, let name, let found, let supported):
      [("file", file), ("tensor", name), ("found", found), ("supported", supported)]
    case .lookupTables(let file, let name, let found, let tables, _):
      [("file", file), ("tensor", name), ("found", found), ("tables", tables)]
    case .expertTable(let file, let name, let token, let experts, let found):
      [
        ("file", file), ("tensor", name), ("token", "\(token)"),
        ("expected", "\(found.count) different experts of 0 to \(experts - 1)"), ("found", "\(found)"),
      ]
    case .tensorValues(let file, let name, let expected, let found):
      [("file", file), ("tensor", name), ("expected", expected), ("found", found)]
    default: []
    }
  }
}

extension ModelError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .noCheckpoint(let path, let why, let advice):
      "\(path): \(why)\n  try: \(advice)"
    case .unsupportedFamily(let file, let found, let known):
      "\(file): model_type \"\(found)\" is not supported\n  supported: \(known.joined(separator: ", "))"
    case .missingOperation(let file, let key, let found, let needs):
      "\(file): \(key) \"\(found)\" is not supported, so the model is not run approximately\n  it needs \(needs)"
    case .unsupportedSetting(let file, let key, let found, let supported):
      "\(file): \(key) = \(found) is not supported, so the model is not run approximately\n  supported: \(supported)"
    case .configuration(let file, let key, let expected, let found):
      "\(file): \(key): expected \(expected), found \(found)"
    case .openQuestion(let file, let key, let question):
      "\(file): the file does not say \(question)\n  try: --set \(key)=N"
    case .missingTensor(let file, let name):
      "\(file): tensor \"\(name)\" is missing\n  try: check that the download is complete"
    case .doubledTensor(let file, let name, let spellings):
      "\(file): tensor \"\(name)\": expected once, found \(spellings.count) times: \(spellings.map { "\"\($0)\"" }.joined(separator: ", "))\n"
        + "  try: the checkpoint as it was published, or a copy without the one that does not count"
    case .foreignLayout(let file, let name, let layout):
      "\(file): \(layout), a layout that is not read: tensor \"\(name)\" is not there as the family publishes it\n"
        + "  try: the checkpoint as it was published, or as GGUF"
    case .tensorShape(let file, let name, let expected, let found, let because):
      "\(file): tensor \"\(name)\" is \(found), expected \(expected) (\(because))"
    case .tensorType(let file, let name, let found, let supported):
      "\(file): tensor \"\(name)\" is stored as \(found), which is not supported\n  supported: \(supported)"
    case .lookupTables(let file, let name, let found, _, let why):
      "\(file): tensor \"\(name)\" is stored as \(found), whose numbers are entries of tables that do not come with moetop; \(why)\n"
        + "  try: tools/make_iq_tables.py, which makes that file with the Python package gguf"
    case .expertTable(let file, let name, let token, let experts, let found):
      "\(file): tensor \"\(name)\", token id \(token): expected \(found.count) different experts of 0 to \(experts - 1), found \(found)\n"
        + "  try: check that the download is complete; a table that was never filled routes nothing"
    case .tensorValues(let file, let name, let expected, let found):
      "\(file): tensor \"\(name)\": expected \(expected), found \(found)\n  try: check that the download is complete"
    case .unknownToken(let id, let vocabularySize, let sequence):
      "\(sequence): token id \(id) is outside the vocabulary of \(vocabularySize)"
    case .sequenceTooLong(let sequence, let tokens, let limit):
      "\(sequence): \(tokens) tokens, the model was made for \(limit)\n  try: a shorter text"
    case .sequenceKind(let sequence, true):
      "\(sequence): the model has an encoder and a decoder, and reads pairs of token lists\n"
        + "  try: --tokens FILE with {\"sequences\": [{\"encoder\": [ids...], \"decoder\": [ids...]}]}"
    case .sequenceKind(let sequence, false):
      "\(sequence): the model has no encoder\n  try: --tokens FILE with {\"sequences\": [[ids...], ...]}"
    case .cannotContinue(let sequence):
      "\(sequence): a model with an encoder is only read along given tokens, it does not generate\n  try: without --generate"
    case .positionsChange(let sequence, let limit):
      "\(sequence): beyond \(limit) tokens the model encodes all positions otherwise, so a text cannot grow across that length\n"
        + "  try: at most \(limit) tokens in all, or a prompt that is longer than that already"
    case .noTokenizer(let path):
      "\(path): there is no tokenizer (tokenizer.json, or metadata in GGUF), so text cannot be read\n  try: --tokens FILE with token ids"
    case .noChatTemplate(let path):
      "\(path): the model comes without a chat template\n  try: write the prompt out, without --chat"
    case .badOption(let name, let expected, let found):
      "\(name): expected \(expected), found \(found)"
    }
  }
}
