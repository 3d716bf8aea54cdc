// The counts of a run that keeps nothing else, as safetensors or .npz: `counts.<layer>.step`, `.patch` and `.class`, as docs/contracts.md
// (export of routing) says. Conditional branch; classes in the order of the metadata.

import Formats
import Routing

extension TraceExport {
  func writeCounts(as format: Format, to path: String) throws {
    guard let counts = try trace.denoisingCounts(of: run) else {
      throw StoreError.damaged(file: trace.file, place: "run \(run.id)", problem: "counts alone were recorded, of no denoising run")
    }
    let classes = SampleClasses(SampleClasses.label, samples: counts.samples, sequences: try trace.sequences(run: run.id))
    var tensors: [TensorDeclaration] = []
    for router in counts.routerIDs {
      guard let width = counts.routers[router]?.expertCount else { continue }
      tensors += [
        .init("counts.\(router.layer).step", .i64, [counts.layout.stepCount, width]),
        .init("counts.\(router.layer).patch", .i64, [counts.layout.patchCount, width]),
        .init("counts.\(router.layer).class", .i64, [classes.names.count, width]),
      ]
    }
    let metadata =
      exportMetadata + [
        ("moetop.samples", String(counts.samples.count)), ("moetop.branch", "0"), ("moetop.classes", try TraceCoding.json(classes.names)),
      ]
    let writer = try tensorWriter(format, path, tensors, metadata: metadata)
    for router in counts.routerIDs {
      guard let tables = counts.routers[router] else { continue }
      try writer.append(counts.stepCounts(of: router).map(Int64.init), to: "counts.\(router.layer).step")
      try writer.append(counts.patchCounts(of: router).map(Int64.init), to: "counts.\(router.layer).patch")
      var byClass = Array(repeating: Int64(0), count: classes.names.count * tables.expertCount)
      for (sample, cell) in classes.cells {
        guard let own = tables.samples[sample] else { continue }
        for expert in own.counts.indices { byClass[Int(cell) * tables.expertCount + expert] += Int64(own.counts[expert]) }
      }
      try writer.append(byClass, to: "counts.\(router.layer).class")
    }
    try writer.finish()
  }
}
