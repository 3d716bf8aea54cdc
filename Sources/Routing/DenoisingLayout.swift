// How the rows of a denoising run are laid out: which step, which branch of guidance and which patch a row of the token table is. A run
// of text has no layout. The place of a row follows from its position alone, so no column is stored for it.

/// The axes of a denoising run. Each sequence of the run is one sample (an image); its rows are its decisions in order of execution:
/// steps, within a step the branches, within a branch the patches row by row.
///
/// A model that decides once a sample and step (not once a patch) has a grid of 1 x 1.
public struct DenoisingLayout: Sendable, Codable, Equatable {
  /// Rule that leads from noise to image, e.g. `rectified flow` or `ddpm`.
  public var sampler: String
  /// `[steps]`: the model's own t of each step as it is fed to it, in order of execution (step 0 is the noisiest).
  public var timesteps: [Float]
  /// 1, or 2 under guidance: branch 0 is conditional on the class, branch 1 is not.
  public var branchCount: Int
  /// Grid of patches of one sample.
  public var patchRows: Int
  public var patchColumns: Int
  /// Factor of classifier-free guidance; 1 when there is no second branch.
  public var guidanceScale: Float

  public init(
    sampler: String, timesteps: [Float], branchCount: Int, patchRows: Int, patchColumns: Int, guidanceScale: Float
  ) {
    self.sampler = sampler
    self.timesteps = timesteps
    self.branchCount = branchCount
    self.patchRows = patchRows
    self.patchColumns = patchColumns
    self.guidanceScale = guidanceScale
  }

  public var stepCount: Int { timesteps.count }
  public var patchCount: Int { patchRows * patchColumns }
  /// Rows of one sample.
  public var rowsPerSample: Int { stepCount * branchCount * patchCount }

  /// - Throws: `RoutingError.invalidLayout` when a sample has no rows, or more than positions can count.
  public func validate() throws {
    func require(_ what: String, _ found: Int, _ limit: Int) throws {
      if !(1...limit).contains(found) { throw RoutingError.invalidLayout(expected: "1 to \(limit) \(what)", found: "\(found)") }
    }
    try require("steps", stepCount, 1 << 16)
    try require("branches", branchCount, 2)
    try require("rows of patches", patchRows, 1 << 12)
    try require("columns of patches", patchColumns, 1 << 12)
    try require("rows of a sample", rowsPerSample, Int(Int32.max))
  }

  /// - Throws: `RoutingError.invalidLayout` when tables by step and patch of so many experts would not fit a machine.
  public func validate(expertCount: Int) throws {
    try validate()
    let limit = 1 << 26
    let (entries, overflow) = max(stepCount, patchCount).multipliedReportingOverflow(by: expertCount)
    if overflow || entries > limit {
      throw RoutingError.invalidLayout(
        expected: "at most \(limit) steps or patches times experts", found: "\(max(stepCount, patchCount)) times \(expertCount)")
    }
  }

  /// Where the row at this position of its sample stands.
  /// - Precondition: 0 <= `position` < `rowsPerSample`.
  public func place(at position: Int) -> DenoisingPlace {
    let (pass, patch) = position.quotientAndRemainder(dividingBy: patchCount)
    return DenoisingPlace(
      step: pass / branchCount, branch: pass % branchCount, patchRow: patch / patchColumns, patchColumn: patch % patchColumns)
  }

  /// Position of the first patch of this step and branch.
  public func position(step: Int, branch: Int) -> Int { (step * branchCount + branch) * patchCount }
}

/// One row of a denoising run.
public struct DenoisingPlace: Sendable, Hashable {
  /// 0-based order of execution.
  public var step: Int
  /// 0: conditional, 1: unconditional.
  public var branch: Int
  public var patchRow: Int
  public var patchColumn: Int

  public init(step: Int, branch: Int, patchRow: Int, patchColumn: Int) {
    self.step = step
    self.branch = branch
    self.patchRow = patchRow
    self.patchColumn = patchColumn
  }
}
