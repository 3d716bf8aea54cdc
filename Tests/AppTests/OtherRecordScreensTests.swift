// Runs that are not of this engine's tokens on every screen: other paths, rules that are only stated, rows that are no tokens, routes and
// weights that nobody knows, counts alone.

import Analysis
import Routing
import Store
import Support
import Terminal
import Testing

@testable import App

struct OtherRecordScreensTests {
  struct Kind: Sendable, CustomStringConvertible {
    var selection = StatedSelection.topK
    var row = RowKind.token
    var paths = ["ffn.0", "ffn.1"]
    var weights = WeightKind.unnormalized
    var lacksRoutes = false

    var description: String { "\(selection.rawValue), \(row.words), \(paths.joined(separator: " ")), \(weights.rawValue)" }

    static let all =
      StatedSelection.allCases.map { Kind(selection: $0) } + RowKind.allCases.map { Kind(row: $0, paths: ["route.0"]) } + [
        Kind(paths: ["vision.ffn.1", "attn.3.q.h2", "attn.3.q.h3", "ffn.7.r0", "ffn.7.r1", "audio_1.attn.0.down.t4"]),
        Kind(weights: .signed), Kind(weights: .none), Kind(lacksRoutes: true), Kind(selection: .unknown, weights: .none, lacksRoutes: true),
      ]
  }

  private func description(_ kind: Kind) throws -> RunDescription {
    RunDescription(
      name: "kind",
      model: ModelIdentity(
        name: "", family: "", path: "", filesHash: "", quantization: "", routerPrecision: "", tokenizerHash: "", layerCount: 0,
        vocabularySize: 0),
      routers: try kind.paths.map { path in
        RouterDescription(
          id: try #require(RouterID(path: path)),
          spec: RouterSpec(
            expertCount: 8, scoring: .stated(.unknown), selection: .stated(kind.selection, slots: 3), statedWeights: kind.weights))
      }, input: InputIdentity(source: "kind.jsonl", hash: ""), recording: RecordingLevel(content: kind.weights == .none ? .ids : .weights),
      engine: EngineIdentity(version: "0", simd: "", threads: 0), startedAt: 1_700_000_000,
      recorded: RunOrigin(kind: .import, row: kind.row, format: "moetop-jsonl", source: "kind.jsonl"))
  }

  private func pass(_ routers: [RouterDescription], _ kind: Kind) -> RoutingPass {
    var tokens = TokenTable()
    for row in 0..<60 { tokens.append(sequence: row / 30, position: row % 30, tokenID: -1, phase: .prefill) }
    var pass = RoutingPass(tokens: tokens, batches: [])
    for (place, router) in routers.enumerated() {
      var batch = RoutingBatch(router: router.id, expertCount: 8, topK: 3, firstToken: 0, count: 60)
      for row in 0..<60 {
        let taken = [.topK, .hash, .dense, .unknown].contains(kind.selection) ? 3 : (row + place) % 4
        for slot in 0..<taken {
          batch.selectedExperts[row * 3 + slot] = Int32((slot * 3 + row + place) % 8)
          batch.routingWeights[row * 3 + slot] = kind.weights == .none ? .nan : kind.weights == .signed ? Float(slot) - 1 : 0.3
        }
      }
      pass.batches += kind.lacksRoutes ? [batch.slice(5..<20), batch.slice(25..<60)] : [batch]
    }
    return pass
  }

  @Test(arguments: Kind.all) func everyScreenIsDrawn(_ kind: Kind) throws {
    let directory = try TemporaryDirectory()
    let file = directory.file("kind.db")
    let about = try description(kind)
    let writer = try TraceWriter(
      file: file, description: about, sequences: [SequenceDescription(name: "a"), SequenceDescription(name: "b")])
    try writer.receive(pass(about.routers, kind))
    try writer.finish(.completed)
    let trace = try TraceReader(file: file)
    let run = try trace.run(.latest)
    for size in [Size(width: 120, height: 40), Size(width: 60, height: 20)] {
      var model = AppModel(size: size, theme: Theme())
      _ = model.update(.loading(.opened(run, file: file, sequences: try trace.sequences(run: run.id), pieces: [:])))
      try trace.passes(of: run).forEach { _ = model.update(.loading(.pass($0))) }
      _ = model.update(.loading(.finished(note: nil)))
      #expect(model.buffer?.end == 60)
      for keys in ["1", "m", "m", "m", "left", "2", "3", "enter", "4", "a", "5", "enter", "6", "7", "8", "?"] {
        model.press(keys)
        let screen = Painter.draw(model).screen
        #expect(screen.size == size && !screen.plainText.contains("\u{1b}"))
      }
      model.press("esc 1")
      let live = Painter.draw(model).screen.plainText
      if size.width >= 120, about.routers.count > 2 {
        for router in about.routers { #expect(live.contains(router.id.lane), "\(router.id)") }
      }
      model.press("8")
      #expect(!Painter.draw(model).screen.plainText.isEmpty)
    }
  }

  /// Of counts the map and the balance are shown, and that no token is known.
  @Test func countsAreDrawn() throws {
    var about = try description(Kind())
    about.recording = RecordingLevel(content: .counts)
    let run = RunSummary(
      id: 1, description: about, state: .completed, tokenCount: 48, sequenceCount: 0, storedBytes: 0, heartbeat: 0)
    var model = AppModel(size: Size(width: 120, height: 40), theme: Theme())
    let loads = Dictionary(
      uniqueKeysWithValues: about.routers.map { ($0.id, RouterLoad(counts: [40, 20, 20, 20, 20, 12, 12, 0], topK: 3, tokens: 48)) })
    _ = model.update(.loading(.opened(run, file: "a.db", sequences: [], pieces: [:], loads: loads)))
    _ = model.update(.loading(.finished(note: nil)))
    let text = Painter.draw(model).screen.plainText
    #expect(text.contains("counts of 48 tokens") && text.contains("27.8 %") && text.contains("counts of experts only"))
    for keys in ["2", "3", "4", "5", "6", "7", "8"] {
      model.press(keys)
      #expect(!Painter.draw(model).screen.plainText.isEmpty)
    }
  }
}
