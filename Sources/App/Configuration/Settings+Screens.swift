// How do the screens begin? As was settled: keys, colours, signs, threshold, window, speed.

import Terminal

extension AppModel {
  /// - Parameters:
  ///   - theme: what the terminal allows.
  ///   - showsPictures: whether the terminal shows pictures by itself; what does not gets them in cells.
  init(size: Size, theme: Theme, settings: Settings, showsPictures: Bool = false) {
    self.init(size: size, theme: theme, keys: settings.keys)
    self.theme.palette = settings.palette
    (mouse, threshold, rate, pictures) = (settings.mouse, settings.threshold, settings.rate, settings.pictures)
    if pictures == .kitty, !showsPictures { pictures = .auto }
    window = settings.window
  }
}

extension Settings {
  /// What is asked of the terminal.
  var terminal: TerminalOptions {
    var options = TerminalOptions()
    // What an option says stands above NO_COLOR and the like, and so does what was configured; their words differ.
    if case .option = origins["color"] { options.color = color } else { options.configuredColor = color }
    options.appearance = appearance
    (options.forcesASCII, options.mouse, options.directColor) = (ascii, mouse, truecolor)
    options.asksForPictures = pictures == .kitty
    return options
  }

  /// Nil: to be found out.
  var appearance: Appearance? { Appearance(rawValue: theme.rawValue) }

  /// A theme for where there is no terminal to ask.
  var scriptTheme: Theme {
    Theme(depth: color == .never ? .mono : .indexed256, appearance: appearance ?? .dark, glyphs: ascii ? .ascii : .utf8, palette: palette)
  }
}
