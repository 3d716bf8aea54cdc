// One checkpoint over mapped files: where its tensors are, whatever the format and the number of files. Headers say all that opening
// needs. Weights stay where they lie, also those with inputs as rows; vectors are widened to f32, and matrices that no part of the file
// holds as such (reordered or taken apart) are put together, in memory of our own and when they are first asked for.

import Formats

/// The tensors of a folder, of a file of torch.save, or of a GGUF file with its splits.
///
/// `@unchecked Sendable`: the file maps are read-only, and everything else is filled while the model is bound, before it is shared.
final class Checkpoint: @unchecked Sendable {
  /// The file that says which tensors there are: of several the index, or the first.
  let path: String
  let files: [any TensorFile]
  /// As the files spell their names, each once.
  var tensors: TensorList { table.tensors }
  /// Which weights of a folder were taken and which were left, where it holds two sets of them.
  let choice: String?
  /// By their published names, of which several tensors can have one: the same under two prefixes.
  private let table: TensorTable
  /// By the names that the files have.
  let written: TensorTable
  /// Whether any tensor is called as scales beside another are; most checkpoints have none, and every matrix would be asked for them.
  private let holdsScales: Bool
  /// nil: tensors have their published names.
  let names: GGUFNames?
  let packing: WeightPacking
  /// Matrices that are put together, by their published names: several plans may take parts of one.
  var assembled: [String: AssembledMatrix] = [:]
  /// Of each tensor whether it was asked for.
  private var isUsed: [Bool]
  let tables: TablesAtHand
  /// Why nothing can be computed with this checkpoint, though it can be described: the first tensor whose tables are not there.
  var obstacle: ModelError? { tables.obstacle }

  /// Opens the weights in a folder: see `CheckpointFiles`.
  ///
  /// - Parameter packing: what the configuration says of it.
  /// - Throws: `ModelError.noCheckpoint` when there are none; `FormatError` for a damaged file.
  convenience init(directory: String, packing: WeightPacking = WeightPacking()) throws {
    let contents = try CheckpointFiles(in: directory)
    // What errors name: the file, or the list of shards.
    let index = directory + "/model.safetensors.index.json"
    let path = contents.files.count == 1 ? contents.files[0].path : FileStatus.exists(index) ? index : directory
    self.init(path: path, contents, names: nil, packing: packing)
  }

  /// The tensors of one safetensors file or one file of torch.save.
  ///
  /// - Throws: `FormatError` for a damaged file, and for a pickle that holds more than tensors.
  convenience init(file path: String) throws {
    let file: any TensorFile = PyTorchFile.isAt(path) ? try PyTorchFile(path: path) : try SafetensorsFile(path: path)
    self.init(path: path, CheckpointFiles([file]), names: nil)
  }

  /// Checkpoints that see or hear too keep the text model's tensors apart.
  private static let textPrefixes = [
    (written: "language_model.", published: ""), ("model.language_model.", "model."), ("thinker.", ""),
  ]

  /// The tensors of a GGUF model, found by their published names.
  convenience init(_ model: GGUFModel, tables: String?) {
    self.init(path: model.path, CheckpointFiles(model.split.files), names: model.names, tables: tables)
    for name in model.readTensors { use(name) }
  }

  private init(
    path: String, _ contents: CheckpointFiles, names: GGUFNames?, packing: WeightPacking = WeightPacking(), tables: String? = nil
  ) {
    self.path = path
    files = contents.files
    (choice, self.names, self.packing) = (contents.choice, names, packing)
    self.tables = TablesAtHand(tables)
    written = contents.table
    table = TensorTable(written, spelling: TensorSpelling(renamed: names?.renamed ?? [:], prefixes: Self.textPrefixes))
    let tensors = written.tensors
    holdsScales = tensors.indices.contains { place in [".scale", "_scale_inv"].contains { tensors.name(of: place).hasSuffix($0) } }
    // Shapes of packed matrices say what others say; reading them would touch a page for every expert.
    isUsed = tensors.indices.map { packing.groupSize != nil && tensors.name(of: $0).hasSuffix("weight_shape") }
  }

  /// What a training script saved of its settings beside the weights.
  var settings: [String: PyTorchFile.Setting] { files.lazy.compactMap { ($0 as? PyTorchFile)?.settings }.first ?? [:] }

  func use(_ name: String) {
    if let place = table[name] { isUsed[place] = true }
  }

  /// - Throws: `FormatError.changed` once a file lost pages that were read: what was computed since is not this model's.
  func requireWhole() throws(FormatError) {
    for file in files { try file.requireWhole() }
  }

  /// Names of tensors that nothing has asked for, as the model has them.
  var unusedTensors: [String] { unused.map { table.spelling.published($0.name) }.sorted() }

  /// The numbers of the tensors that something has asked for, or of the others.
  func numbers(used: Bool) -> [Int] { tensors.indices.filter { isUsed[$0] == used } }

  /// The tensors that nothing has asked for.
  var unused: [TensorView] { numbers(used: false).map { tensors[$0] } }

  // MARK: What plans ask for

  /// Whether tensors have the names that writers of the family give them.
  var keepsNames: Bool { names == nil }

  /// Shape of a tensor by the name its file has for it; nil when there is none.
  func shape(of name: String) -> [Int]? { table[name].map { tensors[$0].shape } }

  /// Whether the file holds a tensor of this published name, packed or not; for tensors that some checkpoints leave out.
  func has(_ name: String) -> Bool {
    let place = names.map { $0.place(VectorPlan(name), count: 1).plan.tensor } ?? name
    return table[place] != nil || table[place + "_packed"] != nil
  }

  /// The matrix of a plan; in place where the file holds it so.
  ///
  /// - Throws: `ModelError.missingTensor`, `.tensorShape`, `.tensorType`.
  func matrix(_ plan: MatrixPlan, rows: Int, columns: Int, because: String) throws -> BoundMatrix {
    guard let names else { return .inPlace(try part(of: plan, rows: rows, columns: columns, because: because)) }
    let whole: AssembledMatrix
    switch names.place(plan, rows: rows, columns: columns) {
    case .stored(let place): return .inPlace(try part(of: place, rows: rows, columns: columns, because: because))
    case .gathered(let tensors, let rows, let row):
      whole = try assemble(plan.tensor) { try gather(tensors, rows: rows, columns: columns, because: because, row) }
    case .regrouped(let tensor, let run, let place):
      whole = try assemble(plan.tensor) {
        try regroup(tensor, rows: rows, columns: columns, run: run, because: because, place)
      }
    case .unfolding(let keys, let values): whole = try assemble(plan.tensor) { try unfolding(keys: keys, values: values, because: because) }
    }
    guard plan.transposition == nil, plan.firstRow + (rows - 1) * plan.step < whole.rows, whole.columns == columns else {
      throw ModelError.tensorShape(
        file: path, name: plan.tensor, expected: [rows, columns], found: [whole.rows, whole.columns], because: because)
    }
    return .rows(of: whole, first: plan.firstRow, step: plan.step, count: rows)
  }

  /// Widened to f32 when it is first asked for; valid while this checkpoint lives.
  func vector(_ plan: VectorPlan, count: Int, because: String) throws -> WeightVector {
    guard let names else { return try vector(plan, count: count, because: because, change: .none) { $0 } }
    let (place, change, order) = names.place(plan, count: count)
    return try vector(place, count: count, because: because, change: change, order)
  }

  /// Whole numbers `[rows, columns]`, or `[columns]` for one row, where they lie.
  ///
  /// - Throws: `ModelError.missingTensor`, `.tensorShape`, `.tensorType`.
  func integers(_ name: String, rows: Int, columns: Int, because: String) throws -> IntegerMatrix {
    let view = try tensor(names.map { $0.place(VectorPlan(name), count: rows * columns).plan.tensor } ?? name)
    guard view.shape == [rows, columns] || rows == 1 && view.shape == [columns] else {
      throw explained(
        .tensorShape(file: view.file.path, name: view.name, expected: [rows, columns], found: view.shape, because: because), name)
    }
    let widths: [ElementType: IntegerMatrix.Width] = [.i32: .i32, .i64: .i64]
    guard let width = widths[view.elementType] else {
      let found = view.elementType.safetensorsName
      throw ModelError.tensorType(file: view.file.path, name: view.name, found: found, supported: "I32, I64")
    }
    guard let base = view.bytes.baseAddress else { throw ModelError.missingTensor(file: path, name: name) }
    return IntegerMatrix(base: base, width: width, rows: rows, columns: columns, file: view.file.path, name: view.name)
  }

  // MARK: Tensors in place

  /// A tensor by the name its file has for it.
  func tensor(_ name: String) throws -> TensorView {
    guard let view = try tensorIfThere(name) else { throw explained(.missingTensor(file: path, name: name), name) }
    return view
  }

  /// nil: the files have none of that name.
  func tensorIfThere(_ name: String) throws -> TensorView? {
    guard let (place, isAlone) = table.first(name) else { return nil }
    // Which of two counts nobody has said, and whichever were taken, the other would be in the file for nothing.
    if !isAlone {
      let (file, spellings) = (tensors[place].file.path, table.numbers(of: name).map { tensors[$0].name })
      throw ModelError.doubledTensor(file: file, name: name, spellings: spellings)
    }
    isUsed[place] = true
    return tensors[place]
  }

  /// The error about a tensor, or that the whole file has a layout of another program, which is why.
  func explained(_ error: ModelError, _ name: String) -> ModelError {
    guard names == nil, packing.groupSize == nil,
      let layout = CheckpointLayout.foreign(tensors.lazy.map { self.table.spelling.published($0.name) })
    else { return error }
    return .foreignLayout(file: path, name: name, layout: layout)
  }

  /// A whole tensor, all axes but the last as rows. A negative number in `shape` stands for any; axes of one are not compared.
  func stored(_ name: String, shape: [Int], because: String) throws -> WeightMatrix {
    try stored(tensor(name), name, shape: shape, because: because)
  }

  private func stored(_ view: TensorView, _ name: String, shape: [Int], because: String) throws -> WeightMatrix {
    if let halves = try halfBytes(view, name, shape: shape, because: because) { return halves }
    let (wanted, found) = (shape.filter { $0 != 1 }, view.shape.filter { $0 != 1 })
    guard wanted.count == found.count, zip(wanted, found).allSatisfy({ $0 < 0 || $0 == $1 }), names != nil || shape == view.shape,
      let columns = shape.last
    else {
      throw explained(.tensorShape(file: view.file.path, name: name, expected: shape, found: view.shape, because: because), name)
    }
    guard let type = StoredType(view.elementType) else {
      let (found, supported) = (view.elementType.safetensorsName, StoredType.supportedNames)
      throw explained(.tensorType(file: view.file.path, name: name, found: found, supported: supported), name)
    }
    guard let base = view.bytes.baseAddress, columns > 0, columns % type.blockSize == 0 else {
      throw ModelError.missingTensor(file: path, name: name)
    }
    let tables = type.needsTables ? tables.read(for: view, name)?.pointer : nil
    var matrix = WeightMatrix(base: base, type: type, rows: view.elementCount / columns, columns: columns, tables: tables)
    matrix.scales = try blockScales(of: name, rows: matrix.rows, columns: columns)
    return matrix
  }

  /// The tensor of scales beside a packed one: `NAME.weight_scale_inv`, or `NAME.scale` of DeepSeek-V4.
  private func scales(beside name: String) throws -> TensorView? {
    guard holdsScales else { return nil }
    if let view = try tensorIfThere(name + "_scale_inv") { return view }
    return names == nil && name.hasSuffix(".weight") ? try tensorIfThere(name.dropLast("weight".count) + "scale") : nil
  }

  /// 4-bit floats `[rows, columns / 2]`, two a byte, with a power of two for each 32 of a row beside them; nil for a tensor of another kind.
  private func halfBytes(_ view: TensorView, _ name: String, shape: [Int], because: String) throws -> WeightMatrix? {
    guard names == nil, view.elementType == .i8, shape.count == 2, let scales = try self.scales(beside: name) else { return nil }
    let (rows, columns) = (shape[0], shape[1])
    guard columns % 32 == 0, view.shape == [rows, columns / 2] else {
      throw ModelError.tensorShape(
        file: view.file.path, name: name, expected: [rows, columns / 2], found: view.shape, because: because + ", two numbers a byte")
    }
    guard scales.elementType == .f8E8M0, scales.shape == [rows, columns / 32] else {
      throw ModelError.tensorShape(
        file: scales.file.path, name: scales.name, expected: [rows, columns / 32], found: scales.shape,
        because: "a power of two (F8_E8M0) for each 32 numbers; it is \(scales.elementType.safetensorsName)")
    }
    guard let base = view.bytes.baseAddress, let scaleBase = scales.bytes.baseAddress else {
      throw ModelError.missingTensor(file: path, name: name)
    }
    var matrix = WeightMatrix(base: base, type: .f4E2M1, rows: rows, columns: columns)
    matrix.scales = CompanionScales(base: scaleBase, type: .f8E8M0, rowBytes: columns / 32, rowsPerScale: 1, columnsPerScale: 32)
    return matrix
  }

  /// The scales of 8-bit floats, in a tensor of their own.
  private func blockScales(of name: String, rows: Int, columns: Int) throws -> CompanionScales? {
    guard let view = try scales(beside: name) else { return nil }
    let scaleBlock = packing.scaleBlock
    let shape = [(rows + scaleBlock.rows - 1) / scaleBlock.rows, (columns + scaleBlock.columns - 1) / scaleBlock.columns]
    guard view.shape == shape else {
      throw ModelError.tensorShape(
        file: view.file.path, name: view.name, expected: shape, found: view.shape, because: "weight_block_size in config.json")
    }
    guard let type = StoredType(view.elementType), [.f32, .bf16, .f16, .f8E8M0].contains(type), let base = view.bytes.baseAddress else {
      throw ModelError.tensorType(
        file: view.file.path, name: view.name, found: view.elementType.safetensorsName, supported: "F32, BF16, F16, F8_E8M0")
    }
    return CompanionScales(
      base: base, type: type, rowBytes: type.rowBytes(columns: shape[1]), rowsPerScale: scaleBlock.rows,
      columnsPerScale: scaleBlock.columns)
  }

  /// A plan on the names and layouts of the files.
  private func part(of plan: MatrixPlan, rows: Int, columns: Int, because: String) throws -> WeightMatrix {
    // Where matrices are packed most are: they are looked for first.
    if packing.groupSize != nil, let words = try tensorIfThere(plan.tensor + "_packed") {
      return try packedInWords(words, plan, rows: rows, columns: columns, because: because)
    }
    guard let view = try tensorIfThere(plan.tensor) else {
      if let words = try tensorIfThere(plan.tensor + "_packed") {
        return try packedInWords(words, plan, rows: rows, columns: columns, because: because)
      }
      if let blocks = try tensorIfThere(plan.tensor + "_blocks") {
        return try microscaled(blocks, plan, rows: rows, columns: columns, because: because)
      }
      throw explained(.missingTensor(file: path, name: plan.tensor), plan.tensor)
    }
    let shape = plan.storedShape ?? [rows, columns]
    var whole = try stored(view, plan.tensor, shape: shape, because: because)
    if plan.columnAxes > 1 {
      let merged = shape.suffix(plan.columnAxes).reduce(1, *)
      let rows = whole.rows * whole.columns / merged
      whole = WeightMatrix(base: whole.base, type: whole.type, rows: rows, columns: merged, tables: whole.tables)
    }
    return try take(plan, from: whole, rows: rows, columns: columns, name: plan.tensor, shape: shape, because)
  }

  /// The rows, or columns, of a tensor that a plan names.
  func take(
    _ plan: MatrixPlan, from whole: WeightMatrix, rows: Int, columns: Int, name: String, shape: [Int], _ because: String
  ) throws -> WeightMatrix {
    let fits: Bool
    if let transposition = plan.transposition {
      fits = plan.firstRow + columns <= whole.rows && transposition.firstColumn + (rows - 1) * transposition.step < whole.columns
    } else {
      fits = plan.firstRow + (rows - 1) * plan.step < whole.rows && whole.columns == columns
    }
    guard fits else {
      throw ModelError.tensorShape(file: path, name: name, expected: shape, found: [whole.rows, whole.columns], because: because)
    }
    guard let transposition = plan.transposition else { return whole.rows(from: plan.firstRow, step: plan.step, count: rows) }
    let stored = whole.rows(plan.firstRow..<plan.firstRow + columns)
    guard let turned = stored.columns(from: transposition.firstColumn, step: transposition.step, count: rows) else {
      throw ModelError.tensorType(
        file: path, name: name, found: "\(whole.type)".uppercased() + (whole.scales == nil ? "" : " with scales beside it"),
        supported: "F32, BF16, F16, F64 and 8-bit floats without scales, as this tensor has inputs as rows")
    }
    return turned
  }

  /// Elements `first`, `first + step`, ... of a tensor; element `i` of the result is element `order(i)` of that sequence.
  private func vector(
    _ plan: VectorPlan, count: Int, because: String, change: GGUFVectorChange, _ order: @escaping @Sendable (Int) -> Int
  ) throws -> WeightVector {
    let shape = plan.storedShape ?? [count]
    let whole = try stored(plan.tensor, shape: shape, because: because)
    // Some vectors are read when a model is described.
    if whole.type.needsTables, whole.tables == nil, let obstacle { throw obstacle }
    guard plan.first + (count - 1) * plan.step < whole.rows * whole.columns else {
      throw ModelError.tensorShape(file: path, name: plan.tensor, expected: shape, found: [whole.rows, whole.columns], because: because)
    }
    let (first, step) = (plan.first, plan.step)
    return WeightVector(count: count) { out in
      withUnsafeTemporaryAllocation(of: Float.self, capacity: whole.columns) { row in
        guard let row = row.baseAddress else { return }
        var known = -1
        for i in 0..<count {
          let element = first + order(i) * step
          if element / whole.columns != known {
            known = element / whole.columns
            whole.read(row: known, into: row)
          }
          out[i] = change.undone(row[element % whole.columns])
        }
      }
    }
  }
}
