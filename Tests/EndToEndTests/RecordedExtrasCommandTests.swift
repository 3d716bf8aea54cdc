// `--record LEVEL+EXTRA` as a user calls it, from the run to the view, the export and the metric that needs it; and metrics of single decisions in
// every form a report has.

import Formats
import Foundation
import Support
import Testing

struct RecordedExtrasCommandTests {
  private let folder: TemporaryDirectory

  init() throws { folder = try TemporaryDirectory() }

  private func trace(_ family: String, _ record: String, more: [String] = []) throws -> String {
    let model = try #require(Fixtures.own("models/\(family)"))
    let path = folder.file("\(family)-\(record.replacingOccurrences(of: ":", with: "-")).db")
    let result = try Binary.run(["run", model, "--tokens", model + "/input.json", "--trace", path, "--record", record, "-q"] + more)
    #expect(result.status == 0, "\(result.errors)")
    return path
  }

  private func moetop(_ arguments: String..., status: Int32 = 0) throws -> CommandResult {
    let result = try Binary.run(arguments)
    #expect(result.status == status, "\(arguments.joined(separator: " ")): \(result.status) \(result.errors)")
    return result
  }

  private func documents(_ path: String, _ metrics: String, _ more: String...) throws -> [String: [String: Any]] {
    let result = try Binary.run(["analyze", path, "--metric", metrics, "--json"] + more)
    #expect(result.status == 0, "\(result.errors)")
    let value = try JSONSerialization.jsonObject(with: Data(result.output.utf8))
    let all = value as? [[String: Any]] ?? [value as? [String: Any] ?? [:]]
    return Dictionary(all.map { ($0["metric"] as? String ?? "", $0) }) { first, _ in first }
  }

  @Test func whatIsRecordedComesOutEverywhere() throws {
    let path = try trace("qwen2_moe", "full:every=2+shared+norms+predicted+passes")
    _ = try moetop("runs", "check", path)
    let file = folder.file("routing.safetensors")
    _ = try moetop("export", path, "--format", "safetensors", "-o", file)
    let export = try SafetensorsFile(path: file)
    #expect(export.metadata.first { $0.key == "moetop.recording" }?.value == "full:every=2+norms+shared+passes+predicted")
    for router in ["ffn.0", "ffn.1"] {
      #expect(try export.tensor("\(router).expert_norms").shape == [48, 2] && export.tensor("\(router).expert_norms").elementType == .f32)
      for name in ["shared_weight", "shared_norm"] { #expect(try export.tensor("\(router).\(name)").shape == [48]) }
    }
    for name in ["pass", "batch", "predicted_ids"] {
      #expect(try export.tensor(name).shape == [48] && export.tensor(name).elementType == .i32)
    }
    let sql = """
      SELECT count(norm), min(norm) > 0, min(router) FROM routing UNION ALL
      SELECT count(shared_weight), min(shared_weight) > 0 AND max(shared_weight) < 1, count(shared_norm) FROM routing_stats UNION ALL
      SELECT count(predicted_id), max(pass), max(batch) FROM tokens
      """
    let answer = try moetop("sql", path, sql, "--format", "csv").output.split(separator: "\n").dropFirst()
    #expect(Array(answer) == ["192,1,ffn.0", "96,1,96", "48,1,1"])
    // A decision's weighted norms by hand, against the metric.
    let lines = try moetop("export", path, "--format", "jsonl").output.split(separator: "\n").map {
      try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
    }.filter { $0["layer"] as? Int == 1 }
    let shares = lines.map { line -> Double in
      let (norms, weights) = (line["norms"] as? [Double] ?? [], line["weights"] as? [Double] ?? [])
      let own = (line["shared_weight"] as? Double ?? .nan) * (line["shared_norm"] as? Double ?? .nan)
      return own / (own + zip(norms, weights).reduce(0) { $0 + $1.0 * $1.1 })
    }
    let found = try documents(path, "shared_norm_share,expert_norm,weighted_expert_norm,shared_weight_share")
    let rows = try #require(found["shared_norm_share"]?["layers"] as? [[String: Any]])
    let value = try #require(rows.first { $0["router"] as? String == "ffn.1" }?["value"] as? Double)
    #expect(abs(value - shares.reduce(0, +) / 48) < 1e-6 && rows[0]["n"] as? Int == 48 && rows[0]["baseline"] as? Double == 1.0 / 3)
    let experts = try #require(found["expert_norm"]?["experts"] as? [[String: Any]])
    let ofFirst = lines.flatMap { line in
      zip(line["experts"] as? [Int] ?? [], line["norms"] as? [Double] ?? []).filter { $0.0 == 0 }.map(\.1)
    }
    let first = try #require(experts.first { $0["router"] as? String == "ffn.1" && $0["expert"] as? Int == 0 })
    #expect(first["n"] as? Int == ofFirst.count)
    if !ofFirst.isEmpty { #expect(abs((first["value"] as? Double ?? 0) - ofFirst.reduce(0, +) / Double(ofFirst.count)) < 1e-5) }
  }

  /// The same numbers in every form, each with unit, n and baseline.
  @Test func everyFormSaysTheSame() throws {
    let path = try trace("deepseek_v3", "full+norms+shared")
    let metrics = "router_perplexity,top_k_entropy,flip_risk,bias_flips,shared_weight_share,shared_norm_share"
    let found = try documents(path, metrics, "--noise", "0.01")
    let csv = try moetop("analyze", path, "--metric", metrics, "--noise", "0.01", "--format", "csv").output.split(separator: "\n")
    let table = try moetop("analyze", path, "--metric", metrics, "--noise", "0.01").output
    let markdown = try moetop("analyze", path, "--metric", metrics, "--noise", "0.01", "--format", "md").output
    for metric in metrics.split(separator: ",").map(String.init) {
      let row = try #require((found[metric]?["layers"] as? [[String: Any]])?.first)
      #expect(row["unit"] is String && row["n"] as? Int == 48 && row["n_of"] as? String == "decisions" && row["baseline"] is NSNumber)
      let value = try #require(row["value"] as? Double)
      let cells = try #require(csv.first { $0.hasPrefix(metric + ",") }).split(separator: ",", omittingEmptySubsequences: false)
      #expect(abs((Double(cells[6]) ?? .nan) - value) < 1e-5 && String(cells[7]) == row["unit"] as? String, "\(metric)")
      for text in [table, markdown] { #expect(text.contains(metric) && text.contains("n 48 decisions"), "\(metric)") }
    }
    #expect((found["flip_risk"]?["settings"] as? [String: Any])?["noise"] as? Double == 0.01)
    #expect(table.contains("standard deviation 0.01 (--noise)"))
    // Without the bias other experts are chosen: what the router of the run says under a rule.
    let changed = try trace("deepseek_v3", "ids", more: ["--intervene", "bias ffn.1=off"])
    let sql = "SELECT group_concat(expert) FROM (SELECT token, expert FROM routing WHERE layer = 1 ORDER BY token, expert) GROUP BY token"
    let (with, without) = (
      try moetop("sql", path, sql, "--format", "csv").output.split(separator: "\n"),
      try moetop("sql", changed, sql, "--format", "csv").output.split(separator: "\n")
    )
    let share = Double(zip(with, without).count { $0 != $1 }) / 48
    let flips = try #require((found["bias_flips"]?["layers"] as? [[String: Any]])?.first?["value"] as? Double)
    #expect(with.count == 49 && abs(flips - share) < 1e-9 && share > 0)
    _ = try moetop("analyze", path, "--fail-if", "bias_flips>2", "--fail-if", "flip_risk.q95<0", "--json")
    _ = try moetop("analyze", path, "--fail-if", "bias_flips>=0", "--json", status: 2)
  }

  @Test func whatWasNotRecordedIsRefusedWithWhatToRecord() throws {
    let path = try trace("mixtral", "ids")
    for (metric, words) in [
      ("expert_norm", "--record ids+norms"), ("weighted_expert_norm", "--record weights+norms"), ("top_k_entropy", "--record weights"),
      ("shared_norm_share", "--record weights+norms+shared"), ("bias_flips", "--record full"),
    ] {
      let refused = try moetop("analyze", path, "--metric", metric, status: 64)
      #expect(refused.errors.contains(words) && refused.output.isEmpty, "\(refused.errors)")
    }
    _ = try moetop("analyze", path, "--metric", "flip_risk,router_perplexity,pooled_entropy,pooled_gw_ratio")
    let full = try trace("mixtral", "full")
    #expect(try moetop("analyze", full, "--metric", "bias_flips", status: 64).errors.contains("correction bias"))
    #expect(try moetop("analyze", full, "--metric", "flip_risk", "--noise", "-1", status: 64).errors.contains("--noise"))
  }

  @Test func whatCannotBeRecordedIsRefused() throws {
    let model = try #require(Fixtures.own("models/olmoe"))
    for (record, more, words) in [
      ("weights+colour", [], "+norms, +shared, +passes, +predicted"), ("counts+norms", [], "counts keeps no decision"),
      ("weights+norms+norms", [], "each extra once"), ("weights+predicted", ["--no-loss"], "--no-loss"),
    ] as [(String, [String], String)] {
      let result = try Binary.run(["run", model, "-p", "x", "--record", record, "--trace", folder.file("x.db")] + more)
      #expect(result.status == 64 && result.errors.contains(words), "\(record): \(result.errors)")
    }
    let images = try moetop(
      "run", "\(Fixtures.root)/samples/dit-moe-tiny", "--record", "weights+predicted", "--trace", folder.file("x.db"), status: 64)
    #expect(images.errors.contains("predicts no token"))
  }

  /// Experts of images: norms of every patch at every step, a pass a step, a batch a sample and step.
  @Test func imagesHaveThemToo() throws {
    let path = folder.file("images.db")
    _ = try moetop(
      "run", "\(Fixtures.root)/samples/dit-moe-tiny", "--images", "2", "--steps", "3", "--cfg", "1.5", "--trace", path, "--record",
      "ids+norms+shared+passes", "-q")
    _ = try moetop("runs", "check", path)
    let answer = try moetop(
      "sql", path,
      "SELECT count(DISTINCT pass), count(DISTINCT batch), count(predicted_id) FROM tokens UNION ALL "
        + "SELECT count(*) = count(norm), min(norm) > 0, 0 FROM routing UNION ALL "
        + "SELECT count(*) = count(shared_norm), min(shared_weight), max(shared_weight) FROM routing_stats", "--format", "csv"
    ).output.split(separator: "\n").dropFirst()
    #expect(Array(answer) == ["3,6,0", "1,1,0", "1,1.0,1.0"], "\(answer)")
    let norms = try documents(path, "expert_norm", "--by", "class")
    #expect(!(try #require(norms["expert_norm"]?["cells"] as? [[String: Any]]).isEmpty))
  }
}
