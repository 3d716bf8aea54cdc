import ArgumentParser
import Formats
import Foundation
import Model
import Routing

/// What is in this checkpoint, is it supported, what is its routing policy.
struct Inspect: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Describe a checkpoint before anything runs.",
    discussion: """
      moetop inspect samples/olmoe-tiny
      moetop inspect ~/models/Mixtral-8x7B --json
      moetop inspect ~/models
      moetop inspect route.npy --table --as crosstaskmoe
      """)

  @Argument(
    help: "Folder, GGUF or .pt file of the checkpoint, a folder of such, or a name that `moetop models` shows.",
    transform: ModelPlaces.model) var model: String
  @Flag(help: "Print the result as JSON.") var json = false
  @Flag(help: "Of a model that routes by the timestep: its experts at every timestep, from the weights alone.") var timesteps = false
  @OptionGroup var routes: TableOptions
  @OptionGroup var engine: EngineOptions

  func validate() throws {
    if routes.table, timesteps { throw ValidationError("--table and --timesteps are two tables: ask for one") }
  }

  func run() throws {
    if routes.table { return try routes.answer(model, json: json) }
    // A question that makes no sense has no answer; a model that is refused has one.
    do { try answer() } catch let error where json && !(error is ValidationError) {
      if let refusal = Refusal(error, of: model) { StandardOutput.write(refusal.json) }
      throw error
    }
  }

  private func answer() throws {
    if let listing = try listing() { return StandardOutput.answer(json: json, data: listing.json, words: listing.text) }
    if DenoisingModel.isAt(model) {
      let inspection = DenoisingInspection(try engine.openDenoising(model))
      guard timesteps else { return StandardOutput.answer(json: json, data: inspection.json, words: inspection.text) }
      return try StandardOutput.answer(json: json, data: inspection.timesteps(json: true), words: inspection.timesteps(json: false))
    }
    if PyTorchFile.isAt(model) {
      let tensors = TensorListing(file: try PyTorchFile(path: model))
      return StandardOutput.answer(json: json, data: tensors.json, words: tensors.text)
    }
    if timesteps { throw ValidationError("--timesteps: only models whose routers read the timestep have such a table") }
    let model = try open()
    let facts = model.facts()
    StandardOutput.answer(json: json, data: Self.json(model, facts), words: Self.text(model, facts))
  }

  /// Opens the model. One that is not supported is described as far as its headers go before the reason is thrown.
  private func open() throws -> LanguageModel {
    do { return try engine.describe(model) } catch let error as ModelError where error.kind == .unsupported {
      let name = model.split(separator: "/").last.map(String.init) ?? model
      let listing = ModelListing([.init(name: name, path: model)])
      if !json { StandardError.write(Self.unsupported(name, listing.rows[0].summary)) }
      throw error
    }
  }

  private static func unsupported(_ name: String, _ summary: ModelSummary?) -> String {
    var table = TextTable([.left(""), .left("")])
    table.rows.append(["model", name])
    let verdict = summary?.knowsFamily == true ? "supported, but not in this form" : "not supported"
    table.rows.append(["family", "\(summary?.family ?? "unknown"), \(verdict)"])
    if let parameters = summary?.parameters { table.rows.append(["parameters", Show.count(parameters)]) }
    if let others = summary.flatMap({ beside($0.otherParameters) }) { table.rows.append(["beside them", others]) }
    if let bytes = summary?.bytes { table.rows.append(["stored", "\(Show.bytes(bytes)), mostly \(summary?.stored ?? "–")"]) }
    return table.text
  }

  /// What lies below a folder that is no checkpoint itself; nil for anything else.
  ///
  /// - Throws: `ModelError.noCheckpoint` when the search was given up before it found any.
  private func listing() throws -> ModelListing? {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: model, isDirectory: &isFolder), isFolder.boolValue,
      !FileManager.default.fileExists(atPath: model + "/config.json")
    else { return nil }
    let found = ModelPlaces(environment: [:], home: "/").models(in: model)
    if found.allSatisfy({ $0.problem != nil }), let problem = found.last(where: { model.hasPrefix($0.path) })?.problem {
      throw ModelError.noCheckpoint(path: model, why: "no model was found, \(problem)", advice: "moetop models lists the usual places")
    }
    return found.isEmpty ? nil : ModelListing(found)
  }

  static func text(_ model: LanguageModel, _ facts: ModelFacts) -> String {
    var table = TextTable([.left(""), .left("")])
    func row(_ name: String, _ value: String) { table.rows.append([name, value]) }
    row("model", model.name)
    row("family", "\(model.family), supported")
    for warning in model.warnings { row("warning", warning) }
    for note in model.notes { row("note", note) }
    let others = [
      (facts.followingLayers, "by the decisions of another"), (facts.mixingLayers, "of attention or a recurrence alone"),
    ].filter { $0.0 > 0 }.map { ", \($0.0) \($0.1)" }.joined()
    row("layers", "\(model.layerCount): \(facts.routedLayers) routed, \(facts.denseLayers) dense\(others)")
    for (policy, layers) in policies(of: model.routers) { row("router", "\(policy)  (\(layers))") }
    row("shared", sharedExperts(of: model))
    row("router dtype", "\(facts.routerPrecision) weights, f32 arithmetic")
    let hasTable = facts.activeWithEmbeddings > facts.activeParameters
    let withTable = hasTable ? " (\(Show.count(facts.activeWithEmbeddings)) with the embedding table)" : ""
    row("parameters", "\(Show.count(facts.parameters)), \(Show.count(facts.activeParameters)) active per token\(withTable)")
    if let others = beside(facts.otherParameters) { row("beside them", others + ", in the files and not run") }
    row("hidden size", "\(model.hiddenSize)")
    row("context", "\(Show.grouped(model.contextLength)) tokens")
    row("vocabulary", Show.grouped(model.vocabularySize))
    for stored in facts.stored {
      row("stored", "\(stored.type)  \(Show.bytes(stored.bytes)) in \(Show.grouped(stored.tensors)) tensors")
    }
    let state = facts.stateBytes > 0 ? ", \(Show.bytes(facts.stateBytes)) of recurrent state" : ""
    row("memory", "\(Show.bytes(facts.weightBytes)) mapped, \(Show.bytes(facts.cacheBytesPerToken)) of cache per token\(state)")
    let opened = Result { try model.openTokenizer() }
    row("tokenizer", tokenizer(opened))
    if case .success(let tokenizer) = opened { row("beginning", beginning(of: tokenizer)) }
    for assumption in model.assumptions { row("assumed", assumption) }
    for difference in model.llamaDifferences { row("llama.cpp", difference) }
    for name in facts.unusedTensors.prefix(5) { row("not used", name) }
    if facts.unusedTensors.count > 5 { row("", "and \(facts.unusedTensors.count - 5) more") }
    return table.text
  }

  /// Parts of a checkpoint that are not the text model that runs: `vision 0.4 B, mtp 11.5 B`.
  private static func beside(_ others: OtherParameters) -> String? {
    let parts = [
      ("vision", others.vision), ("audio", others.audio), ("mtp", others.mtp), ("training", others.training),
      ("layers beyond num_hidden_layers", others.surplusLayers),
    ].filter { $0.1 > 0 }
    return parts.isEmpty ? nil : parts.map { "\($0.0) \(Show.count($0.1))" }.joined(separator: ", ")
  }

  /// Experts that every token takes: `2 a layer  (layers 1-26)`.
  private static func sharedExperts(of model: LanguageModel) -> String {
    var layers: [Int: [Int]] = [:]
    for (router, count) in zip(model.routers, model.sharedExpertCounts) where count > 0 {
      layers[count, default: []].append(router.id.layer.rawValue)
    }
    let parts = layers.sorted { $0.key < $1.key }.map { "\($0.key) a layer, always on  (layers \(LayerRanges.text($0.value)))" }
    return parts.isEmpty ? "no shared experts" : parts.joined(separator: ", ")
  }

  /// Equal policies of a stack together: `softmax, top-2 of 16 …` with the layers that have it, and the heads and runs of these.
  static func policies(of routers: [RouterDescription]) -> [(String, String)] {
    var members: [[String]: [RouterID]] = [:]
    var order: [[String]] = []
    func lane(_ id: RouterID) -> String {
      var id = id
      (id.head, id.repetition) = (nil, nil)
      return id.lane
    }
    let hasStacks = Set(routers.map { lane($0.id) }).count > 1
    for router in routers {
      let key = [router.spec.summary, hasStacks ? lane(router.id) + " " : ""]
      if members[key] == nil { order.append(key) }
      members[key, default: []].append(router.id)
    }
    func ranges(_ name: String, _ numbers: [Int]) -> String {
      numbers.isEmpty ? "" : "\(name) \(LayerRanges.text(Set(numbers).sorted()))"
    }
    return order.map { key in
      let ids = members[key] ?? []
      let places = [
        ranges("layers", ids.map(\.layer.rawValue)), ranges("heads", ids.compactMap(\.head)),
        ranges("runs", ids.contains { $0.repetition != nil } ? ids.map { $0.repetition ?? 0 } : []),
      ]
      return (key[0], key[1] + places.filter { !$0.isEmpty }.joined(separator: ", "))
    }
  }

  private static func tokenizer(_ opened: Result<Tokenizer, any Error>) -> String {
    do {
      let tokenizer = try opened.get()
      let kind = GGUFFile.isAt(tokenizer.path) ? "of the file's metadata" : "tokenizer.json"
      return ([kind + ", \(Show.grouped(tokenizer.vocabularySize)) entries"] + tokenizer.notes).joined(separator: "; ")
    } catch ModelError.noTokenizer {
      return "none: text cannot be read, token ids can"
    } catch {
      return "not supported: \(error)"
    }
  }

  /// How a text begins that is read as it is.
  private static func beginning(of tokenizer: Tokenizer) -> String {
    let pieces = tokenizer.beginning.ids.map { "\(tokenizer.tokenSpelling($0) ?? "?") (\($0))" }
    let bos = tokenizer.bosToken.map { "BOS \(tokenizer.tokenSpelling($0) ?? "?") (\($0))" }
    let other = bos == nil ? "" : tokenizer.addsBOS ? "; without: --bos omit" : "; with \(bos ?? ""): --bos add"
    return (pieces.isEmpty ? "a text begins with no token of its own, " : "a text begins with \(pieces.joined(separator: " ")), ")
      + tokenizer.beginning.source + other
  }

  static func json(_ model: LanguageModel, _ facts: ModelFacts) -> String {
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("schema", "moetop.inspect/1")
      writer.member("model", model.name)
      writer.member("family", model.family)
      writer.member("supported", true)
      writer.member("layers", model.layerCount)
      writer.member("routed_layers", facts.routedLayers)
      writer.member("hidden_size", model.hiddenSize)
      writer.member("context", model.contextLength)
      writer.member("vocabulary", model.vocabularySize)
      writer.member("parameters", facts.parameters)
      writer.member("active_parameters", facts.activeParameters)
      writer.member("parameters_with_embeddings", facts.parameters)
      writer.member("active_with_embeddings", facts.activeWithEmbeddings)
      writer.parameters(beside: facts.otherParameters)
      writer.member("weight_bytes", facts.weightBytes)
      writer.member("cache_bytes_per_token", facts.cacheBytesPerToken)
      writer.member("state_bytes", facts.stateBytes)
      writer.member("router_precision", facts.routerPrecision)
      writer.routers(model.routers) { $0.member("selection_score", $1.spec.selectionScoreUnit) }
      writer.stored(facts.stored)
      writer.member("shared_experts", model.sharedExpertCounts)
      writer.member("llama_cpp_differs", model.llamaDifferences)
      let opened = Result { try model.openTokenizer() }
      writer.member("tokenizer", tokenizer(opened))
      if case .success(let tokenizer) = opened {
        writer.member("adds_bos", tokenizer.addsBOS)
        writer.member("text_begins_with", tokenizer.beginning.ids.map(Int.init))
        writer.member("text_begins_by", tokenizer.beginning.source)
      }
      writer.member("warnings", model.warnings)
      writer.member("notes", model.notes)
      writer.member("assumed") { writer in writer.object { for (key, value) in model.assumed { $0.member(key, value) } } }
      writer.member("unused_tensors", facts.unusedTensors)
    }
    return writer.text + "\n"
  }
}

extension LanguageModel {
  /// Settings that the file leaves out and the family's published checkpoints decide, in words.
  var assumptions: [String] { assumed.map { "\($0.key) = \($0.value), which the file does not say  (--set \($0.key)=…)" } }
}
