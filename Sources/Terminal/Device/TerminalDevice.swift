// The door between a program of values and a real terminal: buffers go out, events come in. A device knows no screens and
// no actions; `CursesTerminal` is the real one, `MemoryTerminal` the one for tests, scripts and pictures.

/// What a device found out about its terminal.
public struct TerminalTraits: Hashable, Sendable {
  public var color: ColorPlan
  public var appearance: AppearancePlan
  public var glyphs: GlyphSet
  /// The terminfo entry in use.
  public var term: String
  /// Whether frames are bracketed so that the terminal shows them whole.
  public var isSynchronized: Bool
  /// Whether it was asked and answered that it shows pictures by kitty's protocol.
  public var showsPictures: Bool

  public init(
    color: ColorPlan, appearance: AppearancePlan, glyphs: GlyphSet, term: String, isSynchronized: Bool, showsPictures: Bool = false
  ) {
    self.color = color
    self.appearance = appearance
    self.glyphs = glyphs
    self.term = term
    self.isSynchronized = isSynchronized
    self.showsPictures = showsPictures
  }

  public func theme(palette: PaletteName = .viridis) -> Theme {
    Theme(depth: color.depth, appearance: appearance.appearance, glyphs: glyphs, palette: palette)
  }
}

/// A terminal to draw on and to listen to. Confined to the thread that made it; only its `Waker` may travel.
public protocol TerminalDevice: AnyObject {
  var size: Size { get }
  var traits: TerminalTraits { get }
  /// Calls the device from another thread: the next `poll` returns `.wake` at once.
  var waker: Waker { get }

  /// Shows a screen, with the text cursor at a place or hidden. Nothing is written when nothing changed.
  /// - Returns: whether anything was written.
  @discardableResult
  func present(_ screen: CellBuffer, cursor: Point?) throws -> Bool

  /// Shows pictures over the cells of the last frame, in place of those shown before.
  func place(_ pictures: [PlacedPicture]) throws

  /// The next event; nil when none came in time. Without a timeout it waits for one.
  func poll(timeout: Duration?) throws -> InputEvent?

  /// Forgets what the terminal shows, so that the next frame is drawn whole.
  func invalidate()

  func setMouse(_ on: Bool) throws

  /// Gives the screen back and stops the process as ^Z does; on return it is entered again and `.resumed` is queued.
  func suspend() throws

  /// Writes a control string as it is: the clipboard's.
  func send(_ control: String) throws

  /// Gives the terminal back. Safe to call again.
  func close()
}

extension TerminalDevice {
  @discardableResult
  public func present(_ screen: CellBuffer) throws -> Bool { try present(screen, cursor: nil) }
}
