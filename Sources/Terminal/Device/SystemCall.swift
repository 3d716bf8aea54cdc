// System calls whose names the device's own methods hide.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

enum SystemCall {
  static func poll(_ descriptors: UnsafeMutablePointer<pollfd>, _ count: nfds_t, _ timeout: Int32) -> Int32 {
    systemPoll(descriptors, count, timeout)
  }

  static func close(_ descriptor: Int32) { systemClose(descriptor) }
}

private func systemPoll(_ descriptors: UnsafeMutablePointer<pollfd>, _ count: nfds_t, _ timeout: Int32) -> Int32 {
  poll(descriptors, count, timeout)
}

private func systemClose(_ descriptor: Int32) { _ = close(descriptor) }
