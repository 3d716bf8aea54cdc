// Which of the checkpoints found can be opened here, as far as their headers say? One list for `moetop models`, for folders of models
// and for the screen that opens one.

import Model

/// Found checkpoints with what their headers say.
struct ModelListing: Sendable {
  struct Row: Sendable {
    var found: ModelPlaces.Found
    /// Nil for a place that could not be looked into.
    var summary: ModelSummary?

    var obstacle: String? { found.problem ?? summary?.obstacle }
  }

  let rows: [Row]

  init(rows: [Row]) { self.rows = rows }

  init(_ found: [ModelPlaces.Found]) {
    rows = found.map { Row(found: $0, summary: $0.problem == nil ? ModelSummary(path: $0.path) : nil) }
  }
}
