// A terminal as a program meets it: what bytes make of a grid of columns, and which modes they leave on. It knows what terminfo entries of
// xterm, screen, tmux, linux and vt100 send, asks the C library how wide a scalar is, and counts what a terminal would show broken.

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

public struct VirtualScreen {
  public private(set) var width: Int
  public private(set) var height: Int
  /// Private modes that are on (DECSET): 25 the cursor, 7 wrapping, 1049 the alternate screen, 1000 to 1006 the mouse, 2004 pastes.
  public private(set) var modes = VirtualScreen.modesAtFirst
  /// Glyphs that ran over the right edge, so that a terminal wraps or cuts them, and bytes that are no UTF-8.
  public private(set) var overruns = 0
  public private(set) var brokenBytes = 0
  /// Whether the keypad sends sequences of its own, and whether text is drawn plainly.
  public private(set) var hasKeypad = false
  public private(set) var isPlain = true
  /// Frames that were marked as whole (mode 2026).
  public private(set) var frames = 0
  /// Sequences that are not known, by their last byte.
  public private(set) var unknown: Set<String> = []
  /// What the terminal would say in return, to be taken away by whoever sends it.
  public var answers: [UInt8] = []
  /// Whether it says that it draws frames whole.
  public var isSynchronized = true

  public static let modesAtFirst: Set<Int> = [7, 25]

  /// `[rows][columns]`: a base with its marks; nil for the right half of a wide one.
  private var cells: [[String?]]
  private var main: [[String?]]?
  private var (x, y) = (0, 0)
  private var isPending = false
  private var kept = (x: 0, y: 0)
  private var margins: ClosedRange<Int>
  private var last: Unicode.Scalar?
  private var state = State.ground
  private var sequence: [UInt8] = []
  private var text: [UInt8] = []

  private enum State { case ground, escape, control, string, charset }

  public init(columns: Int, rows: Int) {
    (width, height) = (columns, rows)
    cells = VirtualScreen.blank(columns, rows)
    margins = 0...max(0, rows - 1)
    // Widths are those of the locale that the program runs in.
    setlocale(LC_CTYPE, "C.UTF-8")
  }

  private static func blank(_ columns: Int, _ rows: Int) -> [[String?]] {
    Array(repeating: Array(repeating: " ", count: columns), count: rows)
  }

  /// Rows as text, of which each fills the width.
  public var lines: [String] { cells.map { row in row.reduce(into: "") { $0 += $1 ?? "" } } }
  public var plainText: String { lines.joined(separator: "\n") }

  /// Columns of each row by the C library's widths: all are the screen's.
  public var widths: [Int] { lines.map { $0.unicodeScalars.reduce(0) { $0 + Self.width(of: $1) } } }

  /// As a terminal does it: what stands beyond the new edges is lost.
  public mutating func resize(columns: Int, rows: Int) {
    guard columns != width || rows != height else { return }
    func fitted(_ grid: [[String?]]) -> [[String?]] {
      (0..<rows).map { row in
        var line = grid.indices.contains(row) ? Array(grid[row].prefix(columns)) : []
        // Half of a wide glyph is none.
        if line.count < width, grid.indices.contains(row), grid[row][line.count] == nil { line[line.count - 1] = " " }
        return line + [String?](repeating: " ", count: columns - line.count)
      }
    }
    (cells, main) = (fitted(cells), main.map(fitted))
    (width, height) = (columns, rows)
    (x, y, isPending) = (min(x, columns - 1), min(y, rows - 1), false)
    margins = 0...max(0, rows - 1)
  }

  static func width(of scalar: Unicode.Scalar) -> Int {
    scalar.isASCII ? (0x20..<0x7F).contains(scalar.value) ? 1 : 0 : max(0, Int(libraryWidth?(wchar_t(scalar.value)) ?? 1))
  }

  /// `wcwidth`, which headers hide where only standard C is asked for.
  private static let libraryWidth: (@convention(c) (wchar_t) -> Int32)? = dlsym(nil, "wcwidth").map {
    unsafeBitCast($0, to: (@convention(c) (wchar_t) -> Int32).self)
  }

  // MARK: - Bytes

  public mutating func take(_ bytes: some Sequence<UInt8>) { for byte in bytes { take(byte) } }

  private mutating func take(_ byte: UInt8) {
    switch state {
    case .ground:
      if byte >= 0x20, byte != 0x7F { return takeText(byte) }
      flushText()
      control(byte)
    case .escape: escape(byte)
    case .charset: state = .ground
    case .control:
      if byte < 0x20 { return control(byte) }
      if (0x40...0x7E).contains(byte) {
        state = .ground
        perform(Character(Unicode.Scalar(byte)))
      } else {
        sequence.append(byte)
      }
    case .string:
      if byte == 7 || byte == UInt8(ascii: "\\") && sequence.last == 0x1B {
        state = .ground
      } else {
        sequence.append(byte)
      }
    }
  }

  private mutating func control(_ byte: UInt8) {
    switch byte {
    case 0x1B: state = .escape
    case 0x0D: (x, isPending) = (0, false)
    case 0x0A, 0x0B, 0x0C: lineFeed()
    case 0x08: (x, isPending) = (max(0, x - 1), false)
    case 0x09: (x, isPending) = (min(width - 1, (x / 8 + 1) * 8), false)
    default: break
    }
  }

  private mutating func escape(_ byte: UInt8) {
    (state, sequence) = (.ground, [])
    switch byte {
    case UInt8(ascii: "["): state = .control
    case UInt8(ascii: "]"), UInt8(ascii: "P"), UInt8(ascii: "_"), UInt8(ascii: "^"), UInt8(ascii: "k"): state = .string
    case UInt8(ascii: "("), UInt8(ascii: ")"), UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "%"), UInt8(ascii: "#"): state = .charset
    case UInt8(ascii: "7"): kept = (x, y)
    case UInt8(ascii: "8"): (x, y, isPending) = (min(kept.x, width - 1), min(kept.y, height - 1), false)
    case UInt8(ascii: "="): hasKeypad = true
    case UInt8(ascii: ">"): hasKeypad = false
    case UInt8(ascii: "M"): if y == margins.lowerBound { scroll(-1) } else { y = max(0, y - 1) }
    case UInt8(ascii: "D"): lineFeed()
    case UInt8(ascii: "E"):
      lineFeed()
      x = 0
    case UInt8(ascii: "\\"): break
    default: unknown.insert("ESC \(Character(Unicode.Scalar(byte)))")
    }
  }

  // MARK: - Text

  private mutating func takeText(_ byte: UInt8) {
    if byte < 0x80 {
      flushText()
      return put(Unicode.Scalar(byte))
    }
    if byte & 0xC0 == 0xC0 { flushText() }
    text.append(byte)
    let needed = text[0] >= 0xF0 ? 4 : text[0] >= 0xE0 ? 3 : text[0] >= 0xC0 ? 2 : 1
    guard text.count >= needed else { return }
    let scalars = Array(String(decoding: text, as: UTF8.self).unicodeScalars)
    if scalars.count != 1 || scalars[0] == "\u{FFFD}" { brokenBytes += 1 } else { put(scalars[0]) }
    text = []
  }

  private mutating func flushText() {
    if !text.isEmpty { brokenBytes += 1 }
    text = []
  }

  private mutating func put(_ scalar: Unicode.Scalar) {
    let columns = Self.width(of: scalar)
    guard width > 0, height > 0 else { return }
    guard columns > 0 else {
      let place = isPending ? x : x - 1
      guard place >= 0 else { return }
      let base = cells[y][place] == nil ? place - 1 : place
      if base >= 0 { cells[y][base] = (cells[y][base] ?? " ") + String(scalar) }
      return
    }
    if isPending || x + columns > width {
      overruns += 1
      if modes.contains(7) {
        x = 0
        lineFeed()
      } else {
        x = width - columns
      }
      isPending = false
    }
    erase(x..<x + columns)
    cells[y][x] = String(scalar)
    if columns == 2 { cells[y][x + 1] = nil }
    last = scalar
    x += columns
    // The corner is written with wrapping off.
    if x >= width { (x, isPending) = (width - 1, modes.contains(7)) }
  }

  /// Blanks columns of the cursor's row, and what is left of wide glyphs.
  private mutating func erase(_ columns: Range<Int>) {
    let columns = columns.clamped(to: 0..<width)
    guard !columns.isEmpty, cells.indices.contains(y) else { return }
    if cells[y][columns.lowerBound] == nil, columns.lowerBound > 0 { cells[y][columns.lowerBound - 1] = " " }
    if columns.upperBound < width, cells[y][columns.upperBound] == nil { cells[y][columns.upperBound] = " " }
    for column in columns { cells[y][column] = " " }
  }

  private mutating func lineFeed() {
    isPending = false
    if y == margins.upperBound { scroll(1) } else { y = min(height - 1, y + 1) }
  }

  private mutating func scroll(_ by: Int) {
    for _ in 0..<min(abs(by), margins.count) {
      let empty = [String?](repeating: " ", count: width)
      if by > 0 {
        cells.remove(at: margins.lowerBound)
        cells.insert(empty, at: margins.upperBound)
      } else {
        cells.remove(at: margins.upperBound)
        cells.insert(empty, at: margins.lowerBound)
      }
    }
  }

  // MARK: - Control sequences

  private mutating func perform(_ final: Character) {
    let body = String(decoding: sequence, as: UTF8.self)
    let isPrivate = body.hasPrefix("?")
    let numbers = body.drop { !$0.isNumber && $0 != ";" }.split(separator: ";", omittingEmptySubsequences: false).map {
      Int($0.prefix { $0.isNumber })
    }
    func number(_ place: Int, _ usual: Int) -> Int {
      numbers.indices.contains(place) ? numbers[place].map { max($0, min(usual, 1)) } ?? usual : usual
    }
    let count = number(0, 1)
    switch final {
    case "h" where isPrivate, "l" where isPrivate: for case let mode? in numbers { set(mode, final == "h") }
    case "h", "l", "t", "q", "n", "p": if body.hasSuffix("$"), final == "p" { answer("?2026;\(isSynchronized ? 2 : 0)$y") }
    case "c": if !isPrivate { answer("?64;22c") }
    case "m": isPlain = numbers.allSatisfy { $0 == nil || $0 == 0 || $0 == 10 || $0 == 39 || $0 == 49 }
    case "H", "f": move(number(1, 1) - 1, number(0, 1) - 1)
    case "d": move(x, count - 1)
    case "G", "`": move(count - 1, y)
    case "A": move(x, y - count)
    case "B", "e": move(x, y + count)
    case "C", "a": move(x + count, y)
    case "D": move(x - count, y)
    case "E": move(0, y + count)
    case "F": move(0, y - count)
    case "J": eraseScreen(number(0, 0))
    case "K":
      let columns = [0: x..<width, 1: 0..<x + 1, 2: 0..<width]
      erase(columns[number(0, 0)] ?? 0..<0)
    case "X": erase(x..<x + count)
    case "b": if let last { for _ in 0..<count { put(last) } }
    case "P", "@":
      guard cells.indices.contains(y) else { return }
      let part = Array(cells[y][x...])
      let blanks = [String?](repeating: " ", count: min(count, part.count))
      cells[y].replaceSubrange(x..., with: final == "P" ? part.dropFirst(count) + blanks : blanks + part.dropLast(blanks.count))
    case "L", "M":
      let all = margins
      margins = min(y, all.upperBound)...all.upperBound
      scroll(final == "M" ? count : -count)
      margins = all
    case "S": scroll(count)
    case "T": scroll(-count)
    case "r":
      let (top, bottom) = (number(0, 1) - 1, number(1, height) - 1)
      if !isPrivate, top < bottom, bottom < height { margins = top...bottom }
      move(0, 0)
    default: unknown.insert("CSI \(final)")
    }
  }

  private mutating func answer(_ text: String) { answers += Array("\u{1B}[\(text)".utf8) }

  private mutating func move(_ column: Int, _ row: Int) {
    (x, y, isPending) = (max(0, min(width - 1, column)), max(0, min(height - 1, row)), false)
  }

  private mutating func eraseScreen(_ part: Int) {
    let row = y
    if part == 0 { erase(x..<width) } else if part == 1 { erase(0..<x + 1) }
    let rows = [0: row + 1..<max(row + 1, height), 1: 0..<row, 2: 0..<height][part] ?? 0..<0
    for other in rows {
      y = other
      erase(0..<width)
    }
    y = row
  }

  private mutating func set(_ mode: Int, _ isOn: Bool) {
    if mode == 2026, isOn { frames += 1 }
    if [47, 1047, 1049].contains(mode), isOn != modes.contains(1049) {
      if isOn {
        main = cells
        cells = Self.blank(width, height)
      } else if let before = main {
        (cells, main) = (before, nil)
      }
      if isOn { modes.insert(1049) } else { modes.remove(1049) }
      return
    }
    if isOn { modes.insert(mode) } else { modes.remove(mode) }
  }
}
