// Where the decisions of a run come from, and what one of its rows is.

/// Who made a record.
public enum RunKind: String, Hashable, Sendable, Codable, CaseIterable {
  /// This program's own engine.
  case engine
  /// A program that ran the model elsewhere and wrote a trace.
  case recorder
  /// Read from what another engine wrote.
  case `import`
  /// Joined of several runs.
  case merged

  /// Whether routes of some rows may be missing without a fault of the capture.
  public var mayLackRoutes: Bool { self != .engine }
}

/// What one decision is about.
public enum RowKind: String, Hashable, Sendable, Codable, CaseIterable {
  case token, patch, frame, sample, task, step, node, user

  /// Whether many rows make one input, so that neighbours and chance mean something.
  public var isManyOfOneInput: Bool { [.token, .patch, .frame].contains(self) }

  public var words: String { self == .patch ? "patches" : rawValue + "s" }
}

/// Where a run comes from.
public struct RunOrigin: Hashable, Sendable, Codable {
  public var kind: RunKind
  public var row: RowKind
  /// The format it was read from, e.g. `vllm`.
  public var format: String?
  /// The file, or the run as `FILE#RUN`, that it was read from.
  public var source: String?
  /// Relative error that the logits of the record may have, where they were rounded after the router had decided on them.
  public var logitError: Float?
  /// Whether token ids were left out.
  public var withoutIDs: Bool?

  public init(
    kind: RunKind = .engine, row: RowKind = .token, format: String? = nil, source: String? = nil, withoutIDs: Bool? = nil
  ) {
    self.kind = kind
    self.row = row
    self.format = format
    self.source = source
    self.withoutIDs = withoutIDs
  }
}
