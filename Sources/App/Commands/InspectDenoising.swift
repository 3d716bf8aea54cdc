// `moetop inspect` for models that denoise images: what the file says, and, where the timestep alone routes, the experts of every
// timestep.

import Analysis
import Formats
import Model
import Routing

struct DenoisingInspection {
  private let model: DenoisingModel
  private let facts: ModelFacts

  init(_ model: DenoisingModel) {
    self.model = model
    facts = model.facts()
  }

  var text: String {
    var table = TextTable([.left(""), .left("")])
    func row(_ name: String, _ value: String) { table.rows.append([name, value]) }
    let grid = model.gridSize
    row("model", model.name)
    row("family", "\(model.family), supported")
    for note in model.notes { row("note", note) }
    row("layers", "\(model.layerCount): \(facts.routedLayers) routed, \(facts.denseLayers) dense")
    for (policy, layers) in Inspect.policies(of: model.routers) { row("router", "\(policy)  (\(layers))") }
    let reads =
      model.routesByTimestep ? "the timestep: one decision a sample, step and branch" : "each patch, with timestep and class in it"
    row("reads", reads)
    row("router dtype", "\(facts.routerPrecision) weights, f32 arithmetic")
    row("parameters", "\(Show.grouped(facts.parameters)), \(Show.grouped(facts.activeParameters)) active per patch")
    row("hidden size", "\(model.hiddenSize)")
    row("latent", "\(model.channels) channels of \(model.inputSize) x \(model.inputSize), \(grid) x \(grid) patches")
    row("classes", "\(model.classCount)" + (model.classNames.isEmpty ? "" : ": \(model.classNames.joined(separator: ", "))"))
    let guidance = model.usualGuidance.map { ", guidance \(Show.fixed(Double($0), 1))" } ?? ""
    row("sampling", "\(model.sampling.rule.name), \(model.sampling.steps) steps" + guidance)
    if let remark = model.remark { row("arithmetic", remark) }
    for stored in facts.stored {
      row("stored", "\(stored.type)  \(Show.bytes(stored.bytes)) in \(Show.grouped(stored.tensors)) tensors")
    }
    row("memory", "\(Show.bytes(facts.weightBytes)) mapped")
    for (key, value) in model.assumed { row("assumed", "\(key) = \(value), which the file does not say  (--set \(key)=…)") }
    for name in facts.unusedTensors.prefix(5) { row("not used", name) }
    if facts.unusedTensors.count > 5 { row("", "and \(facts.unusedTensors.count - 5) more") }
    return table.text
  }

  var json: String {
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("schema", "moetop.inspect/1")
      writer.member("model", model.name)
      writer.member("family", model.family)
      writer.member("supported", true)
      writer.member("layers", model.layerCount)
      writer.member("routed_layers", facts.routedLayers)
      writer.member("hidden_size", model.hiddenSize)
      writer.member("channels", model.channels)
      writer.member("input_size", model.inputSize)
      writer.member("patch_rows", model.gridSize)
      writer.member("patch_columns", model.gridSize)
      writer.member("classes", model.classCount)
      writer.member("class_names", model.classNames)
      writer.member("sampler", model.sampling.rule.name)
      writer.member("steps", model.sampling.steps)
      writer.member("guidance", model.usualGuidance.map(Double.init))
      writer.member("remark", model.remark)
      writer.member("parameters", facts.parameters)
      writer.member("active_parameters", facts.activeParameters)
      writer.member("weight_bytes", facts.weightBytes)
      writer.member("router_precision", facts.routerPrecision)
      writer.routers(model.routers) { $0.member("selection_score", $1.spec.selectionScoreUnit) }
      writer.stored(facts.stored)
      writer.member("notes", model.notes)
      writer.member("assumed") { writer in writer.object { for (key, value) in model.assumed { $0.member(key, value) } } }
      writer.member("unused_tensors", facts.unusedTensors)
    }
    return writer.text + "\n"
  }

  /// The experts of every timestep.
  ///
  /// - Throws: `ModelError.badOption` for a model whose routers read tokens.
  func timesteps(json: Bool) throws -> String {
    guard model.routesByTimestep else {
      throw ModelError.badOption(name: "--timesteps", expected: "a model whose routers read the timestep alone", found: model.family)
    }
    let batches = DenoisingPass(model).decisions(about: (0..<model.trainedSteps).map { Float($0) })
    let paths = TimestepPaths(batches)
    let prior = DiffusionPrior(
      layers: paths.routers.count, expertCount: paths.expertCount, topK: paths.topK, timestepCount: paths.timestepCount)
    return json ? Self.json(paths, prior) : Self.text(paths, prior)
  }

  private static let distances = [1, 10, 100, 500]

  private static func text(_ paths: TimestepPaths, _ prior: DiffusionPrior) -> String {
    var table = TextTable([.left("layer"), .left("always on"), .left("never on"), .right("switches"), .left("experts from timestep")])
    func list(_ numbers: [Int]) -> String { numbers.isEmpty ? "-" : numbers.map(String.init).joined(separator: " ") }
    for (index, router) in paths.routers.enumerated() {
      let switches = paths.switches(router: index)
      let shown = ([0] + switches).prefix(6).map { "\($0): {\(list(paths.experts(timestep: $0, router: index)))}" }
      table.rows.append([
        "\(router.layer)", list(paths.alwaysOn(router: index)), list(paths.neverOn(router: index)), "\(switches.count)",
        shown.joined(separator: "  ") + (switches.count > 5 ? "  …" : ""),
      ])
    }
    var text = table.text
    let overall = paths.paths
    let count = Show.grouped(paths.timestepCount)
    text += "paths    \(overall.distinct) different over \(count) timesteps, the longest stretch \(overall.longest)\n"
    let overlaps = distances.compactMap { distance in
      paths.meanOverlap(distance: distance).map { "\(Show.fixed($0, 3)) at \(distance)" }
    }
    let chance = Show.fixed(paths.chanceOverlap, 3)
    text += "overlap  of experts by distance of timesteps: \(overlaps.joined(separator: ", ")); by chance \(chance)\n"
    text +=
      "prior    \(prior.alwaysOn) of \(prior.unitCount) units always on, \(prior.windowCount) windows, "
      + "\(prior.timestepsInFirstWindow) timesteps in the first"
    if let agreement = paths.agreement(with: prior) {
      text += "; the map agrees on \(Show.fixed(100 * agreement, 1)) % of units and timesteps"
    }
    return text + "\n"
  }

  private static func json(_ paths: TimestepPaths, _ prior: DiffusionPrior) -> String {
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("schema", "moetop.timesteps/1")
      writer.member("timesteps", paths.timestepCount)
      writer.member("experts", paths.expertCount)
      writer.member("top_k", paths.topK)
      writer.objects("layers", Array(paths.routers.enumerated())) { writer, entry in
        writer.member("layer", entry.element.layer.rawValue)
        writer.member("always_on", paths.alwaysOn(router: entry.offset))
        writer.member("never_on", paths.neverOn(router: entry.offset))
        writer.member("switches", paths.switches(router: entry.offset))
        writer.member("experts") { writer in
          writer.array { writer in
            for t in 0..<paths.timestepCount { writer.value(paths.experts(timestep: t, router: entry.offset)) }
          }
        }
      }
      let overall = paths.paths
      writer.member("distinct_paths", overall.distinct)
      writer.member("longest_path", overall.longest)
      writer.objects("overlap", distances.filter { $0 < paths.timestepCount }) { writer, distance in
        writer.member("distance", distance)
        writer.member("overlap", paths.meanOverlap(distance: distance))
      }
      writer.member("overlap_by_chance", paths.chanceOverlap)
      writer.member("prior") { writer in
        writer.object { writer in
          writer.member("units", prior.unitCount)
          writer.member("always_on", prior.alwaysOn)
          writer.member("windows", prior.windowCount)
          writer.member("first_window_timesteps", prior.timestepsInFirstWindow)
          writer.member("agreement", paths.agreement(with: prior))
        }
      }
    }
    return writer.text + "\n"
  }
}
