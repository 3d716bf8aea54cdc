// What does a text name? A table of selectors, and where traces live by default.

import Testing

@testable import Store

@Suite struct SelectorTests {
  static let defaultTrace = "/data/moetop/traces.db"
  static let files: Set<String> = ["here", "odd#name.db", "12", "a/b.db"]

  @Test(arguments: [
    ("latest", TraceReference(file: defaultTrace, run: .latest)),
    ("7", TraceReference(file: defaultTrace, run: .id(7))),
    ("0012", TraceReference(file: defaultTrace, run: .id(12))),
    ("baseline", TraceReference(file: defaultTrace, run: .name("baseline"))),
    ("7b-run", TraceReference(file: defaultTrace, run: .name("7b-run"))),
    ("x.db", TraceReference(file: "x.db", namesRun: false)),
    ("./x", TraceReference(file: "./x", namesRun: false)),
    ("/tmp/x.sqlite", TraceReference(file: "/tmp/x.sqlite", namesRun: false)),
    ("here", TraceReference(file: "here", namesRun: false)),
    ("12", TraceReference(file: "12", namesRun: false)),
    ("odd#name.db", TraceReference(file: "odd#name.db", namesRun: false)),
    ("odd#name.db#3", TraceReference(file: "odd#name.db", run: .id(3))),
    ("x.db#12", TraceReference(file: "x.db", run: .id(12))),
    ("x.db#latest", TraceReference(file: "x.db", run: .latest)),
    ("x.db#baseline", TraceReference(file: "x.db", run: .name("baseline"))),
    ("a/b.db#1", TraceReference(file: "a/b.db", run: .id(1))),
    ("#4", TraceReference(file: defaultTrace, run: .id(4))),
    ("#latest", TraceReference(file: defaultTrace, run: .latest)),
  ])
  func names(_ text: String, _ expected: TraceReference) throws {
    #expect(try TraceReference(parsing: text, defaultTrace: Self.defaultTrace, fileExists: Self.files.contains) == expected)
  }

  @Test(arguments: ["", "x.db#", "#", "99999999999999999999", "x.db#99999999999999999999"])
  func refuses(_ text: String) {
    #expect { try TraceReference(parsing: text, defaultTrace: Self.defaultTrace, fileExists: Self.files.contains) } throws: {
      ($0 as? StoreError)?.kind == .usage
    }
  }

  @Test(
    arguments: [
      ([:], TraceLocation.Platform.linux, "/home/ada/.local/share/moetop"), (["XDG_DATA_HOME": "/x"], .linux, "/x/moetop"),
      (["XDG_DATA_HOME": "/x/"], .linux, "/x/moetop"), (["XDG_DATA_HOME": "relative"], .linux, "/home/ada/.local/share/moetop"),
      (["XDG_DATA_HOME": ""], .linux, "/home/ada/.local/share/moetop"),
      ([:], .macOS, "/home/ada/Library/Application Support/moetop"), (["XDG_DATA_HOME": "/x"], .macOS, "/x/moetop"),
    ] as [([String: String], TraceLocation.Platform, String)])
  func dataDirectory(_ environment: [String: String], _ platform: TraceLocation.Platform, _ expected: String) {
    #expect(TraceLocation.dataDirectory(environment: environment, home: "/home/ada", platform: platform) == expected)
    #expect(TraceLocation.traceFile(inDataDirectory: expected) == expected + "/traces.db")
  }

  @Test func everyErrorSaysWhatAndWhere() {
    let errors: [StoreError] = [
      .missingFile(file: "t.db"), .notATrace(file: "t.db", found: "a directory"), .damaged(file: "t.db", place: "page 3", problem: "short"),
      .newerSchema(file: "t.db", found: ["trace-9"], known: "trace-1"), .olderSchema(file: "t.db", found: "trace-0", known: "trace-1"),
      .locked(file: "t.db"), .cannotCreate(file: "t.db", reason: "no"), .inputOutput(file: "t.db", reason: "no"), .diskFull(file: "t.db"),
      .permission(file: "t.db", reason: "no"), .noSuchRun(file: "t.db", run: "9", known: "runs 1-3"),
      .malformedPass(file: "t.db", problem: "p", expected: "1", found: "2"), .writerClosed(file: "t.db"),
    ]
    for error in errors { #expect(error.description.hasPrefix("t.db: ")) }
    #expect(Set(errors.map(\.kind)).count == 8)
  }
}
