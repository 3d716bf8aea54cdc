// How a cell looks: two colours and a few attributes. What a look means is decided in Theme.

public struct Style: Hashable, Sendable {
  public struct Attributes: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    public static let bold = Attributes(rawValue: 1)
    public static let dim = Attributes(rawValue: 2)
    public static let underline = Attributes(rawValue: 4)
    public static let reverse = Attributes(rawValue: 8)
  }

  public var foreground: Color
  public var background: Color
  public var attributes: Attributes

  public init(foreground: Color = .default, background: Color = .default, attributes: Attributes = []) {
    self.foreground = foreground
    self.background = background
    self.attributes = attributes
  }

  public static let plain = Style()

  public func adding(_ attributes: Attributes) -> Style {
    var style = self
    style.attributes.formUnion(attributes)
    return style
  }

  /// This style with foreground and background exchanged: bold, dim and underline stay.
  public var reversed: Style {
    var style = self
    style.attributes.formSymmetricDifference(.reverse)
    return style
  }

  /// `over` laid on this style: its colours where it has any, attributes of both.
  public func merged(_ over: Style) -> Style {
    Style(
      foreground: over.foreground == .default ? foreground : over.foreground,
      background: over.background == .default ? background : over.background,
      attributes: attributes.union(over.attributes))
  }
}
