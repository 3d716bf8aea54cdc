// Matrices whose numbers lie packed in one tensor and their scales in another: as they are, for the kernels to unpack.

import Formats

extension Checkpoint {
  /// 4-bit floats in `NAME_blocks` `[experts, outputs, groups, 16]` with a power of two for each group in `NAME_scales`. Outputs are
  /// rows here, also where the unquantised tensor has inputs as rows.
  func microscaled(_ blocks: TensorView, _ plan: MatrixPlan, rows: Int, columns: Int, because: String) throws -> WeightMatrix {
    let scales = try tensor(plan.tensor + "_scales")
    let transposition = plan.transposition ?? .init()
    guard let shape = plan.storedShape, shape.count == 3, plan.transposition != nil, columns % 32 == 0 else {
      throw ModelError.tensorType(
        file: blocks.file.path, name: blocks.name, found: "4-bit floats", supported: "stacks of experts with inputs in groups of 32")
    }
    let expected = [shape[0], shape[2], columns / 32, 16]
    guard blocks.shape == expected, blocks.elementType == .u8, scales.shape == expected.dropLast(), scales.elementType == .u8 else {
      throw ModelError.tensorShape(
        file: blocks.file.path, name: blocks.name, expected: expected, found: blocks.shape, because: because)
    }
    guard let base = blocks.bytes.baseAddress, let scaleBase = scales.bytes.baseAddress else {
      throw ModelError.missingTensor(file: path, name: blocks.name)
    }
    var matrix = WeightMatrix(base: base, type: .f4E2M1, rows: shape[0] * shape[2], columns: columns)
    matrix.scales = CompanionScales(base: scaleBase, type: .f8E8M0, rowBytes: columns / 32, rowsPerScale: 1, columnsPerScale: 32)
    let expert = plan.firstRow / columns
    return matrix.rows(from: expert * shape[2] + transposition.firstColumn, step: transposition.step, count: rows)
  }

  /// Whole 4-bit numbers of compressed-tensors: `NAME_packed` `[rows, columns / 8]`, eight in a word of 32 bits, the first in the low bits,
  /// with a scale for each group of columns in `NAME_scale` `[rows, columns / group]` and the shape in `NAME_shape`. The number is the
  /// product of both as it is: nothing is rounded to the scales' type.
  func packedInWords(_ words: TensorView, _ plan: MatrixPlan, rows: Int, columns: Int, because: String) throws -> WeightMatrix {
    let scales = try tensor(plan.tensor + "_scale")
    let shape = plan.storedShape ?? [rows, columns]
    guard let group = packing.groupSize, shape.count == 2, plan.columnAxes == 1, plan.transposition == nil, shape[1] % 8 == 0,
      shape[1] % group == 0
    else {
      throw explained(
        .tensorType(file: words.file.path, name: words.name, found: "packed numbers", supported: "F32, BF16, F16"), words.name)
    }
    let scaleShape = [shape[0], shape[1] / group]
    for (view, expected) in [(words, [shape[0], shape[1] / 8]), (scales, scaleShape)] where view.shape != expected {
      throw ModelError.tensorShape(
        file: view.file.path, name: view.name, expected: expected, found: view.shape, because: "group_size in config.json and " + because)
    }
    guard words.elementType == .i32, let type = StoredType(scales.elementType), [.f32, .bf16, .f16].contains(type) else {
      throw ModelError.tensorType(
        file: words.file.path, name: words.name, found: "\(words.elementType.safetensorsName), \(scales.elementType.safetensorsName)",
        supported: "I32 with scales of BF16, F16, F32")
    }
    guard let base = words.bytes.baseAddress, let scaleBase = scales.bytes.baseAddress else {
      throw ModelError.missingTensor(file: path, name: words.name)
    }
    var matrix = WeightMatrix(base: base, type: .u4B8, rows: shape[0], columns: shape[1])
    matrix.scales = CompanionScales(
      base: scaleBase, type: type, rowBytes: type.rowBytes(columns: scaleShape[1]), rowsPerScale: 1, columnsPerScale: group)
    return try take(plan, from: matrix, rows: rows, columns: columns, name: plan.tensor, shape: shape, because)
  }
}
