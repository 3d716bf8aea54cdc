// Memory of a forward pass that outlives its steps.

/// f32 memory that grows to the largest request and keeps its content between requests of one size.
final class GrowingBuffer {
  private var base = UnsafeMutablePointer<Float>.allocate(capacity: 1)
  private var capacity = 1

  deinit { base.deallocate() }

  /// Room for `count` floats; what was there is lost when it has to grow.
  func floats(_ count: Int) -> UnsafeMutablePointer<Float> {
    if count > capacity {
      base.deallocate()
      base = .allocate(capacity: count)
      capacity = count
    }
    return base
  }

  func zeros(_ count: Int) -> UnsafeMutablePointer<Float> {
    let memory = floats(count)
    memory.update(repeating: 0, count: count)
    return memory
  }
}
