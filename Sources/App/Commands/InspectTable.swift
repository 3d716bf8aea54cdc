// `moetop inspect FILE --table`: the routes that weights or a rule alone decide.

import ArgumentParser
import Formats

extension Inspect {
  struct TableOptions: ParsableArguments {
    @Flag(help: "Of routes that weights or a rule alone decide: which task, modality or layer takes which expert.") var table = false
    @Option(
      name: .customLong("as"),
      help: ArgumentHelp("System of the table, where names and shapes do not tell it.", valueName: "system")) var system: TableSystem?

    func validate() throws {
      if system != nil, !table { throw ValidationError("--as names the system of a table: add --table") }
    }

    /// Prints the table of one file.
    func answer(_ path: String, json: Bool) throws {
      if FileStatus.exists(path), FileStatus.isFolder(path) {
        throw ValidationError(
          "\(path): --table reads one file, found a folder; --timesteps is the table of a model that routes by the timestep")
      }
      let source = try TableSource(path: path)
      let system = try TableSystem.of(source, named: system)
      let answer = RouteTableAnswer(table: try system.table(source), system: system, path: path, isNamed: self.system != nil)
      StandardOutput.answer(json: json, data: answer.json, words: answer.text(width: Paragraph.outputColumns))
    }
  }
}
