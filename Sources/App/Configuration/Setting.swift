// Which settings are there? Each is a name, what its value may be, what it is where nobody says anything, and how a text becomes the value.
// The configuration file, the environment, `moetop config` and the manual page read this one list.

import Analysis
import Foundation
import Terminal

/// A choice between what the terminal says and one of two.
enum BackgroundChoice: String, CaseIterable, Sendable {
  case auto, dark, light
}

/// How the images of a model are shown.
enum PictureChoice: String, CaseIterable, Sendable {
  /// In cells, two pixels in each.
  case auto
  /// Not at all.
  case off
  /// By kitty's protocol, where the terminal answers that it knows it; else in cells.
  case kitty
}

/// What a person has settled. A value that nobody settled is the usual one.
struct Settings: Sendable {
  var theme = BackgroundChoice.auto
  var color = ColorChoice.auto
  var ascii = false
  var mouse = true
  var palette = PaletteName.viridis
  var truecolor = DirectColorChoice.auto
  var pictures = PictureChoice.auto
  var threshold = EntropyThreshold.standard
  /// Tokens; nil: all.
  var window: Int? = 128
  /// Tokens or denoising steps a second; nil: as fast as it can.
  var rate: Double? = 12
  /// Nil: every core.
  var threads: Int?
  /// Nil: the system's place for data.
  var dataDir: String?
  /// Further folders of models, colons between them.
  var models = ""
  var keys = KeyBindings()
  /// Who settled what, by name; what is absent is as usual.
  var origins: [String: Origin] = [:]

  /// Who settled a value.
  enum Origin: Hashable, Sendable, CustomStringConvertible {
    case option(String)
    case environment(String)
    case file(String, line: Int)
    /// Left behind by the session before.
    case lastSession

    var description: String {
      switch self {
      case .option(let name): name
      case .environment(let name): name
      case .file(let path, let line): "\(path), line \(line)"
      case .lastSession: "the session before"
      }
    }
  }
}

/// One setting.
struct Setting: Sendable {
  let name: String
  /// What a value may be, to be read after "expected".
  let expected: String
  let help: String
  /// Whether a value names places, which a file has to name in full.
  let names: Names
  /// Takes a text over; false for one that is no value.
  let take: @Sendable (String, inout Settings) -> Bool
  /// The value that holds, as the file would have it.
  let text: @Sendable (Settings) -> String

  enum Names { case nothing, aPlace, places }

  /// Its twin in the environment.
  var variable: String { "MOETOP_" + name.uppercased().replacingOccurrences(of: "-", with: "_") }

  private init(
    _ name: String, _ expected: String, _ help: String, names: Names = .nothing,
    take: @escaping @Sendable (String, inout Settings) -> Bool, text: @escaping @Sendable (Settings) -> String
  ) {
    (self.name, self.expected, self.help, self.names, self.take, self.text) = (name, expected, help, names, take, text)
  }

  private static func choice<Choice: RawRepresentable<String> & CaseIterable & Sendable>(
    _ name: String, _ help: String, _ path: WritableKeyPath<Settings, Choice> & Sendable
  ) -> Setting {
    let names = Choice.allCases.map(\.rawValue)
    let expected = names.dropLast().joined(separator: ", ") + " or " + (names.last ?? "")
    return Setting(name, expected, help) { text, settings in
      guard let value = Choice(rawValue: text) else { return false }
      settings[keyPath: path] = value
      return true
    } text: {
      $0[keyPath: path].rawValue
    }
  }

  private static func toggle(_ name: String, _ help: String, _ path: WritableKeyPath<Settings, Bool> & Sendable) -> Setting {
    Setting(name, "on or off", help) { text, settings in
      guard ["on", "off"].contains(text) else { return false }
      settings[keyPath: path] = text == "on"
      return true
    } text: {
      $0[keyPath: path] ? "on" : "off"
    }
  }

  static let all: [Setting] = [
    choice("theme", "colours for a dark or a light terminal; auto asks it", \.theme),
    choice("color", "whether the screens have colours", \.color),
    toggle("ascii", "draw with ASCII only", \.ascii),
    toggle("mouse", "off leaves the mouse to the terminal", \.mouse),
    choice("palette", "colours of heat maps", \.palette),
    choice("truecolor", "colours of 24 bits; auto where COLORTERM announces them", \.truecolor),
    choice("pictures", "images: in cells, not at all, or by kitty's protocol", \.pictures),
    Setting("threshold", "0.92 (of ln E), 1.6nat or q0.95 (of the run)", "from where a token is uncertain, as screens begin") {
      guard let value = try? EntropyThreshold(parsing: $0) else { return false }
      $1.threshold = value
      return true
    } text: {
      "\($0.threshold)"
    },
    Setting("window", "a number of tokens from 1 to 1000000, or all", "tokens that Live counts over, as screens begin") {
      let count = Int($0).flatMap { (1...1_000_000).contains($0) ? $0 : nil }
      guard count != nil || $0 == "all" else { return false }
      $1.window = count
      return true
    } text: {
      $0.window.map(String.init) ?? "all"
    },
    Setting("rate", "a number from 0.1 to 10000, or max", "tokens or steps a second, as screens begin") {
      let speed = Double($0).flatMap { (0.1...10_000).contains($0) ? $0 : nil }
      guard speed != nil || $0 == "max" else { return false }
      $1.rate = speed
      return true
    } text: {
      $0.rate.map { $0 == $0.rounded() ? String(Int($0)) : "\($0)" } ?? "max"
    },
    Setting("threads", "a number from 1 to 1024, or auto", "threads that every command computes with; auto: every core") {
      let count = Int($0).flatMap { (1...1024).contains($0) ? $0 : nil }
      guard count != nil || $0 == "auto" else { return false }
      $1.threads = count
      return true
    } text: {
      $0.threads.map(String.init) ?? "auto"
    },
    Setting("data-dir", "a folder", "folder of the default trace and of tables that files of weights need", names: .aPlace) {
      guard !$0.isEmpty else { return false }
      $1.dataDir = Places.expanded($0)
      return true
    } text: {
      $0.dataDir ?? Places.ofUser.data
    },
    Setting("models", "folders, colons between them", "further folders in which models are looked for", names: .places) {
      $1.models = $0.split(separator: ":").map { Places.expanded(String($0)) }.joined(separator: ":")
      return true
    } text: {
      $0.models
    },
  ]

  static func named(_ name: String) -> Setting? { all.first { $0.name == name } }
}
