// A model that does not fit into memory is run, and said to be slow.

import Testing

@testable import App

struct FreeMemoryTests {
  @Test func warnsOnlyOfWhatDoesNotFit() throws {
    #expect(FreeMemory.warning(weightBytes: 100, activeBytes: 10, free: 100) == nil)
    let warning = try #require(FreeMemory.warning(weightBytes: 8 << 30, activeBytes: 1 << 30, free: 4 << 30))
    #expect(warning.contains("8.6 GB") && warning.contains("4.3 GB") && warning.contains("1.1 GB a token"))
  }

  @Test func findsSomeMemory() { #expect(FreeMemory.bytes > 1 << 20) }
}
