// What each part of a screen looks like on this terminal: the only place where a meaning becomes a colour.
// Mono and sixteen colours are right first; no meaning is carried by colour alone, so each also has an attribute or a glyph.

/// The terminal's own background, as far as we know it.
public enum Appearance: String, Hashable, Sendable, CaseIterable {
  case dark
  case light
}

/// What a piece of the screen means.
public enum Role: String, Hashable, Sendable, CaseIterable {
  case text, dim, strong
  case title, titleFocused, border, borderFocused, footer
  case tab, tabActive
  case key, keyLabel, disabled
  case status, accent
  case selection, marked, match, cursor
  case warning, error, good, uncertain
  case input, placeholder
  case bar, barMuted
}

/// A heat cell: its look, and the glyph that carries the level where colour cannot.
public struct HeatCell: Hashable, Sendable {
  public let glyph: Character
  public let style: Style
}

/// Looks for roles and levels, resolved for one terminal.
public struct Theme: Hashable, Sendable {
  public var depth: ColorDepth
  public var appearance: Appearance
  public var glyphs: GlyphSet
  public var palette: PaletteName

  public init(
    depth: ColorDepth = .indexed256, appearance: Appearance = .dark, glyphs: GlyphSet = .utf8, palette: PaletteName = .viridis
  ) {
    self.depth = depth
    self.appearance = appearance
    self.glyphs = glyphs
    self.palette = palette
  }

  /// A fresh screen for this theme.
  public func buffer(_ size: Size) -> CellBuffer { CellBuffer(size: size, glyphs: glyphs) }

  public subscript(role: Role) -> Style {
    Style(foreground: foreground(role), background: background(role), attributes: attributes(role))
  }

  // MARK: Heat

  /// Levels a sequential scale has here: 64, 8, 3 to 5, or the glyph ramp.
  public var heatLevels: Int { depth == .mono ? glyphs.ramp.count : palette.colors(depth).count }

  /// Level of a share of the scale: 0 below and at its start, the last from its end on.
  public func heatLevel(_ share: Double) -> Int {
    Theme.level(share, of: heatLevels)
  }

  static func level(_ share: Double, of levels: Int) -> Int {
    share > 0 ? min(levels - 1, Int(min(share, 1) * Double(levels))) : 0
  }

  /// A heat cell for a share of the scale; a value that is missing gets a mark of its own.
  public func heat(_ share: Double?) -> HeatCell {
    guard let share, share.isFinite else { return HeatCell(glyph: "?", style: self[.dim]) }
    let level = heatLevel(share)
    if depth == .mono { return HeatCell(glyph: glyphs.ramp[level], style: .plain) }
    return HeatCell(glyph: " ", style: Theme.legible(on: palette.colors(depth)[level]))
  }

  /// Drawn on a heat cell whose value is over the scale; not a sign of the ramp.
  public var saturationMark: Character { depth == .mono && glyphs == .ascii ? "^" : "+" }

  /// A difference cell for a value from -1 to 1: five steps, no change in the middle.
  public func diverging(_ value: Double?) -> HeatCell {
    guard let value, value.isFinite else { return HeatCell(glyph: "?", style: self[.dim]) }
    let level = min(4, Int(min(max(value, -1), 1) * 2.5 + 2.5))
    let glyph = glyphs.divergingRamp[level]
    let colors = DivergingPalette.colors(depth)
    return HeatCell(glyph: glyph, style: colors.isEmpty ? .plain : Theme.legible(on: colors[level]))
  }

  /// The fixed look of the n-th run or expert, as a filled cell; always shown with its digit.
  public func category(_ index: Int) -> Style {
    let colors = CategoryPalette.colors(depth)
    guard !colors.isEmpty else { return .plain }
    return Theme.legible(on: colors[((index % colors.count) + colors.count) % colors.count])
  }

  /// A filled cell under the cursor: its colours exchanged, unless that would give it the colour of the page.
  public func cursor(on style: Style) -> Style {
    let turned = style.reversed.adding(.bold)
    guard appearance == .light, (style.foreground.lightness ?? 0) > 85 else { return turned }
    let black: Color =
      switch style.foreground.kind {
      case .direct: .direct(0)
      case .indexed(let index): .indexed(index < 16 ? 0 : 16)
      case .default: .default
      }
    return Style(foreground: style.foreground, background: black, attributes: style.attributes.union(.bold))
  }

  /// Black or white text on a filled cell, by L* > 60; as it is on the page, whose colour is not known.
  public static func legible(on background: Color) -> Style {
    if background == .default { return .plain }
    let bright = (background.lightness ?? 0) > 60
    let sixteen: Bool
    if case .indexed(let index) = background.kind { sixteen = index < 16 } else { sixteen = false }
    let foreground: Color
    if case .direct = background.kind {
      foreground = .direct(bright ? 0 : 0xFFFFFF)
    } else {
      foreground = sixteen ? .indexed(bright ? 0 : 15) : .indexed(bright ? 16 : 231)
    }
    return Style(foreground: foreground, background: background)
  }

  // MARK: Roles

  private func foreground(_ role: Role) -> Color {
    switch depth {
    case .mono: return .default
    case .ansi16: return sixteen(role).map(Color.indexed) ?? .default
    case .indexed256, .direct: return indexed(role).map(Color.indexed) ?? .default
    }
  }

  /// On a light background only the darker of the sixteen are readable; no blue on the dark one.
  private func sixteen(_ role: Role) -> UInt8? {
    let light = appearance == .light
    switch role {
    case .warning, .uncertain: return light ? 5 : 11
    case .error: return light ? 1 : 9
    case .good: return light ? nil : 10
    case .title, .titleFocused, .accent, .key: return light ? 4 : 14
    case .match: return light ? 5 : 11
    default: return nil
    }
  }

  private func indexed(_ role: Role) -> UInt8? {
    let light = appearance == .light
    switch role {
    case .dim, .footer, .placeholder, .disabled: return light ? 241 : 247
    case .border: return light ? 245 : 242
    case .borderFocused, .titleFocused: return light ? 24 : 117
    case .title, .accent, .key: return light ? 24 : 110
    case .warning, .uncertain: return light ? 130 : 215
    case .error: return light ? 124 : 210
    case .good: return light ? 22 : 114
    case .match: return light ? 90 : 219
    case .bar: return light ? 30 : 73
    case .barMuted: return light ? 244 : 243
    case .selection: return light ? 16 : 231
    case .tab: return light ? 240 : 248
    default: return nil
    }
  }

  private func background(_ role: Role) -> Color {
    guard depth >= .indexed256, role == .selection else { return .default }
    return .indexed(appearance == .light ? 153 : 24)
  }

  private func attributes(_ role: Role) -> Style.Attributes {
    switch role {
    case .titleFocused, .tabActive, .key, .strong, .error, .warning, .uncertain, .marked: .bold
    case .title: depth <= .ansi16 ? [] : .bold
    case .borderFocused: depth <= .ansi16 ? .bold : []
    case .selection: depth <= .ansi16 ? .reverse : .bold
    case .cursor: [.reverse, .bold]
    case .match: [.underline, .bold]
    case .input: .underline
    case .disabled, .placeholder: depth <= .ansi16 ? .dim : []
    default: []
    }
  }
}
