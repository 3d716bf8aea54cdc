// Sixty seconds through the bundled models: a newcomer then knows what a router is, what uncertainty is, and what a specialist is. Every
// stop is a place of the program as it is, with words over it; a key goes on, or leaves the tour and stays where it is.

import Routing
import Terminal

/// A walk through the screens.
struct Tour: Sendable {
  /// A place on the way.
  struct Stop: Sendable {
    let seconds: Double
    let title: String
    let words: String
    /// Goes there.
    let arrive: @Sendable (inout AppModel) -> [Effect]
  }

  let stops: [Stop]
  private(set) var place = -1
  /// When the present stop was reached.
  private(set) var since = 0.0

  /// - Parameters:
  ///   - text: a model that continues texts; it is open already.
  ///   - images: one that makes images; without it that stop is left out.
  init(text: String, images: String?) {
    var stops = Self.ofText
    if let images { stops.append(Self.ofImages(images)) }
    stops.append(Self.end(text))
    self.stops = stops
  }

  var stop: Stop? { stops.indices.contains(place) ? stops[place] : nil }
  var isOver: Bool { place >= stops.count }
  /// When the next stop comes by itself.
  var due: Double { since + (stop?.seconds ?? 0) }

  mutating func go(to next: Int, now: Double) { (place, since) = (next, now) }

  // MARK: - The stops

  private static let ofText: [Stop] = [
    Stop(
      seconds: 9, title: "What a router is",
      words: "A small language model is writing. Each row is one of its layers, each column an expert: a piece of the layer that only some "
        + "tokens pass. For every token a router scores all experts of its layer, and the best two do the work. Brighter: more tokens."
    ) { _ in [] },
    Stop(
      seconds: 7, title: "Load",
      words: "If routers cared for nothing, every expert would get the same share: it is marked on the scale. What is far above it is a "
        + "habit of the router. The numbers at the right stand beside what chance would make of as many tokens."
    ) { model in
      (model.router, model.expert) = (min(2, max(0, model.routers.count - 1)), 0)
      model.rate = nil
      return model.isLive ? [.engine(.limitRate(nil))] : []
    },
    Stop(
      seconds: 8, title: "One token",
      words: "This is a single token on its way through the layers. Digits are the experts that took it, 0 the first choice; heat is how "
        + "probable the router found each. Margin says how near another expert was."
    ) { model in
      if let row = model.row { model.look(at: max(model.shownRows.lowerBound, row - 12)) }
      return model.go(.token)
    },
    Stop(
      seconds: 9, title: "Uncertainty",
      words:
        "Sometimes the router can hardly tell experts apart: its entropy, Ĥ, is near 1. Those tokens are listed, the worst first. It may "
        + "mean a wrong choice, and it may mean nothing: a rule that acts on them, beside a control, tells which."
    ) { model in
      model.selected = nil
      return model.go(.uncertainty)
    },
    Stop(
      seconds: 9, title: "Specialists",
      words:
        "Do experts follow what a text is about? Columns are kinds of text. The effect stands beside a null made by shuffling, because "
        + "with few texts chance alone looks like order."
    ) { $0.go(.specialization) },
    Stop(
      seconds: 9, title: "What an expert is for",
      words: "The card of one expert: which tokens it takes more often than chance, where it weighs most, with whom it works. Whether it "
        + "matters is another question: masking it, beside its neighbours, answers that."
    ) { $0.go(.experts) },
  ]

  private static func ofImages(_ path: String) -> Stop {
    Stop(
      seconds: 7, title: "Images",
      words: "The same in a model that makes pictures: here patches of the image are routed, at every step from noise to picture. Some "
        + "experts begin, others finish."
    ) { model in
      model.rate = 6
      return [.open(path)]
    }
  }

  private static func end(_ text: String) -> Stop {
    Stop(
      seconds: 2, title: "That was it",
      words: "Everything here is a key away, and every view can be had from the shell. You are in the program now."
    ) { _ in [] }
  }
}

extension AppModel {
  /// Goes to a stop of the tour, or ends it.
  mutating func visit(_ place: Int) -> [Effect] {
    guard var walk = tour else { return [] }
    walk.go(to: place, now: now)
    tour = walk.isOver ? nil : walk
    guard let stop = tour?.stop else {
      say("the tour is over: \(key(.help)) shows all keys, \(key(.open)) opens models, \(key(.prompt)) types a prompt", seconds: 20)
      return []
    }
    return stop.arrive(&self)
  }

  /// A tour begins when there is something to see.
  mutating func beginTour() -> [Effect] {
    guard let tour, tour.place < 0, (buffer?.end ?? 0) > 0 else { return [] }
    return visit(0)
  }

  /// A step of the clock: the next stop when its time has come.
  mutating func walk() -> [Effect] {
    guard let tour, tour.stop != nil, now >= tour.due else { return [] }
    return visit(tour.place + 1)
  }

  /// What a key does on the tour; nil: it ends, and the key does what it always does.
  mutating func walk(_ key: KeyEvent) -> [Effect]? {
    guard let tour else { return nil }
    switch key {
    case .char(" "), .enter, .right: return visit(tour.place + 1)
    case .left, .backspace: return visit(max(0, tour.place - 1))
    case .escape:
      self.tour = nil
      say("left the tour: \(self.key(.help)) shows all keys", seconds: 8)
      return []
    default:
      self.tour = nil
      return nil
    }
  }
}

extension Painter {
  /// The words of the stop, over the lower part of the screen.
  mutating func drawTour(in body: Rect) {
    guard let tour = model.tour, let stop = tour.stop else { return }
    let width = min(96, body.width)
    let lines = wrapped(stop.words, width - 4)
    let height = min(body.height, lines.count + 2)
    let area = Rect(x: body.x + (body.width - width) / 2, y: body.maxY - height, width: width, height: height)
    let panel = Panel(
      StyledText("\(tour.place + 1) of \(tour.stops.count) · \(stop.title)"),
      footer: "space goes on · ← goes back · esc leaves the tour · any other key too, and works", isFocused: true)
    let inner = panel.draw(into: &screen, area, theme: theme)
    for (index, text) in lines.prefix(inner.height).enumerated() { line(index, StyledText(text, .strong), in: inner.dropping(left: 1)) }
  }
}
