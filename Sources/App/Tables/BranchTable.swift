// Learning to Branch (Guo, Lee and Ulbricht 2020, arXiv:2006.01895): each node of a level chooses its parent in the level above with a
// Gumbel-softmax over logits; after training the largest stays, which makes a tree with the tasks as leaves. A draw by Gumbel noise takes a
// parent with the probability that a softmax of the logits gives it, whatever the temperature. No code was published; this is a form of ours:
//
// | where | what |
// |---|---|
// | arrays `branches.0`, `branches.1`, … | [children, parents], logits; level 0 hangs below the roots, the children of the last are tasks |
// | one array of numpy.save | [children, parents]: one level, or [levels, children, parents] of equally many nodes |
// | settings `tasks` | names, where the file has them |

import Analysis
import Formats
import Foundation
import Routing

extension TableSystem {
  static let branching = TableSystem(
    name: "learning-to-branch", title: "Learning to Branch", paper: "2006.01895",
    reads: "arrays branches.0, branches.1, … [children, parents] of logits, the children of the last level tasks; or one such array",
    isRecognised: { !BranchTable.levels($0).isEmpty },
    table: BranchTable.table)
}

private enum BranchTable {
  /// One level: a row of probabilities for each child.
  private struct Level {
    var probabilities: [[Double]]
    var children: Int { probabilities.count }
    var parents: Int { probabilities.first?.count ?? 0 }
  }

  /// Arrays called `branches.N`, by N; or `branches`, all levels in one.
  static func levels(_ source: TableSource) -> [(number: Int, array: TableArray)] {
    let numbered = source.arrays.compactMap { array -> (Int, TableArray)? in
      if array.words.last == "branches" { return (0, array) }
      guard array.words.dropLast().last == "branches", let number = array.words.last?.placeInName else { return nil }
      return (number, array)
    }
    return numbered.sorted { $0.0 < $1.0 }
  }

  static func table(_ source: TableSource) throws -> RouteTable {
    let levels = try read(source)
    guard let last = levels.last else { throw source.lacks("a level of branches", hint: "branches.0 is the level below the roots") }
    let tasks = source.names("tasks", count: last.children, else: "task")
    var rows: [RouteTable.Row] = []
    for (number, level) in levels.enumerated() {
      var router = RouterID(stack: .alone, layer: 0)
      router.task = number
      let children = number == levels.count - 1 ? tasks : (0..<level.children).map { "node \($0)" }
      rows += zip(children, level.probabilities).map { RouteTable.Row(router, [.number(number), .word($0)], weights: $1) }
    }
    var table = RouteTable(.probability, axes: ["level", "child"], rows: rows)
    let chosen = Dictionary(grouping: rows, by: { $0.router.task ?? 0 }).mapValues { $0.map { ($0.chosen, $0.weights[$0.chosen]) } }
    table.paths = tasks.indices.map { task in
      var (nodes, probability, node) = ([Int](), 1.0, task)
      for level in levels.indices.reversed() {
        guard let (parent, weight) = chosen[level]?[node] else { continue }
        nodes.insert(parent, at: 0)
        probability *= weight
        node = parent
      }
      return RouteTable.Path(task: tasks[task], nodes: nodes, probability: probability)
    }
    let used = levels.indices.map { level in Set(table.paths.map { $0.nodes[level] }).count }
    table.facts = [
      ("levels", "", .whole(levels.count)), ("nodes", "", .whole(levels.reduce(0) { $0 + $1.parents })),
      ("nodes_with_tasks", "those with a task below them", .whole(used.reduce(0, +))),
    ]
    table.notes = [
      "no layout is published: this is the form of docs/contracts.md; probabilities are a softmax of the logits, a path's is their product"
    ]
    return table
  }

  /// The levels from the root on, each hanging below the one before.
  private static func read(_ source: TableSource) throws -> [Level] {
    let named = levels(source)
    guard named.map(\.number) == Array(0..<named.count) else {
      let numbers = named.map { "\($0.number)" }.joined(separator: ", ")
      throw FormatError.malformed(
        file: source.path, place: "branches", problem: "expected one of each level from 0 on, found those of \(numbers)",
        hint: "branches.0 hangs below the roots")
    }
    var read: [Level] = []
    for array in named.isEmpty ? try alone(source) : named.map(\.array) {
      let shape = array.shape
      let whole = shape.count == 3 ? shape : [1] + (try array.require(rank: 2, "[children, parents]").shape)
      guard whole.allSatisfy({ $0 > 0 }) else { throw array.unexpected("[children, parents]") }
      let logits = try array.numbers()
      try source.requireCells([logits.count], "\(Show.grouped(logits.count)) logits")
      for level in 0..<whole[0] {
        let (children, parents) = (whole[1], whole[2])
        if let above = read.last, above.children != parents {
          throw array.unexpected("\(above.children) parents, as many as the level above has children")
        }
        read.append(
          Level(
            probabilities: try (0..<children).map { child in
              let start = (level * children + child) * parents
              guard let shares = RouterDistribution.softmax(logits[start..<start + parents]) else {
                throw array.unexpected("finite logits")
              }
              return shares
            }))
      }
    }
    return read
  }

  /// The only array, of a file that has no names.
  private static func alone(_ source: TableSource) throws -> [TableArray] {
    guard source.arrays.count == 1 else {
      throw source.lacks("arrays branches.0, branches.1, … [children, parents]", hint: "one array alone may have any name")
    }
    return source.arrays
  }
}
