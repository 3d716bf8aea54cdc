// What does encoding need to write to? Everything mutable in one place, so that the tokenizer itself is a constant: the matcher of the
// regular expressions, buffers, and the cache of words already tokenised. A tokenizer keeps a few of these and lends one to each call.

/// Working memory of one `encode` call at a time.
///
/// `@unchecked Sendable`: the tokenizer's pool hands an instance to one call, which alone touches it until it gives it back.
final class EncodingScratch: @unchecked Sendable {
  let matcher = PatternMatcher()
  var words = WordCache()
  var symbols = ContiguousArray<Int32>()
  var heap = MinHeap()
}

/// Tokens of words seen before: natural text repeats its words, and a look-up costs a tenth of merging.
struct WordCache {
  private var table = ByteStringTable()
  private var ids = ContiguousArray<Int32>()
  /// Where the ids of word `i` begin; the end of the last is the last element.
  private var starts: ContiguousArray<Int> = [0]

  /// Words longer than this are not worth remembering.
  private static let longestWord = 64
  private static let wordLimit = 1 << 16

  /// Appends the tokens of `word` to `ids` if they are known.
  @inline(__always)
  func append(_ word: UnsafeBufferPointer<UInt8>, to ids: inout [Int32]) -> Bool {
    guard word.count <= Self.longestWord, let index = table.find(word) else { return false }
    for position in starts[index]..<starts[index + 1] { ids.append(self.ids[position]) }
    return true
  }

  mutating func remember(_ word: UnsafeBufferPointer<UInt8>, _ tokens: ArraySlice<Int32>) {
    guard word.count <= Self.longestWord else { return }
    if table.count >= Self.wordLimit {
      table.removeAll()
      ids.removeAll(keepingCapacity: true)
      starts.removeAll(keepingCapacity: true)
      starts.append(0)
    }
    guard table.insert(word) == starts.count - 1 else { return }
    ids.append(contentsOf: tokens)
    starts.append(ids.count)
  }
}
