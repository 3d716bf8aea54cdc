// A session that makes images and is the same in every run: experts that follow the step and the place in the image, and pictures of a
// disc that comes out of noise.

import Model
import Routing
import Support
import Terminal

@testable import App

enum SyntheticImages {
  static let classNames = ["circle", "square", "stripes"]

  static func layout(grid: Int = 8, steps: Int = 10, branches: Int = 2) -> DenoisingLayout {
    DenoisingLayout(
      sampler: "rectified-flow", timesteps: (0..<steps).map { Float(steps - $0) / Float(steps) }, branchCount: branches, patchRows: grid,
      patchColumns: grid, guidanceScale: branches == 2 ? 1.5 : 1)
  }

  static func summary(layers: Int, experts: Int, topK: Int, layout: DenoisingLayout) -> EngineSummary {
    EngineSummary(
      modelName: "synthetic", family: "dit_moe", layerCount: layers, quantization: "f32", simd: "test", threads: 1,
      routers: SyntheticSession.routers(layers: layers, experts: experts, topK: topK), contextLength: 0, readsText: false,
      images: ImageFacts(
        layout: layout, classNames: classNames, side: 32, showsPixels: true,
        sampling: "rectified-flow, \(layout.stepCount) steps, guidance 1.50"))
  }

  /// What an engine would tell while `samples` images are made; of the last one the first half.
  static func events(layers: Int = 6, experts: Int = 8, topK: Int = 2, samples: Int = 6, layout: DenoisingLayout = layout()) throws
    -> [EngineEvent]
  {
    let summary = summary(layers: layers, experts: experts, topK: topK, layout: layout)
    let rules = try summary.routers.map { try Router($0.spec) }
    var random = SeededRandom(seed: 5)
    var events: [EngineEvent] = [.opened(summary), .recording(.active(file: "/data/traces.db", run: 15, tokens: 64, bytes: 98_000))]
    var row = 0
    for sample in 0..<samples {
      let name = classNames[sample % classNames.count]
      events.append(.began(SequenceDescription(name: "seed \(sample + 1)", labels: ["class": name])))
      for step in 0..<(sample == samples - 1 ? max(1, layout.stepCount / 2) : layout.stepCount) {
        let count = layout.branchCount * layout.patchCount
        var tokens = TokenTable(firstToken: row)
        for patch in 0..<count {
          tokens.append(sequence: sample, position: layout.position(step: step, branch: 0) + patch, tokenID: -1, phase: .denoise)
        }
        let batches = rules.enumerated().map { layer, rule -> RoutingBatch in
          var batch = RoutingBatch(router: RouterID(layer: layer), expertCount: experts, topK: topK, firstToken: row, count: count)
          let logits = (0..<count).flatMap { patch -> [Float] in
            let place = layout.place(at: patch)
            let isInside = inside(place.patchRow, place.patchColumn, of: layout.patchRows)
            return (0..<experts).map { expert in
              let noise = Float(random.next() >> 40) / Float(1 << 24)
              let early = expert < experts / 2 ? Float(layout.stepCount - step) : Float(step)
              return 2 * noise + 2 * early / Float(layout.stepCount) + (isInside == (expert % 2 == 0) ? 1 : 0)
            }
          }
          logits.withUnsafeBufferPointer {
            if let base = $0.baseAddress { rule.decide(base, demand: RoutingDemand(logitsEvery: 1), into: &batch) }
          }
          return batch
        }
        let done = Double(step + 1) / Double(layout.stepCount)
        let picture = StepPicture(row: row, current: disc(done, &random), predicted: disc(0.5 + done / 2, &random))
        var part = StreamPart(pass: RoutingPass(tokens: tokens, batches: batches))
        part.pictures = [picture]
        events.append(.streamed(part))
        row += count
      }
    }
    return events
  }

  private static func inside(_ row: Int, _ column: Int, of side: Int) -> Bool {
    let (y, x) = (2 * row + 1 - side, 2 * column + 1 - side)
    return 4 * (x * x + y * y) < side * side * 2
  }

  /// An orange disc on blue, as far as it has come out of the noise.
  private static func disc(_ done: Double, _ random: inout SeededRandom) -> Picture {
    var picture = Picture(width: 32, height: 32)
    for place in 0..<32 * 32 {
      let target: [Double] = inside(place / 32, place % 32, of: 32) ? [230, 130, 20] : [20, 60, 160]
      for colour in 0..<3 {
        picture.pixels[3 * place + colour] = UInt8(target[colour] * done + Double(random.next() % 256) * (1 - done))
      }
    }
    return picture
  }

  /// A live session that has come so far.
  static func model(
    _ size: Size = Size(width: 120, height: 40), theme: Theme = Theme(), layers: Int = 6, experts: Int = 8, topK: Int = 2, samples: Int = 6,
    layout: DenoisingLayout = layout()
  ) throws -> AppModel {
    var model = AppModel(size: size, theme: theme)
    model.now = 100
    for event in try events(layers: layers, experts: experts, topK: topK, samples: samples, layout: layout) {
      model.now += 1.0 / 12
      _ = model.update(.engine([event]))
    }
    model.message = nil
    return model
  }

  /// The same as a run of a trace.
  static func trace(_ size: Size = Size(width: 120, height: 40), theme: Theme = Theme(), layout: DenoisingLayout = layout()) throws
    -> AppModel
  {
    var model = AppModel(size: size, theme: theme)
    guard var run = SyntheticSession.runs().first else { return model }
    run.description.routers = SyntheticSession.routers(layers: 6, experts: 8, topK: 2)
    run.description.denoising = layout
    let all = try events(layout: layout)
    let samples = all.compactMap { if case .began(let description) = $0 { description } else { nil } }
    _ = model.update(.loading(.opened(run, file: "a.db", sequences: samples, pieces: [:])))
    for case .streamed(let part) in all { _ = model.update(.loading(.pass(part.pass))) }
    _ = model.update(.loading(.finished(note: nil)))
    return model
  }
}
