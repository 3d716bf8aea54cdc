// What a live session makes when nobody has asked for anything: an image of one class after the other, each from a seed of its own.

struct ClassFeed: Sendable, Equatable {
  /// Classes that are made in turn.
  private let classes: [Int]
  private var place = 0
  private var seed: UInt64

  /// - Parameters:
  ///   - classes: nil when there are none.
  ///   - seed: of the first image; each takes the one after.
  init?(_ classes: [Int], seed: UInt64) {
    guard !classes.isEmpty else { return nil }
    (self.classes, self.seed) = (classes, seed)
  }

  mutating func next() -> SampleRequest {
    defer {
      place += 1
      seed &+= 1
    }
    return SampleRequest(classIndex: classes[place % classes.count], seed: seed)
  }
}

/// Work that never ends, for an engine that has nothing else to do.
enum EngineFeed: Sendable, Equatable {
  case texts(PromptFeed)
  case classes(ClassFeed)

  mutating func next() -> EngineRequest {
    switch self {
    case .texts(var feed):
      defer { self = .texts(feed) }
      return .generate(feed.next())
    case .classes(var feed):
      defer { self = .classes(feed) }
      return .denoise(feed.next())
    }
  }
}
