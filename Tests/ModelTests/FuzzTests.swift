// Damaged fixtures of every kind, a glance at each: the same program as `make fuzz`, in the ordinary build. MOETOP_FUZZ asks for more.

import Foundation
import Support
import Testing

struct FuzzTests {
  @Test func damageNeverCrashesHangsOrDeceives() throws {
    let setting = ProcessInfo.processInfo.environment["MOETOP_FUZZ"]
    let result = try Binary.run([], program: Binary.built("fuzz"), environment: setting.map { ["MOETOP_FUZZ": $0] } ?? [:])
    #expect(result.status == 0, "\(result.output)\(result.errors)")
  }
}
