// Which rows of a denoising run a metric looks at: those of one branch of guidance. The branches are two answers to the same noise, so
// pooling them would count one image twice and mix the two.

import Routing

extension RoutingPass {
  /// The rows of a branch as passes of neighbouring rows, in order; rows that the layout does not have are in no branch.
  ///
  /// Sums that the engine took over the rows of this pass are lost in its parts (`RoutingBatch.slice`).
  public func stretches(of branch: Int, in layout: DenoisingLayout) -> [RoutingPass] {
    let isWanted = tokens.position.indices.map { row in
      let position = Int(tokens.position[row])
      return tokens.phase[row] == .denoise && (0..<layout.rowsPerSample).contains(position)
        && layout.place(at: position).branch == branch
    }
    var parts: [RoutingPass] = []
    var start = 0
    while let first = isWanted[start...].firstIndex(of: true) {
      start = isWanted[first...].firstIndex(of: false) ?? isWanted.count
      parts.append(slice(first..<start))
    }
    return parts
  }
}
