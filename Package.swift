// swift-tools-version: 6.2
import PackageDescription

/// Every target of ours: warnings stop the build.
let strictSwift: [SwiftSetting] = [.treatAllWarnings(as: .error)]
let strictC: [CSetting] = [.treatAllWarnings(as: .error)]

/// A room of `Sources/` with the rooms it may see; ARCHITECTURE.md draws the same arrows.
func room(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: strictSwift)
}

func tests(of name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(name: name + "Tests", dependencies: dependencies + ["Support"], swiftSettings: strictSwift)
}

let grdb = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
/// SQLite as GRDB sees it.
let sqlite = Target.Dependency.product(name: "GRDBSQLite", package: "GRDB.swift")
let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")

/// The commit that is built, told by whoever builds (`make` does); anything that is not such a name is not taken over.
let commit = Context.environment["MOETOP_COMMIT"].flatMap { name in
  !name.isEmpty && name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == ".") } ? name : nil
}

let package = Package(
  name: "moetop",
  platforms: [.macOS(.v15)],
  products: [
    .executable(name: "moetop", targets: ["App"]),
    .library(name: "Model", targets: ["Model"]),
    .library(name: "Formats", targets: ["Formats"]),
    .library(name: "CKernels", targets: ["CKernels"]),
    .library(name: "Routing", targets: ["Routing"]),
    .library(name: "Analysis", targets: ["Analysis"]),
    .library(name: "Store", targets: ["Store"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
  ],
  targets: [
    .target(name: "CKernels", cSettings: strictC),
    .target(name: "CExitGuard", cSettings: strictC),
    .target(name: "CBuild", cSettings: strictC + (commit.map { [.define("MOETOP_COMMIT", to: $0)] } ?? [])),
    .target(name: "CMapGuard", cSettings: strictC),
    .target(name: "CChecksum", cSettings: strictC),
    .systemLibrary(
      name: "CNcurses", providers: [.apt(["libncurses-dev"]), .brew(["ncurses"])]),
    .systemLibrary(
      name: "CPCRE2", providers: [.apt(["libpcre2-dev"]), .brew(["pcre2"])]),
    .systemLibrary(
      name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"]), .brew(["openssl"])]),
    .systemLibrary(
      name: "CZlib", providers: [.apt(["zlib1g-dev"])]),
    .target(name: "CPng", cSettings: strictC, linkerSettings: [.linkedLibrary("png")]),
    room("Routing"),
    room("Formats", ["CChecksum", "CMapGuard", "CZlib", .target(name: "CCrypto", condition: .when(platforms: [.linux]))]),
    room("Model", ["CKernels", "CPCRE2", "Routing", "Formats"]),
    room("Analysis", ["Routing"]),
    room("Store", ["Routing", "Formats", grdb, sqlite]),
    room("Terminal", ["CNcurses", "CExitGuard"]),
    .executableTarget(
      name: "App", dependencies: ["Model", "Analysis", "Store", "Terminal", "Routing", "Formats", "CBuild", "CPng", argumentParser],
      swiftSettings: strictSwift),

    .target(name: "Support", path: "Tests/Support", swiftSettings: strictSwift),
    .target(name: "SnapshotSupport", path: "Tests/SnapshotSupport", swiftSettings: strictSwift),
    .target(name: "PngReading", path: "Tests/PngReading", cSettings: strictC, linkerSettings: [.linkedLibrary("png")]),
    .target(name: "CMemoryMeter", path: "Tests/CMemoryMeter", cSettings: strictC),
    .executableTarget(
      name: "fuzz", dependencies: ["Model", "Analysis", "Store", "Routing", "Formats", "Support", "CMemoryMeter", grdb], path: "Tests/Fuzz",
      swiftSettings: strictSwift),
    tests(of: "Kernel", ["CKernels", "Model", "Formats"]),
    tests(of: "Routing", ["Routing"]),
    tests(of: "Formats", ["Formats"]),
    tests(of: "Model", ["Model", "Routing", "Formats"]),
    tests(of: "Analysis", ["Analysis", "Routing"]),
    tests(of: "Store", ["Store", "Routing", "Formats", grdb]),
    tests(of: "Terminal", ["Terminal", "SnapshotSupport"]),
    tests(of: "App", ["App", "Analysis", "Store", "Terminal", "Routing", "PngReading", "SnapshotSupport", argumentParser]),
    tests(of: "EndToEnd", ["Formats", "Store"]),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .c11
)
