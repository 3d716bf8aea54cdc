import ArgumentParser
import Formats
import Foundation

/// What is settled, by whom, and where a person's files are.
struct Config: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Print every setting: its value and where that came from.",
    discussion: """
      moetop config
      moetop config --json

      A setting is taken from its option, else from its variable in the environment, else from the configuration file, else it is as usual. The \
      file is $XDG_CONFIG_HOME/moetop/config (~/.config/moetop/config), or the one that MOETOP_CONFIG names. Its lines are key = value; a hash at \
      the start or after a blank begins a comment. key.ACTION = KEY… gives an action other keys; none takes them away. moetop docs keys \
      lists actions and keys.
      """)

  @Flag(help: "Print the result as JSON.") var json = false

  func run() throws {
    var settings = try Configuration.settings()
    SessionState.ofUser?.settle(&settings)
    let report = ConfigurationReport(settings, places: .ofUser)
    if json { return StandardOutput.write(report.json) }
    StandardOutput.say(report.text)
  }
}

/// What `moetop config` tells.
struct ConfigurationReport {
  private struct Row {
    var setting: Setting
    var value: String
    var origin: Settings.Origin?
  }

  private let rows: [Row]
  private let settings: Settings
  private let places: Places
  private let table: ActionTable

  init(_ settings: Settings, places: Places) {
    (self.settings, self.places) = (settings, places)
    rows = Setting.all.map { Row(setting: $0, value: $0.text(settings), origin: settings.origins[$0.name]) }
    table = ActionTable(Screens.all, settings.keys)
  }

  /// Folders and files, with a word on each.
  private var files: [(name: String, path: String, note: String)] {
    let data = settings.dataDir ?? places.data
    func there(_ path: String) -> String { FileStatus.exists(path) ? "" : "not there" }
    return [
      ("config", places.config, there(places.config)), ("data", data, there(data)), ("state", places.state, there(places.state)),
      ("cache", Places.hashes(inData: data), there(Places.hashes(inData: data))),
    ]
  }

  var text: String {
    var table = TextTable([.left("setting"), .left("value"), .left("from"), .left("may be")])
    for row in rows {
      table.rows.append([
        row.setting.name, row.value.isEmpty ? "–" : row.value, row.origin?.description ?? "default", row.setting.expected,
      ])
    }
    for binding in settings.keys.bindings {
      table.rows.append([
        KeyBindings.prefix + binding.action.rawValue, binding.keys.isEmpty ? "none" : binding.keys.map(\.name).joined(separator: " "),
        Settings.Origin.file(places.config, line: binding.line).description, self.table[binding.action]?.help ?? "",
      ])
    }
    var places = TextTable([.left("place"), .left("path"), .left("")])
    for file in files { places.rows.append([file.name, file.path, file.note]) }
    return table.text + "\n" + places.text
      + "\nA variable is called as its setting: MOETOP_THEME, MOETOP_DATA_DIR. Every action and its keys: moetop docs keys\n"
  }

  var json: String {
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("schema", "moetop.config/1")
      writer.objects("settings", rows) { writer, row in
        writer.member("name", row.setting.name)
        writer.member("value", row.value)
        Self.origin(row.origin, &writer)
        writer.member("variable", row.setting.variable)
        writer.member("expected", row.setting.expected)
        writer.member("help", row.setting.help)
      }
      writer.objects("keys", table.entries) { writer, entry in
        writer.member("action", entry.id.rawValue)
        writer.member("keys") { writer in
          writer.array { writer in for key in entry.keys { writer.value(key.name) } }
        }
        Self.origin(settings.keys[entry.id].map { .file(places.config, line: $0.line) }, &writer)
      }
      writer.objects("places", files) { writer, file in
        writer.member("name", file.name)
        writer.member("path", file.path)
        writer.member("exists", FileStatus.exists(file.path))
      }
    }
    return writer.text + "\n"
  }

  /// `source`, and of a file its name and line.
  private static func origin(_ origin: Settings.Origin?, _ writer: inout JSONWriter) {
    switch origin {
    case nil: writer.member("source", "default")
    case .option: writer.member("source", "option")
    case .environment: writer.member("source", "environment")
    case .lastSession: writer.member("source", "state")
    case .file(let path, let line):
      writer.member("source", "file")
      writer.member("file", path)
      writer.member("line", line)
    }
  }
}
