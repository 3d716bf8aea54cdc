// What is in a file of SGLang's expert distribution recorder? Three kinds: `stat` holds sums over all ranks, a step a row; `per_pass` and `per_token` hold
// a list of forward passes of one rank, and the last map from places of experts to experts. Here the kind is told, and passes are read
// one at a time; what they say together is the readers' business.

import Formats

/// One file of the recorder.
struct SGLangDump {
  enum Kind { case stat, perPass, perToken }

  let file: TorchFile
  let kind: Kind
  /// Passes in the order of the file; none of `stat`.
  let records: [TorchValue]
  /// Nil of `stat`, whose counts are of experts.
  let places: ExpertPlaces?

  /// - Throws: `FormatError`.
  init(_ file: TorchFile) throws(FormatError) {
    self.file = file
    let root = file.root
    if root["logical_count"] != nil {
      (kind, records, places) = (.stat, [], nil)
      return
    }
    records = try root.require("records", "a list of passes, or \"logical_count\"").requireItems("a list of passes")
    let hasTokens = records.contains { $0["topk_ids_of_layer"] != nil }
    kind = hasTokens ? .perToken : .perPass
    places = try ExpertPlaces(root.require("last_physical_to_logical_map", "the experts of places"))
  }

  /// Whether a value is what the recorder saves.
  static func recognises(_ root: TorchValue) -> Bool {
    if let counts = root["logical_count"]?.tensorShape { return counts.shape.count == 3 && NumberRows.isWhole(counts.elementType) }
    return root["records"]?.items != nil && root["last_physical_to_logical_map"]?.tensorShape?.shape.count == 2
  }

  /// What all passes say.
  struct Head: Hashable {
    var rank: Int
    var pass: Int
    var part: String
  }

  /// - Throws: `FormatError` for ranks and numbers of passes that cannot be.
  static func head(_ record: TorchValue) throws(FormatError) -> Head {
    let pass = try record.require("forward_pass_id", "the number of the pass")
    let rank = try record.require("rank", "the number of the process")
    let numbers = (try pass.requireInt(), try rank.requireInt())
    guard (0...Int(Int32.max)).contains(numbers.0) else { throw pass.unexpected("a number of a pass") }
    guard (0..<1 << 20).contains(numbers.1) else { throw rank.unexpected("a number of a process") }
    return Head(rank: numbers.1, pass: numbers.0, part: record["gatherer_key"]?.text ?? "primary")
  }
}

/// Which expert sits in which place, by layer.
struct ExpertPlaces: Equatable {
  let layers: Int
  /// Places of a layer.
  let count: Int
  let experts: Int
  /// Whether every place has the expert of its number.
  let isIdentity: Bool
  /// `[layers, count]`; -1: none.
  private let expertOfPlace: [Int32]

  /// - Throws: `FormatError` for what is no map of places.
  init(_ map: TorchValue) throws(FormatError) {
    let tensor = try map.requireTensor(rank: 2)
    guard tensor.elementCount > 0 else { throw map.unexpected("a place in every layer") }
    let experts = NumberRows.integers(of: tensor.bytes, tensor.elementType)
    guard let last = experts.max(), last >= 0, Int(last) < tensor.shape[1], experts.allSatisfy({ $0 >= -1 }) else {
      throw map.unexpected("numbers of experts, or -1, and a place for each expert")
    }
    (layers, count, self.experts) = (tensor.shape[0], tensor.shape[1], Int(last) + 1)
    let count = count
    isIdentity = experts.enumerated().allSatisfy { Int($1) == $0 % count }
    expertOfPlace = experts
  }

  /// The expert in a place; a number that is no place stays as it is, for it is no expert either.
  func expert(of place: Int32, layer: Int) -> Int32 {
    guard place >= 0, place < count else { return place }
    return expertOfPlace[layer * count + Int(place)]
  }
}
