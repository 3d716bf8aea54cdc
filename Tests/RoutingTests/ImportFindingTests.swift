// Findings of imports for people: of many routers in one line.

import Routing
import Testing

struct ImportFindingTests {
  @Test func routersOfOneFaultStandTogether() {
    let findings = (0..<9).map { layer in
      ImportFinding(.zeroRows, router: RouterID(layer: layer), count: 3 + layer % 2, of: 50, first: [20 - layer], detail: "not written")
    }
    let one = ImportFinding(.missingLast, count: 2, of: 2, detail: "short")
    let groups = ImportFindingGroup.groups([one] + findings)
    #expect(groups.map(\.place) == ["", " at 9 routers, ffn.0 first"])
    #expect(groups.map(\.size) == ["2 of 2", "3 to 4 of 50, first row 12"])
    #expect(ImportFindingGroup.groups(findings.prefix(2)).map(\.place) == [" at ffn.0, ffn.1"])
  }

  @Test func everyCodeHasItsSeverity() {
    #expect(ImportFinding.Code.allCases.count { $0.severity == .fault } == 11)
    #expect(ImportFinding.Code.allCases.count { $0.severity == .warning } == 5)
    #expect(ImportFinding.Code.allCases.count { $0.severity == .note } == 8)
  }
}
