import ArgumentParser
import Formats
import Model

/// Which models are on this machine, and which of them run here.
struct Models: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "List the models on this machine.",
    discussion: """
      moetop models
      moetop models ~/checkpoints --json

      Without folders: the samples that come with the program, the Hugging Face cache, Ollama, LM Studio, llama.cpp's cache and the \
      folders in MOETOP_MODELS (colons between them). Only headers are read, and nothing is downloaded.
      """)

  @Argument(help: ArgumentHelp("Folders to look through instead of the usual places.", valueName: "folder")) var folders: [String] = []
  @Flag(help: "Print the result as JSON.") var json = false

  func run() throws {
    let places = ModelPlaces.ofUser
    let listing = ModelListing(folders.isEmpty ? places.everything() : folders.flatMap { places.models(in: $0) })
    if json { return StandardOutput.write(listing.json) }
    if listing.rows.isEmpty {
      let looked = folders.isEmpty ? places.places : folders
      StandardOutput.say("no models in\n" + looked.map { "  \(Show.line($0))\n" }.joined())
    } else {
      StandardOutput.say(listing.text)
    }
  }
}

extension ModelListing {
  /// A table, the reasons of what does not run below the rows they belong to.
  var text: String {
    var table = TextTable([
      .left("model"), .left("family"), .right("parameters"), .right("size"), .left("stored"), .left("runs"), .left("path"),
    ])
    for row in rows {
      let summary = row.summary
      table.rows.append([
        row.found.name, summary?.family ?? "–", summary?.parameters.map { Show.count($0) } ?? "–",
        summary?.bytes.map { Show.bytes($0) } ?? "–",
        summary?.stored?.lowercased() ?? "–", row.obstacle == nil ? "yes" : "no", row.found.path,
      ])
    }
    let lines = table.lines
    var text = lines[0] + "\n"
    for (line, row) in zip(lines.dropFirst(), rows) {
      text += line + "\n"
      if let obstacle = row.obstacle { text += "  \(Show.message(obstacle))\n" }
    }
    let running = rows.count { $0.obstacle == nil }
    return text + "\(rows.count) found, \(running) can be opened, as far as headers tell; to check every tensor: moetop inspect PATH\n"
  }

  var json: String {
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("schema", "moetop.models/1")
      writer.member("models") { writer in
        writer.array { writer in
          for row in rows {
            writer.object { writer in
              writer.member("name", row.found.name)
              writer.member("path", row.found.path)
              if let summary = row.summary {
                writer.member("format", summary.container.rawValue)
                if let family = summary.family { writer.member("family", family) }
                if let parameters = summary.parameters { writer.member("parameters", parameters) }
                if let bytes = summary.bytes { writer.member("bytes", bytes) }
                if let stored = summary.stored { writer.member("stored", stored) }
              }
              writer.member("supported", row.obstacle == nil)
              if let obstacle = row.obstacle { writer.member("reason", obstacle) }
            }
          }
        }
      }
    }
    return writer.text + "\n"
  }
}
