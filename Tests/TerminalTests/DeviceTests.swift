// The loop's promises, counted: idle is quiet, thirty frames a second at most, a resize draws everything once.

import Testing

@testable import Terminal

@Suite struct DeviceTests {
  private func screen(_ text: String, _ size: Size = Size(width: 20, height: 3)) -> CellBuffer {
    var screen = CellBuffer(size: size)
    screen.draw(text, x: 0, y: 0)
    return screen
  }

  @Test func idleIsQuiet() throws {
    let device = MemoryTerminal(size: Size(width: 20, height: 3))
    for _ in 0..<100 { try device.present(screen("load")) }
    #expect(device.presents == 100 && device.writes == 1 && device.cellsWritten == 60)
    try device.present(screen("loaf"))
    #expect(device.writes == 2 && device.cellsWritten == 61)
    try device.present(screen("loaf"), cursor: Point(x: 1, y: 1))
    #expect(device.writes == 3 && device.cursor == Point(x: 1, y: 1))
    device.invalidate()
    try device.present(screen("loaf"), cursor: Point(x: 1, y: 1))
    #expect(device.writes == 4 && device.cellsWritten == 121)
  }

  @Test func thirtyFramesASecond() {
    var pacer = FramePacer()
    let start = ContinuousClock.now
    var frames = 0
    for millisecond in 0..<1000 {
      pacer.invalidate()
      if pacer.take(now: start + .milliseconds(millisecond)) { frames += 1 }
    }
    #expect((29...31).contains(frames))
    let late = pacer.take(now: start + .seconds(2))
    let again = pacer.take(now: start + .seconds(3))
    #expect(late && !again)
    #expect(pacer.wait(now: start + .seconds(3)) == nil)
    pacer.invalidate()
    #expect(pacer.wait(now: start + .seconds(3)) == .zero)
  }

  @Test func theFirstFrameIsDueAtOnce() {
    var pacer = FramePacer(framesPerSecond: 10)
    let now = ContinuousClock.now
    #expect(pacer.wait(now: now) == .zero)
    let first = pacer.take(now: now)
    #expect(first)
    pacer.invalidate()
    #expect(pacer.wait(now: now + .milliseconds(40)) == .milliseconds(60))
    let early = pacer.take(now: now + .milliseconds(40))
    #expect(!early)
  }

  @Test func eventsInOrder() throws {
    let device = MemoryTerminal(size: Size(width: 20, height: 3), events: [.key(.up), .resize(Size(width: 5, height: 2))])
    #expect(try device.poll(timeout: nil) == .key(.up))
    #expect(try device.poll(timeout: .zero) == .resize(Size(width: 5, height: 2)))
    #expect(device.size == Size(width: 5, height: 2))
    #expect(try device.poll(timeout: .zero) == nil)
    #expect(try device.poll(timeout: nil) == .eof)
    try device.suspend()
    #expect(try device.poll(timeout: nil) == .resumed)
  }

  @Test func aLostTerminalIsAnError() throws {
    let device = MemoryTerminal(size: Size(width: 20, height: 3))
    device.isGone = true
    #expect(throws: TerminalError.gone) { try device.present(self.screen("x")) }
  }

  @Test func withoutATerminalNothingStarts() {
    // Test runs have no terminal on both streams, or at least none of these.
    var options = TerminalOptions(environment: ["TERM": "dumb"])
    options.mouse = false
    #expect(throws: TerminalError.self) { _ = try CursesTerminal(options) }
  }

  @Test(
    arguments: [
      (Duration.zero, 0), (.milliseconds(33), 33), (.microseconds(1), 1), (.seconds(2), 2000), (.seconds(1_000_000_000_000), .max),
    ] as [(Duration, Int32)])
  func waits(_ duration: Duration, _ milliseconds: Int32) { #expect(CursesTerminal.milliseconds(duration) == milliseconds) }

  @Test func delaysAreNotWritten() { #expect(CursesTerminal.withoutPadding("\u{1B}[J$<50/>x") == "\u{1B}[Jx") }

  @Test func nearestColours() {
    #expect(Color.nearestInCube(0xFFFFFF) == 231)
    #expect(Color.nearestInCube(0x5F87AF) == 67)
    #expect(Color.nearestNamed(0xFDE725) == 3)
  }
}
