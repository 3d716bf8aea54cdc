// A terminal without a terminal: events are put in by hand, screens are kept. For tests, session scripts and pictures.

public final class MemoryTerminal: TerminalDevice {
  public var size: Size
  public var traits: TerminalTraits
  public let waker = Waker.silent
  /// Events that `poll` will return, first first.
  public var events: [InputEvent]

  public private(set) var screen: CellBuffer
  public private(set) var cursor: Point?
  /// Frames that would have been written; a present without a change is none.
  public private(set) var writes = 0
  /// Cells sent in all frames.
  public private(set) var cellsWritten = 0
  public private(set) var presents = 0
  public private(set) var sent: [String] = []
  public private(set) var pictures: [PlacedPicture] = []
  public private(set) var suspensions = 0
  public private(set) var mouseIsOn = true
  public private(set) var isClosed = false
  /// Set to make the next writes fail as on a lost terminal.
  public var isGone = false
  private var mustClear = true

  public init(size: Size, theme: Theme = Theme(), events: [InputEvent] = []) {
    self.size = size
    self.events = events
    screen = CellBuffer(size: size, glyphs: theme.glyphs)
    traits = TerminalTraits(
      color: ColorPlan(theme.depth, reason: "memory"), appearance: AppearancePlan(theme.appearance, reason: "memory"),
      glyphs: theme.glyphs, term: "memory", isSynchronized: false)
  }

  @discardableResult
  public func present(_ screen: CellBuffer, cursor: Point?) throws -> Bool {
    guard !isGone else { throw TerminalError.gone }
    presents += 1
    let runs = screen.runs(from: self.screen)
    guard mustClear || !runs.isEmpty || cursor != self.cursor else { return false }
    writes += 1
    cellsWritten += mustClear ? screen.size.width * screen.size.height : runs.reduce(0) { $0 + $1.columns.count }
    mustClear = false
    self.screen = screen
    self.cursor = cursor
    return true
  }

  /// The next event put in; `.eof` when there is none and no timeout, nil otherwise.
  public func poll(timeout: Duration?) throws -> InputEvent? {
    guard !events.isEmpty else { return timeout == nil ? .eof : nil }
    let event = events.removeFirst()
    if case .resize(let size) = event {
      self.size = size
      mustClear = true
    }
    return event
  }

  public func invalidate() { mustClear = true }
  public func place(_ pictures: [PlacedPicture]) throws { self.pictures = pictures }
  public func setMouse(_ on: Bool) throws { mouseIsOn = on }
  public func send(_ control: String) throws { sent.append(control) }
  public func close() { isClosed = true }

  public func suspend() throws {
    suspensions += 1
    invalidate()
    events.insert(.resumed, at: 0)
  }
}

extension ColorPlan {
  /// A plan that was decided elsewhere.
  public init(_ depth: ColorDepth, reason: String) {
    self.depth = depth
    self.reason = reason
  }
}

extension AppearancePlan {
  /// A plan that was decided elsewhere.
  public init(_ appearance: Appearance, reason: String) {
    self.appearance = appearance
    self.reason = reason
  }
}
