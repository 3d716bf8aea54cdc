// A model whose numbers are looked up in tables, as a user meets it: it runs when they lie in moetop's folder of data, is refused by every
// command that computes when they do not or are damaged, and is described and listed either way.

import Foundation
import Support
import Testing

struct LookupTablesCommandTests {
  private let folder: String
  private let data: TemporaryDirectory

  init() throws {
    folder = try #require(Fixtures.own("lookup"))
    data = try TemporaryDirectory()
    try FileManager.default.createDirectory(atPath: data.file("moetop"), withIntermediateDirectories: true)
  }

  private var model: String { folder + "/mixtral.gguf" }
  private var reading: [String] { [model, "--tokens", folder + "/input.json"] }

  private func moetop(_ arguments: [String], in environment: [String: String]? = nil) throws -> CommandResult {
    try Binary.run(arguments, environment: environment ?? ["XDG_DATA_HOME": data.path])
  }

  private func tables(_ change: (inout Data) -> Void = { _ in }) throws {
    var bytes = try Data(contentsOf: URL(fileURLWithPath: folder + "/iq-tables.bin"))
    change(&bytes)
    try data.write(bytes, to: "moetop/iq-tables.bin")
  }

  @Test func runsWithTheTablesInTheFolderOfData() throws {
    try tables()
    let verify = ["verify"] + reading + ["--expected", folder + "/expected.safetensors"]
    for environment in [["XDG_DATA_HOME": data.path], ["MOETOP_DATA_DIR": data.file("moetop")]] {
      let result = try moetop(verify, in: environment)
      #expect(result.status == 0, "\(result.output)\(result.errors)")
    }
    let run = try moetop(["run"] + reading + ["--trace", data.file("t.db"), "-q"])
    #expect(run.status == 0, "\(run.errors)")
  }

  @Test func isRefusedWithoutThem() throws {
    let path = data.file("moetop/iq-tables.bin")
    let calls = [
      ["run"] + reading, ["run"] + reading + ["--no-trace"], ["verify"] + reading + ["--expected", folder + "/expected.safetensors"],
      ["whatif"] + reading + ["--rules", "mask 0:1"], ["ui", model, "--script", data.file("none")],
    ]
    try data.write([], to: "none")
    for call in calls {
      let result = try moetop(call)
      #expect(result.status == 69 && result.output.isEmpty, "\(call): \(result.status) \(result.output)")
      for words in ["\"token_embd.weight\" is stored as IQ2_S", "\(path): cannot open", "try: tools/make_iq_tables.py"] {
        #expect(result.errors.contains(words), "\(call): \(result.errors)")
      }
    }
    #expect(!FileManager.default.fileExists(atPath: data.file("moetop/traces.db")))
  }

  @Test func isRefusedWithDamagedOnes() throws {
    for (change, words) in [
      ({ $0[500] ^= 4 }, "SHA-256 of the tables: expected "), ({ $0.removeLast() }, "size: expected 33984 bytes, found 33983"),
    ]
      as [((inout Data) -> Void, String)]
    {
      try tables(change)
      let result = try moetop(["run"] + reading)
      #expect(result.status == 69 && result.errors.contains("iq-tables.bin: damaged, or another file: \(words)"), "\(result.errors)")
    }
  }

  /// Before and after the tables are there.
  @Test func isDescribedAnyway() throws {
    let without = try moetop(["inspect", model])
    #expect(without.status == 0 && without.errors.isEmpty, "\(without.errors)")
    for words in ["mixtral, supported", "IQ2_XXS", "IQ1_M", "described and not run", "tools/make_iq_tables.py"] {
      #expect(without.output.contains(words), "\(words): \(without.output)")
    }
    let json = try moetop(["inspect", model, "--json"]).output
    #expect(json.contains("\"supported\":true") || json.contains("\"supported\": true"), "\(json)")
    #expect(json.contains("IQ3_S") && json.contains("described and not run"), "\(json)")
    let listing = try moetop(["models", folder])
    #expect(
      listing.status == 0 && listing.output.contains("mixtral.gguf") && listing.output.lowercased().contains("iq"), "\(listing.output)")
    try tables()
    let with = try moetop(["inspect", model])
    #expect(with.status == 0 && with.output.contains("IQ2_XXS") && !with.output.contains("described and not run"), "\(with.output)")
  }
}
