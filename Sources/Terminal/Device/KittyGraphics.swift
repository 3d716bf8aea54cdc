// Pictures by kitty's protocol: which bytes show them, move them and take them away. Pure functions; the terminal is asked first whether it
// knows the protocol, and never asked to answer to a picture.

/// A picture over cells.
public struct PlacedPicture: Hashable, Sendable {
  public var picture: PixelView
  public var area: Rect

  public init(_ picture: PixelView, in area: Rect) { (self.picture, self.area) = (picture, area) }
}

public enum KittyGraphics {
  /// Bytes of base64 in one piece: the most that the protocol allows.
  static let piece = 4096
  /// Bytes up to which a small picture is enlarged first: terminals blur what they enlarge, and a frame is to stay quick over a slow line.
  static let mostEnlarged = 16_384
  /// The number of the first picture; others of the same terminal count from 1 on.
  static let firstID = 0x6D_6F65

  private static let start = "\u{1B}_G"
  private static let end = "\u{1B}\\"

  /// Asks whether the protocol is known, by one pixel that is not kept. The answer ends in `;OK`.
  static let question = "\(start)i=\(firstID),s=1,v=1,a=q,t=d,f=24;AAAA\(end)"

  /// What turns the pictures that are shown into others: those that went are deleted, those that are new or changed are sent. A picture has
  /// the number of its place in the list; one that is sent under the number of another takes its place without a gap.
  static func changes(from old: [PlacedPicture], to new: [PlacedPicture]) -> String {
    var text = ""
    for place in new.indices where !old.indices.contains(place) || old[place] != new[place] {
      // Elsewhere: the old place would stay.
      if old.indices.contains(place), old[place].area != new[place].area { text += delete(firstID + place) }
      text += show(new[place], id: firstID + place)
    }
    for place in old.indices.dropFirst(new.count) { text += delete(firstID + place) }
    return text
  }

  /// Takes a picture away and forgets it.
  static func delete(_ id: Int) -> String { "\(start)a=d,d=I,i=\(id),q=2\(end)" }

  /// Sends a picture in 24 bits a pixel, to fill its area; the cursor stays where it is.
  static func show(_ placed: PlacedPicture, id: Int) -> String {
    let area = placed.area
    guard placed.picture.width > 0, placed.picture.height > 0, !area.isEmpty else { return "" }
    let picture = placed.picture.enlarged(by: factor(of: placed))
    let data = Array(ClipboardPlan.base64(picture.pixels).utf8)
    var text = "\u{1B}7\u{1B}[\(area.y + 1);\(area.x + 1)H"
    var rest = data[...]
    var control = "a=T,f=24,s=\(picture.width),v=\(picture.height),i=\(id),p=1,c=\(area.width),r=\(area.height),C=1,q=2,"
    repeat {
      let part = rest.prefix(piece)
      rest = rest.dropFirst(part.count)
      text += "\(start)\(control)m=\(rest.isEmpty ? 0 : 1);\(String(decoding: part, as: UTF8.self))\(end)"
      control = ""
    } while !rest.isEmpty
    return text + "\u{1B}8"
  }

  /// As many pixels a side as a cell has at most, and as fit.
  private static func factor(of placed: PlacedPicture) -> Int {
    let (width, bytes) = (placed.picture.width, placed.picture.pixels.count)
    var factor = max(1, placed.area.width * 8 / width)
    while factor > 1, bytes * factor * factor > mostEnlarged { factor -= 1 }
    return factor
  }
}
