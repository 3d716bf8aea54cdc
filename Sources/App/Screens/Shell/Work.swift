// What a screen wants computed aside, and how the answer comes back. The shell and the runner carry both without knowing what they are:
// the work names its lane, the answer knows where it belongs.

/// A computation for a screen. Work of a lane that is asked for later ends what is under way there.
protocol ScreenWork: Sendable {
  /// What later work of the same name takes the place of; nil: it is always done to its end.
  var lane: String? { get }
  /// Does it; called on another thread.
  func run(_ desk: WorkDesk)
}

/// What work has at hand.
struct WorkDesk: Sendable {
  let settings: SessionSettings
  /// Whether it is still wanted.
  let isWanted: @Sendable () -> Bool
  let post: @Sendable (any ScreenReport) -> Void
}

/// Something that work found, or how far it is.
protocol ScreenReport: Sendable {
  /// Takes the report into the model.
  func arrive(in model: inout AppModel) -> [Effect]
}
