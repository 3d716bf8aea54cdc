// Who has the say? An option, then the environment, then the configuration file, then the session before, then what is usual. The answer is
// one value, `Settings`, with the origin of each.

import Foundation
import Terminal

enum Configuration {
  /// Of whoever runs this program, read once.
  static let ofUser = Result<Settings, any Error> { try settings() }

  /// What was settled, or what is usual where that cannot be read: whoever needs to know asks `ofUser` first.
  static var standing: Settings { (try? ofUser.get()) ?? Settings() }

  /// - Parameters:
  ///   - options: texts of options that were given, by the name of their setting, with the option as it was written.
  ///   - isScript: a script is the same on every machine: it reads the file only where that was named, and no session before it.
  /// - Throws: `Failure` that names where a mistake is and what was expected; `FormatError` of the system.
  static func settings(options: [String: (option: String, text: String)] = [:], isScript: Bool = false) throws -> Settings {
    let (environment, places) = (ProcessInfo.processInfo.environment, Places.ofUser)
    let file = isScript && !places.isConfigNamed ? nil : try ConfigurationFile(path: places.config, mustExist: places.isConfigNamed)
    return try settings(options: options, environment: environment, file: file)
  }

  /// The same, of an environment and a file that are handed over.
  static func settings(
    options: [String: (option: String, text: String)], environment: [String: String], file: ConfigurationFile?
  ) throws -> Settings {
    var settings = Settings()
    // The weakest first: each takes the place of what was there.
    if let file { try take(file, into: &settings) }
    for setting in Setting.all {
      guard let text = environment[setting.variable], !text.isEmpty else { continue }
      guard setting.take(text, &settings) else {
        throw Failure(.configuration, "\(setting.variable): expected \(setting.expected), found \(ConfigurationFile.short(text))")
      }
      settings.origins[setting.name] = .environment(setting.variable)
    }
    for setting in Setting.all {
      guard let given = options[setting.name], setting.take(given.text, &settings) else { continue }
      settings.origins[setting.name] = .option(given.option)
    }
    return settings
  }

  private static func take(_ file: ConfigurationFile, into settings: inout Settings) throws {
    for entry in file.entries where !entry.key.hasPrefix(KeyBindings.prefix) {
      guard let setting = Setting.named(entry.key) else {
        throw ConfigurationFile.problem(
          file.path, entry.line,
          "expected \(Setting.all.map(\.name).joined(separator: ", ")) or key.ACTION, found \(ConfigurationFile.short(entry.key))"
            + Nearest.words(entry.key, Setting.all.map(\.name)))
      }
      let places =
        setting.names == .nothing ? [] : setting.names == .aPlace ? [entry.value] : entry.value.split(separator: ":").map(String.init)
      let isWhole = places.allSatisfy { Places.expanded($0).hasPrefix("/") }
      guard isWhole, setting.take(entry.value, &settings) else {
        let expected = setting.expected + (setting.names == .nothing ? "" : ", from / or ~/ on")
        throw ConfigurationFile.problem(
          file.path, entry.line, "\(setting.name): expected \(expected), found \(ConfigurationFile.short(entry.value))")
      }
      settings.origins[setting.name] = .file(file.path, line: entry.line)
    }
    settings.keys = try KeyBindings(file.entries.filter { $0.key.hasPrefix(KeyBindings.prefix) }, path: file.path)
  }
}

extension Settings {
  /// Whether anybody has settled it.
  func isSettled(_ name: String) -> Bool { origins[name] != nil }
}
