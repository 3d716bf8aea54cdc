// Which colours, characters and background to assume, decided from what the user said and what the terminal says.
// Pure functions of an injected environment: the asking itself is the device's work.

/// `--color` and its twin in the configuration.
public enum ColorChoice: String, Hashable, Sendable, CaseIterable {
  case auto
  case always
  case never
}

/// How many colours to use, and who decided: the order of authority is option, configuration, `NO_COLOR`,
/// `CLICOLOR_FORCE` and `FORCE_COLOR`, terminfo.
public struct ColorPlan: Hashable, Sendable {
  public let depth: ColorDepth
  /// For `moetop doctor`: the rule that decided, in words.
  public let reason: String

  /// - Parameters:
  ///   - option: `--color`, nil when it was not given.
  ///   - configuration: the configured choice, nil when there is none.
  ///   - terminfoColors: what terminfo says; negative or 0 for a terminal without colours.
  ///   - isTerminal: whether the output is a terminal at all.
  public init(
    option: ColorChoice?, configuration: ColorChoice?, environment: [String: String], terminfoColors: Int, isTerminal: Bool
  ) {
    let own = ColorPlan.depth(terminfoColors: terminfoColors)
    let forced = max(own, .ansi16)
    for (choice, source) in [(option, "--color"), (configuration, "configuration")] {
      switch choice {
      case .always?: (depth, reason) = (forced, "\(source) always")
      case .never?: (depth, reason) = (.mono, "\(source) never")
      case .auto?, nil: continue
      }
      return
    }
    if let value = environment["NO_COLOR"], !value.isEmpty {
      (depth, reason) = (.mono, "NO_COLOR")
    } else if let name = ["CLICOLOR_FORCE", "FORCE_COLOR"].first(where: { ColorPlan.isSet(environment[$0]) }) {
      (depth, reason) = (max(forced, ColorPlan.level(environment[name], name: name)), name)
    } else if environment["FORCE_COLOR"] == "0" {
      (depth, reason) = (.mono, "FORCE_COLOR")
    } else if !isTerminal {
      (depth, reason) = (.mono, "not a terminal")
    } else {
      (depth, reason) = (own, "terminfo")
    }
  }

  /// What a count of colours in terminfo allows.
  public static func depth(terminfoColors: Int) -> ColorDepth {
    switch terminfoColors {
    case ..<8: .mono
    case ..<256: .ansi16
    case 256: .indexed256
    default: .direct
    }
  }

  private static func isSet(_ value: String?) -> Bool { value.map { !$0.isEmpty && $0 != "0" && $0 != "false" } ?? false }

  /// `FORCE_COLOR=2` asks for 256 colours; other values only for colour.
  private static func level(_ value: String?, name: String) -> ColorDepth {
    name == "FORCE_COLOR" && (value == "2" || value == "3") ? .indexed256 : .ansi16
  }
}

/// Whether the terminal is dark or light, and who says so.
public struct AppearancePlan: Hashable, Sendable {
  public let appearance: Appearance
  public let reason: String

  /// - Parameter reply: what the terminal answered to OSC 11, nil when it did not in time.
  public init(option: Appearance?, reply: String?, environment: [String: String]) {
    if let option {
      (appearance, reason) = (option, "--theme")
    } else if let rgb = reply.flatMap(AppearancePlan.color) {
      (appearance, reason) = ((Color.direct(rgb).lightness ?? 0) > 50 ? .light : .dark, "OSC 11")
    } else if let index = environment["COLORFGBG"]?.split(separator: ";").last.flatMap({ Int($0) }), (0...15).contains(index) {
      // The convention of rxvt: 7 and 9 to 15 are light, 0 to 6 and 8 are dark.
      (appearance, reason) = (index == 7 || index > 8 ? .light : .dark, "COLORFGBG")
    } else {
      (appearance, reason) = (.dark, "default")
    }
  }

  /// `0xRRGGBB` of an OSC 11 reply such as `ESC ] 11 ; rgb:ffff/ffff/dddd ESC \`; nil when it is not one.
  public static func color(ofReply reply: String) -> UInt32? {
    guard let start = reply.range(of: "]11;rgb") else { return nil }
    var body = reply[start.upperBound...]
    if body.hasPrefix("a") { body = body.dropFirst() }
    guard body.hasPrefix(":") else { return nil }
    let channels = body.dropFirst().prefix { $0.isHexDigit || $0 == "/" }.split(separator: "/", omittingEmptySubsequences: false)
    guard channels.count == 3 || channels.count == 4 else { return nil }
    var rgb: UInt32 = 0
    for channel in channels.prefix(3) {
      guard (1...4).contains(channel.utf8.count), let value = UInt32(channel, radix: 16) else { return nil }
      let full = (UInt32(1) << (4 * UInt32(channel.utf8.count))) - 1
      rgb = rgb << 8 | (value * 255 + full / 2) / full
    }
    return rgb
  }
}

extension String {
  /// The first place of a short text; this room does without Foundation.
  fileprivate func range(of needle: String) -> Range<String.Index>? {
    var place = startIndex
    while place < endIndex {
      if self[place...].hasPrefix(needle) { return place..<index(place, offsetBy: needle.count) }
      place = index(after: place)
    }
    return nil
  }
}
