// Texts that share a batch: where a rule counts rows over several sequences, none of them can be decided before all have come as far. Each
// sequence keeps a forward pass and a thread of its own, but one computes at a time: it goes as far as its next router, waits there, and lets
// the next one come. When all have arrived their rows are decided together, text by text, and each takes its own part home.

import Dispatch
import Foundation
import Routing

/// The sequences of one batch.
final class SharedBatch: Sendable {
  /// The place of one sequence, in the order of the rows.
  struct Seat: Sendable {
    let batch: SharedBatch
    let number: Int

    /// Waits until every sequence has come to this router, and decides about all of their rows where its rules count them.
    ///
    /// - Parameters:
    ///   - logits: `[rows, experts]`
    ///   - hashed: `[rows, topK]` where experts are looked up.
    ///   - ruled: its conditions asked; nil where nothing is changed.
    ///   - slots: experts a row has room for.
    /// - Returns: the decisions about the rows of this sequence, statistics included; nil where rows are not counted.
    func meet(
      _ router: Router, logits: UnsafePointer<Float>, hashed: UnsafePointer<Int32>?, rows: Int, ruled: RuledRows?, slots: Int
    ) -> RoutingBatch? {
      batch.meet(number, Question(router: router, logits: logits, hashed: hashed, rows: rows, ruled: ruled, slots: slots))
    }
  }

  /// What a sequence brings to a router. The logits stay where they are until it has its answer.
  private struct Question: @unchecked Sendable {
    let router: Router
    let logits: UnsafePointer<Float>
    let hashed: UnsafePointer<Int32>?
    let rows: Int
    let ruled: RuledRows?
    let slots: Int
  }

  private enum Place {
    /// May compute when its turn comes.
    case ready
    case waiting(Question)
    case left
  }

  private struct Table {
    var places: [Place]
    var answers: [RoutingBatch?]

    var next: Int? { places.firstIndex { if case .ready = $0 { true } else { false } } }

    /// Answers everybody who waits; they are ready then.
    mutating func answer() {
      var asked: [(number: Int, question: Question)] = []
      for (number, place) in places.enumerated() {
        if case .waiting(let question) = place {
          asked.append((number, question))
          places[number] = .ready
        }
      }
      for (entry, answer) in zip(asked, SharedBatch.decided(asked.map(\.question))) { answers[entry.number] = answer }
    }
  }

  private let table: Locked<Table>
  private let turns: [DispatchSemaphore]

  private init(_ count: Int) {
    table = Locked(Table(places: Array(repeating: .ready, count: count), answers: Array(repeating: nil, count: count)))
    turns = (0..<count).map { _ in DispatchSemaphore(value: 0) }
  }

  /// Calls `body` once for each of `count` sequences, each on a thread of its own, one at a time, and returns when all have.
  ///
  /// - Throws: what the first of them throws; then the others have been decided without it, and their results mean nothing.
  static func run(_ count: Int, _ body: (Seat) throws -> Void) throws {
    let batch = SharedBatch(count)
    let failures = Locked<[any Error]>([])
    let ended = DispatchGroup()
    withoutActuallyEscaping(body) { body in
      let work = Work(body)
      for seat in (0..<count).map({ Seat(batch: batch, number: $0) }) {
        ended.enter()
        Thread {
          batch.turns[seat.number].wait()
          do { try work.call(seat) } catch { failures.withLock { $0.append(error) } }
          batch.handOver(from: seat.number, .left)
          ended.leave()
        }.start()
      }
      batch.turns[0].signal()
      ended.wait()
      work.forget()
    }
    if let failure = failures.withLock({ $0.first }) { throw failure }
  }

  /// What every sequence does. A thread may live on for a moment after it has said that it is done: it keeps this, not the closure, which does
  /// not escape.
  ///
  /// `@unchecked Sendable`: one thread at a time touches it.
  private final class Work: @unchecked Sendable {
    private var body: ((Seat) throws -> Void)?

    init(_ body: @escaping (Seat) throws -> Void) { self.body = body }

    /// A function of its own, never inlined: a thread's reference to the closure is gone when it returns.
    @inline(never)
    func call(_ seat: Seat) throws { try body?(seat) }

    func forget() { body = nil }
  }

  private func meet(_ number: Int, _ question: Question) -> RoutingBatch? {
    handOver(from: number, .waiting(question))
    turns[number].wait()
    return table.withLock { $0.answers[number] }
  }

  /// Lets the next one compute.
  private func handOver(from number: Int, _ place: Place) {
    let next = table.withLock { table in
      table.places[number] = place
      if table.next == nil { table.answer() }
      return table.next
    }
    if let next { turns[next].signal() }
  }

  /// What one router decides about the rows of all of them.
  private static func decided(_ questions: [Question]) -> [RoutingBatch?] {
    let parts = questions.compactMap { question in question.ruled.map { (ruled: $0, count: question.rows) } }
    guard let first = questions.first, let rules = parts.first?.ruled.rules, rules.countsRows else {
      return questions.map { _ in nil }
    }
    precondition(parts.count == questions.count && parts.allSatisfy { $0.ruled.rules.router == rules.router }, "all at one router")
    let experts = first.router.spec.expertCount
    var (logits, hashed): ([Float], [Int32]) = ([], [])
    for question in questions {
      logits += UnsafeBufferPointer(start: question.logits, count: question.rows * experts)
      if let mine = question.hashed { hashed += UnsafeBufferPointer(start: mine, count: question.rows * first.router.spec.topK) }
    }
    var batch = RoutingBatch(
      router: rules.router, expertCount: experts, topK: first.slots, firstToken: 0, count: questions.reduce(0) { $0 + $1.rows })
    var ledger = CapacityLedger()
    logits.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      hashed.withUnsafeBufferPointer {
        first.router.decide(
          base, hashed: $0.baseAddress, ruled: .together(parts), demand: RoutingDemand(), ledger: &ledger, into: &batch)
      }
    }
    var start = 0
    return questions.map { question in
      defer { start += question.rows }
      return batch.slice(start..<start + question.rows)
    }
  }
}
