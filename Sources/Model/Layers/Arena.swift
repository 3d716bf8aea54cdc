// Memory for activations that live as long as one step of a pass. Handing out is moving a pointer; the blocks stay for the next step.

/// A stack of f32 memory.
final class Arena {
  private struct Block {
    var base: UnsafeMutablePointer<Float>
    var capacity: Int
  }

  private var blocks: [Block] = []
  /// Floats handed out of the last block.
  private var used = 0

  deinit { for block in blocks { block.base.deallocate() } }

  /// Uninitialised memory until the next `reset`, on a cache line of its own.
  func floats(_ count: Int) -> UnsafeMutablePointer<Float> {
    let rounded = (max(count, 1) + 15) / 16 * 16
    if blocks.isEmpty || used + rounded > blocks[blocks.count - 1].capacity {
      let capacity = max(rounded, 2 * (blocks.last?.capacity ?? 0), 4096)
      let base = UnsafeMutableRawPointer.allocate(byteCount: capacity * 4, alignment: 64).bindMemory(to: Float.self, capacity: capacity)
      blocks.append(Block(base: base, capacity: capacity))
      used = 0
    }
    defer { used += rounded }
    return blocks[blocks.count - 1].base + used
  }

  /// Zeros until the next `reset`.
  func zeros(_ count: Int) -> UnsafeMutablePointer<Float> {
    let memory = floats(count)
    memory.initialize(repeating: 0, count: max(count, 1))
    return memory
  }

  /// Takes everything back. Several blocks become the last, the largest.
  func reset() {
    used = 0
    guard blocks.count > 1, let last = blocks.popLast() else { return }
    for block in blocks { block.base.deallocate() }
    blocks = [last]
  }
}
