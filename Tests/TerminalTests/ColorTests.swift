// Colours: the measured palettes, who has the say, and that every role can be read on its background.

import Testing

@testable import Terminal

@Suite struct ColorTests {
  @Test(arguments: [
    (PaletteName.viridis, [17, 53, 24, 30, 36, 78, 119, 226] as [UInt8], [7, 21, 38, 51, 64, 78, 91, 97]),
    (.cividis, [235, 24, 242, 244, 246, 144, 185, 227], [15, 38, 46, 54, 61, 71, 84, 97]),
  ])
  func palettesAreTheMeasuredOnes(_ name: PaletteName, _ indices: [UInt8], _ lightness: [Int]) {
    #expect(name.colors(.indexed256) == indices.map(Color.indexed))
    #expect(name.colors(.indexed256).map { Int(($0.lightness ?? -1).rounded()) } == lightness)
  }

  @Test(arguments: PaletteName.allCases, [ColorDepth.ansi16, .indexed256, .direct])
  func lightnessRises(_ name: PaletteName, _ depth: ColorDepth) {
    // The sixteen are the user's own: their lightness is not ours to promise.
    let values = name.colors(depth).compactMap(\.lightness)
    #expect(values.count == name.colors(depth).count)
    guard depth > .ansi16 else { return }
    for (one, next) in zip(values, values.dropFirst()) { #expect(one < next) }
  }

  @Test func levels() {
    #expect(PaletteName.viridis.colors(.direct).count == 64)
    #expect(PaletteName.viridis.colors(.direct).first == .direct(0x440154))
    #expect(PaletteName.viridis.colors(.direct).last == .direct(0xFDE725))
    #expect(Theme(depth: .ansi16).heatLevels == 5)
    #expect(Theme(depth: .ansi16, palette: .cividis).heatLevels == 4)
    #expect(Theme(depth: .mono).heatLevels == 5)
    #expect(Theme(depth: .mono, glyphs: .ascii).heatLevels == 10)
    let theme = Theme(depth: .indexed256)
    #expect([-1, 0, 0.01, 0.124, 0.126, 0.5, 0.99, 1, 7].map(theme.heatLevel) == [0, 0, 0, 0, 1, 4, 7, 7, 7])
    #expect(theme.heat(nil).glyph == "?")
    #expect(theme.heat(.nan).glyph == "?")
    #expect([-1.0, -0.3, 0, 0.3, 1].map { theme.diverging($0).glyph } == ["=", "-", "·", "+", "#"])
    #expect([-1e300, 1e300].map { theme.diverging($0).glyph } == ["=", "#"])
    #expect(PaletteName.allCases.map(\.next) == [.cividis, .grey, .viridis])
  }

  @Test func textOnHeatIsBlackOrWhite() {
    #expect(Theme.legible(on: .indexed(17)).foreground == .indexed(231))
    #expect(Theme.legible(on: .indexed(30)).foreground == .indexed(231))
    #expect(Theme.legible(on: .indexed(36)).foreground == .indexed(16))
    #expect(Theme.legible(on: .direct(0xFDE725)).foreground == .direct(0))
  }

  @Test(arguments: ColorDepth.allCases) func categoriesDiffer(_ depth: ColorDepth) {
    let styles = Set((0..<CategoryPalette.count).map { Theme(depth: depth).category($0).background })
    #expect(styles.count == (depth == .mono ? 1 : 8))
    #expect(Theme(depth: depth).category(-1) == Theme(depth: depth).category(7))
  }

  /// WCAG contrast, by sRGB luminance.
  private func contrast(_ one: UInt32, _ two: UInt32) -> Double {
    let (a, b) = (Color.luminance(one) + 0.05, Color.luminance(two) + 0.05)
    return max(a, b) / min(a, b)
  }

  @Test(arguments: Role.allCases, Appearance.allCases) func rolesAreReadable(_ role: Role, _ appearance: Appearance) {
    for depth in [ColorDepth.indexed256, .direct] {
      let style = Theme(depth: depth, appearance: appearance)[role]
      let paper: UInt32 = appearance == .dark ? 0x000000 : 0xFFFFFF
      let ink = style.foreground.rgb ?? (paper ^ 0xFFFFFF)
      // Frames and bars are shapes (3:1), the rest is text (4.5:1).
      let isShape = [.border, .bar, .barMuted].contains(role)
      #expect(contrast(ink, style.background.rgb ?? paper) >= (isShape ? 3 : 4.5), "\(role) \(appearance)")
    }
  }

  @Test func monoHasNoColour() {
    for role in Role.allCases {
      let style = Theme(depth: .mono)[role]
      #expect(style.foreground == .default && style.background == .default)
    }
    #expect(Theme(depth: .mono)[.selection].attributes == .reverse)
  }

  @Test(
    arguments: [
      ([:], nil, nil, 256, ColorDepth.indexed256, "terminfo"),
      ([:], nil, nil, 8, .ansi16, "terminfo"),
      ([:], nil, nil, 16_777_216, .direct, "terminfo"),
      ([:], nil, nil, -1, .mono, "terminfo"),
      (["NO_COLOR": "1"], nil, nil, 256, .mono, "NO_COLOR"),
      (["NO_COLOR": ""], nil, nil, 256, .indexed256, "terminfo"),
      (["NO_COLOR": "1", "FORCE_COLOR": "1"], nil, nil, 256, .mono, "NO_COLOR"),
      (["NO_COLOR": "1"], .always, nil, 256, .indexed256, "--color always"),
      (["NO_COLOR": "1"], .auto, .always, 256, .indexed256, "configuration always"),
      (["NO_COLOR": "1"], nil, .auto, 256, .mono, "NO_COLOR"),
      ([:], .never, .always, 256, .mono, "--color never"),
      (["CLICOLOR_FORCE": "1"], nil, nil, -1, .ansi16, "CLICOLOR_FORCE"),
      (["CLICOLOR_FORCE": "0"], nil, nil, -1, .mono, "terminfo"),
      (["FORCE_COLOR": "2"], nil, nil, 8, .indexed256, "FORCE_COLOR"),
      (["FORCE_COLOR": "0"], nil, nil, 256, .mono, "FORCE_COLOR"),
      ([:], .always, nil, 0, .ansi16, "--color always"),
    ] as [([String: String], ColorChoice?, ColorChoice?, Int, ColorDepth, String)])
  func authority(
    _ environment: [String: String], _ option: ColorChoice?, _ configuration: ColorChoice?, _ colors: Int, _ depth: ColorDepth,
    _ reason: String
  ) {
    let plan = ColorPlan(
      option: option, configuration: configuration, environment: environment, terminfoColors: colors, isTerminal: true)
    #expect(plan == ColorPlan(depth, reason: reason))
  }

  @Test func aPipeHasNoColour() {
    #expect(ColorPlan(option: nil, configuration: nil, environment: [:], terminfoColors: 256, isTerminal: false).depth == .mono)
  }

  @Test(
    arguments: [
      ("\u{1B}]11;rgb:ffff/ffff/ffff\u{1B}\\", [:], Appearance.light, "OSC 11"),
      ("\u{1B}]11;rgb:00/00/00\u{7}", ["COLORFGBG": "0;15"], .dark, "OSC 11"),
      ("]11;rgba:fdfd/f6f6/e3e3/ffff", [:], .light, "OSC 11"),
      (nil, ["COLORFGBG": "0;15"], .light, "COLORFGBG"),
      (nil, ["COLORFGBG": "15;default;0"], .dark, "COLORFGBG"),
      (nil, ["COLORFGBG": "0;default"], .dark, "default"),
      ("]11;nonsense", [:], .dark, "default"),
      (nil, [:], .dark, "default"),
    ] as [(String?, [String: String], Appearance, String)])
  func appearance(_ reply: String?, _ environment: [String: String], _ appearance: Appearance, _ reason: String) {
    #expect(AppearancePlan(option: nil, reply: reply, environment: environment) == AppearancePlan(appearance, reason: reason))
  }

  @Test func theUserDecidesAppearance() {
    #expect(AppearancePlan(option: .light, reply: "]11;rgb:0/0/0", environment: [:]).appearance == .light)
    #expect(AppearancePlan.color(ofReply: "]11;rgb:8080/0/f") == 0x8000FF)
    #expect(AppearancePlan.color(ofReply: "]11;rgb:12345/0/0") == nil)
  }

  @Test func charset() {
    #expect(GlyphSet(codeset: "UTF-8", forceASCII: false) == .utf8)
    #expect(GlyphSet(codeset: "utf8", forceASCII: true) == .ascii)
    #expect(GlyphSet(codeset: "ANSI_X3.4-1968", forceASCII: false) == .ascii)
  }

  @Test func glyphSetsMatchInWidth() {
    for glyphs in GlyphSet.allCases {
      let signs: [Character] =
        [
          glyphs.horizontal, glyphs.vertical, glyphs.selectionMark, glyphs.ellipsis, glyphs.caret, glyphs.cursorMark,
          glyphs.upperHalf,
        ] + glyphs.columns + glyphs.ramp + glyphs.divergingRamp + glyphs.eighths
      for sign in signs { #expect(Printable.width(of: String(sign)) == 1) }
    }
  }
}
