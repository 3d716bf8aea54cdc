// MOORE (Hendawy et al. 2024, arXiv:2311.11385): a task's weights of orthogonal experts. `_task_encoder` is a linear layer over the task's
// one-hot vector, so its columns are the table; no softmax follows, and weights are signed. Layout: AhmedMagdyHendawy/MOORE@a7550c5,
// moore/utils/networks_ppo.py and networks_sac.py.
//
// | tensor | shape | |
// |---|---|---|
// | `…_task_encoder.weight` | [experts, tasks] | of each network (actor, critics); alone `weight`, as save_task_encoder writes it |
// | `…_task_encoder.bias` | [experts] | where the encoder has one |
// | `features` | [experts, samples, width] | not saved by the authors: outputs of OrthogonalLayer1D, for the Gram matrix |

import Analysis
import Formats
import Routing

extension TableSystem {
  static let moore = TableSystem(
    name: "moore", title: "MOORE", paper: "2311.11385",
    reads: "tensors …_task_encoder.weight [experts, tasks], or weight alone (actor_task_encoder.pth)",
    isRecognised: { !$0.arrays(ending: "_task_encoder", "weight").isEmpty },
    table: MOORETable.table)
}

private enum MOORETable {
  /// As far from orthonormal as f32 leaves vectors after Gram-Schmidt.
  static let gramTolerance = 1e-4

  static func table(_ source: TableSource) throws -> RouteTable {
    var encoders = source.arrays(ending: "_task_encoder", "weight")
    if encoders.isEmpty { encoders = source.arrays.filter { $0.words == ["weight"] } }
    guard let first = encoders.first else {
      throw source.lacks(
        "a tensor _task_encoder.weight [experts, tasks]", hint: "torch.save(network.state_dict(), FILE) of a network of MOORE has one")
    }
    var rows: [RouteTable.Row] = []
    for (number, encoder) in encoders.enumerated() {
      rows += try self.rows(encoder, tower: encoders.count > 1 ? tower(encoder, number) : nil, source)
    }
    var table = RouteTable(.signed, axes: ["task"], rows: rows)
    try gram(source, experts: first.shape[0], into: &table)
    let repelled = rows.count { row in row.weights.contains { -$0 > abs(row.weights[row.chosen]) } }
    table.facts.append(("repelled", "rows whose strongest weight is negative", .whole(repelled)))
    table.notes.append("weights are signed and sum to nothing fixed: no shares and no entropy; the first choice is the largest weight")
    return table
  }

  /// The columns of one encoder.
  private static func rows(_ encoder: TableArray, tower: String?, _ source: TableSource) throws -> [RouteTable.Row] {
    let shape = try encoder.require(rank: 2, "[experts, tasks]").shape
    let (experts, tasks) = (shape[0], shape[1])
    try source.requireCells([experts, tasks], "\(tasks) tasks and \(experts) experts")
    let weights = try encoder.numbers()
    var bias = [Double](repeating: 0, count: experts)
    if let found = source.arrays.first(where: { $0.words == encoder.words.dropLast() + ["bias"] }) {
      guard found.shape == [experts] else { throw found.unexpected("[\(experts)], a number for each expert of \(encoder.name)") }
      bias = try found.numbers()
    }
    var router = RouterID(stack: .alone, layer: 0)
    router.tower = tower
    return source.names("tasks", count: tasks, else: "task").enumerated().map { task, name in
      RouteTable.Row(router, [.word(name)], weights: (0..<experts).map { weights[$0 * tasks + task] + bias[$0] })
    }
  }

  /// What leads to an encoder as a word of a router's path: `critic_0` of `critic_0_state_dict._task_encoder.weight`.
  private static func tower(_ encoder: TableArray, _ number: Int) -> String {
    var word = encoder.words.dropLast(2).joined(separator: "_").lowercased()
    if let end = word.range(of: "_state_dict") { word.removeSubrange(end) }
    let isWord = word.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 95 }
    return isWord && word.first?.isLetter == true ? word : "network_\(number)"
  }

  private static func gram(_ source: TableSource, experts: Int, into table: inout RouteTable) throws {
    let said = "largest deviation of the experts' Gram matrix from the identity"
    guard let features = source.arrays(ending: "features").first else {
      table.facts.append(("gram_deviation", said, .missing))
      table.notes.append(
        "the Gram matrix is one of outputs for a state, which no weights hold: save what OrthogonalLayer1D returns as features "
          + "[experts, samples, width] beside them")
      return
    }
    let shape = try features.require(rank: 3, "[experts, samples, width]").shape
    guard shape[0] == experts else { throw features.unexpected("[\(experts), samples, width], as many as the task encoder has experts") }
    let vectors = try features.numbers()
    try source.requireCells([experts, experts], "\(experts) x \(experts) products")
    let deviation = gramDeviation(vectors, count: experts, samples: shape[1], width: shape[2])
    table.facts.append(("gram_deviation", said, .number(deviation)))
    table.facts.append(("gram_samples", "samples that it is the largest of", .whole(shape[1])))
    table.facts.append(("orthonormal", "within \(gramTolerance)", .flag(deviation <= gramTolerance)))
  }
}
