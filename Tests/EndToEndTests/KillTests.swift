// A run that is killed keeps every committed batch, and says so when it is opened again.

import Foundation
import Store
import Support
import Testing

struct KillTests {
  @Test(arguments: [0.4, 1.7])
  func aKilledRunOpensAgain(_ delay: Double) throws {
    let folder = try TemporaryDirectory()
    let model = try #require(Fixtures.own("models/olmoe"))
    let tokens = try LongTrace.tokens(70_000, in: folder)
    let trace = folder.file("killed.db")
    let process = Binary.start(["run", model, "--tokens", tokens, "--trace", trace, "--quiet"])
    try process.run()
    let deadline = Date().addingTimeInterval(600)
    while (try? TraceReader(file: trace).runs().first?.tokenCount ?? 0) ?? 0 == 0, Date() < deadline { Thread.sleep(forTimeInterval: 0.05) }
    Thread.sleep(forTimeInterval: delay)
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()

    let reader = try TraceReader(file: trace)
    let run = try reader.run(.latest)
    #expect(run.state == .interrupted)
    #expect(run.tokenCount > 0 && run.tokenCount < 4_200_000)
    #expect(try reader.checkIntegrity() == [])
    #expect(run.failedChecks.isEmpty)
    var tokensRead = 0
    try reader.passes(of: run).forEach { tokensRead += $0.tokens.count }
    #expect(tokensRead == run.tokenCount)
  }
}
