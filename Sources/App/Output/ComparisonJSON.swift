// A comparison as one JSON object, `moetop.compare/1`: docs/contracts.md says what each key is.

import Analysis
import Formats
import Routing

enum ComparisonJSON {
  static func text(_ report: ComparisonReport) -> String {
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("schema", "moetop.compare/1")
      writer.member("settings") { writer in
        writer.object { writer in
          writer.member("margin", report.plan.margin)
          writer.member("match", report.plan.matching.rawValue)
          if let layers = report.plan.layers { writer.member("layers", layers) }
          if let filter = report.plan.filter { writer.member("filter", filter) }
          if let branch = report.plan.branch { writer.member("branch", branch) }
        }
      }
      writer.member("notes", report.notes)
      units(&writer)
      writer.member("a") { run(&$0, report.a) }
      writer.objects("pairs", report.pairs) { pair(&$0, $1, report.plan) }
    }
    return writer.text
  }

  /// What every number is counted in; margins have the unit of their row.
  private static func units(_ writer: inout JSONWriter) {
    writer.member("units") { writer in
      writer.object { writer in
        for key in ComparisonKey.allCases { if let unit = key.entry.unit { writer.member(key.rawValue, unit) } }
      }
    }
  }

  private static func run(_ writer: inout JSONWriter, _ run: ComparedRun) {
    writer.object { writer in
      let model = run.description.model
      writer.member("run", run.label)
      writer.member("trace", run.trace)
      writer.member("name", run.description.name)
      writer.member("model", model.name)
      writer.member("model_hash", model.filesHash)
      writer.member("quantization", model.quantization)
      writer.member("recording", run.description.recording.description)
      writer.member("tokens", run.tokens)
      writer.member("texts", run.texts)
    }
  }

  private static func pair(_ writer: inout JSONWriter, _ pair: ComparedPair, _ settings: ComparisonReport.Settings) {
    writer.member("b") { run(&$0, pair.b) }
    writer.member("pairing", pair.alignment.ground.rawValue)
    numbers(&writer, pair.row, settings)
    writer.member("matched", settings.matching.rawValue)
    writer.member("notes", pair.notes)
    writer.objects("layers", pair.result.layers) { writer, layer in
      writer.member("router", layer.pair.a.id.description)
      writer.member("router_b", layer.pair.b.id.description)
      numbers(&writer, layer.row, settings)
      writer.member("margin_unit", layer.row.unit(of: .margin))
      if let matching = layer.matching { writer.member("experts_b", matching) }
    }
    writer.objects("by_entropy", pair.rows(.byEntropy)) { numbers(&$0, $1, settings) }
    writer.objects("flipped", pair.result.flipped) { writer, flip in
      writer.member("token", flip.token)
      writer.member("token_b", flip.tokenB)
      writer.member("text", flip.text)
      writer.member("position", flip.position)
      writer.member("token_id", flip.tokenID)
      writer.member("router", flip.router.description)
      writer.member("margin", Double(flip.margin))
      writer.member("a", flip.a)
      writer.member("b", flip.b)
    }
  }

  private static func numbers(_ writer: inout JSONWriter, _ row: ComparisonRow, _ settings: ComparisonReport.Settings) {
    for key in row.kind.keys where key != .moved || settings.matching == .behaviour {
      if key.isCount {
        writer.member(key.rawValue, row[key].flatMap(Int.init(exactly:)))
      } else {
        writer.member(key.rawValue, row[key])
      }
    }
  }
}
