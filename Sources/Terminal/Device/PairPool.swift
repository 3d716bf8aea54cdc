// Which number has a pair of colours? A terminal library has room for 65,535 pairs at most, and a picture in colours of 24 bits takes hundreds a
// frame. Numbers are given out until there are no more; then those that no cell of the frame at hand has are free again. (ncurses would give
// away the oldest, which the lines around every screen have.)

struct PairPool {
  struct Colors: Hashable {
    var foreground: Int32
    var background: Int32
  }

  private let last: Int32
  private var numbers: [Colors: Int32] = [:]
  private var next: Int32 = 1
  private var free: [Int32] = []

  /// - Parameter count: pairs that the terminal has, the first of which is nobody's.
  init(count: Int) { last = Int32(clamping: count - 1) }

  /// Numbers that are free.
  var room: Int { max(0, Int(last - next) + 1) + free.count }

  /// The number of a pair, and whether it is to be told of its colours; nil where there is none left.
  mutating func number(of colors: Colors) -> (number: Int32, isNew: Bool)? {
    if let known = numbers[colors] { return (known, false) }
    let number: Int32
    if let freed = free.popLast() {
      number = freed
    } else if next <= last {
      number = next
      next += 1
    } else {
      return nil
    }
    numbers[colors] = number
    return (number, true)
  }

  /// Frees the numbers of all others.
  mutating func keep(only kept: Set<Colors>) {
    for (colors, number) in numbers where !kept.contains(colors) {
      numbers[colors] = nil
      free.append(number)
    }
  }
}
