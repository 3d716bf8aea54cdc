// Integer geometry of a character grid: points, sizes, rectangles. What is drawn inside them is left to the widgets.

/// A cell address: `x` is the column, `y` the row, both from 0 at the top left.
public struct Point: Hashable, Sendable {
  public var x: Int
  public var y: Int

  public init(x: Int, y: Int) {
    self.x = x
    self.y = y
  }
}

/// Width and height in cells; never negative.
public struct Size: Hashable, Sendable, CustomStringConvertible {
  public var width: Int
  public var height: Int

  public init(width: Int, height: Int) {
    self.width = max(0, width)
    self.height = max(0, height)
  }

  public var description: String { "\(width)x\(height)" }

  /// Reads `120x40`; nil for anything else.
  public init?(_ text: String) {
    let parts = text.split(separator: "x", omittingEmptySubsequences: false)
    guard parts.count == 2, let width = Int(parts[0]), let height = Int(parts[1]), width >= 0, height >= 0 else { return nil }
    self.init(width: width, height: height)
  }

  /// The largest screen that is drawn: a terminal that says it is larger shows this much of it.
  public static let largestScreen = Size(width: 1000, height: 500)

  /// This size as far as it is drawn.
  public var drawn: Size { Size(width: min(width, Size.largestScreen.width), height: min(height, Size.largestScreen.height)) }

  /// Reads the size of a screen, `120x40`; nil for anything else, and beyond 1x1 to `largestScreen`.
  public init?(ofScreen text: String) {
    guard let size = Size(text), size.width > 0, size.height > 0, size.drawn == size else { return nil }
    self = size
  }

  /// True when both sides are at least those of `other`.
  public func holds(_ other: Size) -> Bool { width >= other.width && height >= other.height }
}

/// A rectangle of cells, half open: it covers `x ..< maxX` and `y ..< maxY`.
public struct Rect: Hashable, Sendable {
  public var x: Int
  public var y: Int
  public var width: Int
  public var height: Int

  public init(x: Int, y: Int, width: Int, height: Int) {
    self.x = x
    self.y = y
    self.width = max(0, width)
    self.height = max(0, height)
  }

  public init(size: Size) { self.init(x: 0, y: 0, width: size.width, height: size.height) }

  public static let zero = Rect(x: 0, y: 0, width: 0, height: 0)

  public var maxX: Int { x + width }
  public var maxY: Int { y + height }
  public var size: Size { Size(width: width, height: height) }
  public var isEmpty: Bool { width == 0 || height == 0 }
  public var columns: Range<Int> { x..<maxX }
  public var rows: Range<Int> { y..<maxY }
  public var origin: Point { Point(x: x, y: y) }

  public func contains(_ point: Point) -> Bool { columns.contains(point.x) && rows.contains(point.y) }

  /// The rectangle smaller by `dx` on the left and right and `dy` above and below; empty rather than negative.
  public func inset(dx: Int = 0, dy: Int = 0) -> Rect {
    Rect(x: x + dx, y: y + dy, width: width - 2 * dx, height: height - 2 * dy)
  }

  /// The rectangle without so many rows and columns at each edge; empty rather than negative.
  public func dropping(top: Int = 0, left: Int = 0, bottom: Int = 0, right: Int = 0) -> Rect {
    Rect(x: x + left, y: y + top, width: width - left - right, height: height - top - bottom)
  }

  /// One row of the rectangle, counted from its top; empty when there is no such row.
  public func row(_ index: Int) -> Rect {
    guard index >= 0, index < height else { return Rect(x: x, y: y, width: 0, height: 0) }
    return Rect(x: x, y: y + index, width: width, height: 1)
  }

  public func intersection(_ other: Rect) -> Rect {
    let left = max(x, other.x)
    let top = max(y, other.y)
    return Rect(x: left, y: top, width: min(maxX, other.maxX) - left, height: min(maxY, other.maxY) - top)
  }

  /// A rectangle of the wanted size in the middle of this one, cut to fit.
  public func centered(_ size: Size) -> Rect {
    let width = min(size.width, self.width)
    let height = min(size.height, self.height)
    return Rect(x: x + (self.width - width) / 2, y: y + (self.height - height) / 2, width: width, height: height)
  }
}
