// In which order do pairs merge? Lowest rank first, leftmost first among equals, until no neighbours have a rank. Short words look for
// the lowest rank by walking; long ones (pieces of tokenizers without a pre-tokenizer) keep a linked list and a heap.

import Formats

/// The ranked merges: pair of ids to rank and merged id.
struct MergeTable: Sendable {
  private struct Merge {
    var left: Int32
    var right: Int32
    var merged: Int32
  }

  /// By rank.
  private var merges: ContiguousArray<Merge> = []
  private var index: HashIndex

  /// Room for `count` merges.
  init(reserving count: Int) {
    index = HashIndex(reserving: count)
    merges.reserveCapacity(count)
  }

  /// Adds the merge of the next rank; a pair given twice keeps the later rank.
  mutating func append(left: Int32, right: Int32, merged: Int32) {
    if merges.count >= index.limit {
      let old = self
      index = HashIndex(reserving: 2 * merges.count)
      for (rank, merge) in merges.enumerated() where old.rank(merge.left, merge.right) == rank {
        index.insert(rank, hash: pairHash(merge.left, merge.right))
      }
    }
    let hash = pairHash(left, right)
    if let earlier = rank(left, right) {
      index.replace(earlier, by: merges.count, hash: hash)
    } else {
      index.insert(merges.count, hash: hash)
    }
    merges.append(Merge(left: left, right: right, merged: merged))
  }

  /// For each id below `limit`, whether some merge results in it.
  func made(below limit: Int) -> [Bool] {
    var made = Array(repeating: false, count: limit)
    for merge in merges { made[Int(merge.merged)] = true }
    return made
  }

  @inline(__always)
  private func rank(_ left: Int32, _ right: Int32) -> Int? {
    index.find(pairHash(left, right)) { merges[$0].left == left && merges[$0].right == right }
  }

  /// Rank and result of merging two neighbours; rank `UInt32.max` when they do not merge.
  @inline(__always)
  private func lookup(_ left: Int32, _ right: Int32) -> (rank: UInt32, merged: Int32) {
    rank(left, right).map { (UInt32(truncatingIfNeeded: $0), merges[$0].merged) } ?? (.max, -1)
  }

  /// Merges `symbols` in place as far as the table goes.
  func merge(_ symbols: inout ContiguousArray<Int32>, _ scratch: EncodingScratch) {
    guard symbols.count > 1 else { return }
    if symbols.count <= 40 { mergeByWalking(&symbols) } else { mergeByHeap(&symbols, &scratch.heap) }
  }

  private func mergeByWalking(_ symbols: inout ContiguousArray<Int32>) {
    var count = symbols.count
    symbols.withUnsafeMutableBufferPointer { symbols in
      withUnsafeTemporaryAllocation(of: (rank: UInt32, merged: Int32).self, capacity: count) { pairs in
        for index in 0..<(count - 1) { pairs[index] = lookup(symbols[index], symbols[index + 1]) }
        while count > 1 {
          var best = 0
          for index in 1..<(count - 1) where pairs[index].rank < pairs[best].rank { best = index }
          if pairs[best].rank == .max { break }
          symbols[best] = pairs[best].merged
          count -= 1
          for index in (best + 1)..<max(best + 1, count) { symbols[index] = symbols[index + 1] }
          for index in best..<max(best, count - 1) { pairs[index] = pairs[index + 1] }
          if best > 0 { pairs[best - 1] = lookup(symbols[best - 1], symbols[best]) }
          if best < count - 1 { pairs[best] = lookup(symbols[best], symbols[best + 1]) }
        }
      }
    }
    symbols.removeLast(symbols.count - count)
  }

  /// Heap entries are rank in the high half, position of the left symbol in the low half; entries gone stale are recognised by their rank.
  private func mergeByHeap(_ symbols: inout ContiguousArray<Int32>, _ heap: inout MinHeap) {
    let count = symbols.count
    heap.removeAll()
    withUnsafeTemporaryAllocation(of: Int32.self, capacity: count * 2) { links in
      let (previous, next) = (0, count)  // two arrays in one: links[previous + i], links[next + i]; -1: none
      for index in 0..<count {
        links[previous + index] = Int32(index) - 1
        links[next + index] = index + 1 < count ? Int32(index) + 1 : -1
      }
      func push(_ left: Int, _ right: Int) {
        let rank = lookup(symbols[left], symbols[right]).rank
        if rank != .max { heap.push(UInt64(rank) << 32 | UInt64(left)) }
      }
      for index in 0..<(count - 1) { push(index, index + 1) }
      while let top = heap.pop() {
        let left = Int(top & 0xFFFF_FFFF)
        let right = Int(links[next + left])
        guard symbols[left] >= 0, right >= 0 else { continue }
        let (rank, merged) = lookup(symbols[left], symbols[right])
        guard rank != .max, UInt64(rank) == top >> 32 else { continue }
        symbols[left] = merged
        symbols[right] = -1  // gone
        let after = Int(links[next + right])
        links[next + left] = Int32(after)
        if after >= 0 {
          links[previous + after] = Int32(left)
          push(left, after)
        }
        let before = Int(links[previous + left])
        if before >= 0 { push(before, left) }
      }
    }
    symbols.removeAll { $0 < 0 }
  }
}

extension MergeTable {
  /// Reads `merges`: pairs `["a", "b"]`, or the older `"a b"`, by falling priority.
  init(_ json: JSONValue, _ vocabulary: Vocabulary) throws(FormatError) {
    // The shortest merge takes six bytes: a list of other things asks for no more room.
    self.init(reserving: min(json.count, json.byteCount / 6))
    var joined: [UInt8] = []
    for merge in try json.requireArray() {
      joined.removeAll(keepingCapacity: true)
      var leftCount = -1
      if merge.kind == .array {
        for part in merge.elements {
          guard part.withUTF8({ joined.append(contentsOf: $0) }) != nil else { throw part.unexpected("a token") }
          if leftCount < 0 { leftCount = joined.count }
        }
        guard merge.count == 2 else { throw merge.unexpected("a pair of tokens") }
      } else {
        guard merge.withUTF8({ joined.append(contentsOf: $0) }) != nil else { throw merge.unexpected("a merge") }
        if joined.starts(with: "#version".utf8) { continue }
        guard let space = joined.firstIndex(of: 0x20), joined.lastIndex(of: 0x20) == space else {
          throw merge.unexpected("two tokens with a space between them")
        }
        joined.remove(at: space)
        leftCount = space
      }
      guard append(joined, leftCount: leftCount, vocabulary) else {
        throw merge.unexpected("two tokens that are in the vocabulary, and their join")
      }
    }
  }

  /// Adds the merge of two tokens spelt one after the other; false when one of them, or both together, are no token.
  mutating func append(_ joined: [UInt8], leftCount: Int, _ vocabulary: Vocabulary) -> Bool {
    let ids: (left: Int32, right: Int32, merged: Int32)? = joined.withUnsafeBufferPointer { joined in
      guard let left = vocabulary.id(of: UnsafeBufferPointer(rebasing: joined[..<leftCount])),
        let right = vocabulary.id(of: UnsafeBufferPointer(rebasing: joined[leftCount...])),
        let merged = vocabulary.id(of: joined)
      else { return nil }
      return (left, right, merged)
    }
    guard let ids else { return false }
    append(left: ids.left, right: ids.right, merged: ids.merged)
    return true
  }
}

/// A binary heap of numbers, smallest first.
struct MinHeap {
  private var values = ContiguousArray<UInt64>()

  mutating func removeAll() { values.removeAll(keepingCapacity: true) }

  mutating func push(_ value: UInt64) {
    values.append(value)
    var child = values.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard values[child] < values[parent] else { return }
      values.swapAt(child, parent)
      child = parent
    }
  }

  mutating func pop() -> UInt64? {
    guard let top = values.first else { return nil }
    let last = values.removeLast()
    guard !values.isEmpty else { return top }
    values[0] = last
    var parent = 0
    while true {
      var child = parent * 2 + 1
      guard child < values.count else { return top }
      if child + 1 < values.count && values[child + 1] < values[child] { child += 1 }
      guard values[child] < values[parent] else { return top }
      values.swapAt(child, parent)
      parent = child
    }
  }
}

/// The hash of two numbers.
@inline(__always)
func pairHash(_ a: Int32, _ b: Int32) -> UInt32 {
  let pair = (UInt64(UInt32(bitPattern: a)) << 32 | UInt64(UInt32(bitPattern: b))) ^ hashSeed
  let product = pair.multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
  return UInt32(truncatingIfNeeded: product.high ^ product.low >> 32)
}
