// swift-tools-version: 6.2
import PackageDescription

/// Measurements, apart from the product: ratios against peers in the same run, and kernels against the machine.
let package = Package(
  name: "moetop-benchmarks",
  platforms: [.macOS(.v15)],
  dependencies: [.package(name: "moetop", path: "..")],
  targets: [
    .executableTarget(
      name: "KernelBench",
      dependencies: [.product(name: "Model", package: "moetop"), .product(name: "CKernels", package: "moetop")], path: "Kernels"),
    .executableTarget(
      name: "TokenizerBench",
      dependencies: [.product(name: "Model", package: "moetop"), .product(name: "Formats", package: "moetop")], path: "Tokenizers"),
    .executableTarget(
      name: "TraceBench",
      dependencies: [
        .product(name: "Analysis", package: "moetop"), .product(name: "Routing", package: "moetop"),
        .product(name: "Store", package: "moetop"),
      ], path: "Traces"),
  ],
  swiftLanguageModes: [.v6]
)
