// The published sizes of DiT-MoE, from shapes alone: files that hold a header and a hole where the weights would be.

import Foundation
import Support
import Testing

@testable import Model

@Suite struct PublishedDiTSizesTests {
  struct Size: CustomTestStringConvertible, Sendable {
    let name: String
    let depth: Int
    let width: Int
    let experts: Int
    let heads: Int
    let total: Int
    let active: Int
    /// The larger models have the fused attention's names.
    var isFused = false

    var testDescription: String { name }
  }

  /// Totals: arXiv:2407.11633, table 1, counted from the released code's shapes.
  static let sizes = [
    Size(name: "S/2-8E2A", depth: 12, width: 384, experts: 8, heads: 6, total: 199_307_552, active: 71_905_568),
    Size(name: "S/2-16E2A", depth: 12, width: 384, experts: 16, heads: 6, total: 369_213_728, active: 71_942_432),
    Size(name: "B/2-8E2A", depth: 12, width: 768, experts: 8, heads: 12, total: 795_861_536, active: 286_253_600),
    Size(name: "L/2-8E2A", depth: 24, width: 1024, experts: 8, heads: 16, total: 2_823_764_000, active: 1_011_824_672),
    Size(name: "XL/2-8E2A", depth: 28, width: 1152, experts: 8, heads: 16, total: 4_168_172_192, active: 1_492_730_528, isFused: true),
    Size(name: "G/2-16E2A", depth: 40, width: 1408, experts: 16, heads: 16, total: 16_503_731_232, active: 3_181_573_152, isFused: true),
  ]

  @Test(arguments: sizes) func totalsFollowFromShapes(_ size: Size) throws {
    let folder = try TemporaryDirectory()
    let path = folder.file("dit_moe_\(size.name.split(separator: "/")[0].lowercased())_\(size.experts)E2A.safetensors")
    try Self.write(Self.shapes(size), to: path)
    let model = try DenoisingModel(path: path)
    let facts = model.facts()
    #expect(facts.parameters == size.total)
    #expect(facts.activeParameters == size.active)
    #expect(facts.unusedTensors.isEmpty)
    #expect(model.layerCount == size.depth && model.classCount == 1000 && model.gridSize == 16)
    #expect(model.sampling.rule == (size.isFused ? .rectifiedFlow : .ddpm(.linear)))
    #expect(model.routers.allSatisfy { $0.spec.expertCount == size.experts && $0.spec.topK == 2 })
  }

  private static func shapes(_ size: Size) -> [(String, [Int])] {
    let d = size.width
    var shapes: [(String, [Int])] = [
      ("x_embedder.proj.weight", [d, 4, 2, 2]), ("x_embedder.proj.bias", [d]), ("pos_embed", [1, 256, d]),
      ("t_embedder.mlp.0.weight", [d, 256]), ("t_embedder.mlp.0.bias", [d]), ("t_embedder.mlp.2.weight", [d, d]),
      ("t_embedder.mlp.2.bias", [d]), ("y_embedder.embedding_table.weight", [1001, d]),
      ("final_layer.adaLN_modulation.1.weight", [2 * d, d]), ("final_layer.adaLN_modulation.1.bias", [2 * d]),
      ("final_layer.linear.weight", [32, d]), ("final_layer.linear.bias", [32]),
    ]
    let (merged, out) = size.isFused ? ("Wqkv", "out_proj") : ("qkv", "proj")
    for block in (0..<size.depth).map({ "blocks.\($0)." }) {
      shapes += [
        (block + "adaLN_modulation.1.weight", [6 * d, d]), (block + "adaLN_modulation.1.bias", [6 * d]),
        (block + "attn.\(merged).weight", [3 * d, d]), (block + "attn.\(merged).bias", [3 * d]), (block + "attn.\(out).weight", [d, d]),
        (block + "attn.\(out).bias", [d]), (block + "moe.gate.weight", [size.experts, d]),
      ]
      if size.isFused {
        for norm in ["q_norm", "k_norm"] {
          shapes += [(block + "attn.\(norm).weight", [d / size.heads]), (block + "attn.\(norm).bias", [d / size.heads])]
        }
      }
      for (expert, width) in (0..<size.experts).map({ ("experts.\($0)", 4 * d) }) + [("shared_experts", 2 * d)] {
        shapes += [
          (block + "moe.\(expert).gate_proj.weight", [width, d]), (block + "moe.\(expert).up_proj.weight", [width, d]),
          (block + "moe.\(expert).down_proj.weight", [d, width]),
        ]
      }
    }
    return shapes
  }

  /// One byte a weight, and none of them on the disk.
  private static func write(_ shapes: [(String, [Int])], to path: String) throws {
    var offset = 0
    let members = shapes.map { name, shape in
      let count = shape.reduce(1, *)
      defer { offset += count }
      return "\"\(name)\":{\"dtype\":\"F8_E4M3\",\"shape\":\(shape),\"data_offsets\":[\(offset),\(offset + count)]}"
    }
    let header = Array("{\(members.joined(separator: ","))}".utf8)
    var length = UInt64(header.count).littleEndian
    try (Data(bytes: &length, count: 8) + Data(header)).write(to: URL(fileURLWithPath: path))
    let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    try handle.truncate(atOffset: UInt64(8 + header.count + offset))
    try handle.close()
  }
}
