// The classes of the samples of a denoising run, in one order for tables, screens and exports.

/// Which class each labelled sample falls into.
public struct SampleClasses: Sendable, Equatable {
  /// The label of samples that holds their class.
  public static let label = "class"

  /// Values of the label among the samples: by number where all are numbers, else by letter.
  public let names: [String]
  /// Index into `names` of each sample that has the label.
  public let cells: [Int: Int32]

  /// - Parameter key: the label that holds the class.
  public init(_ key: String, samples: Set<Int>, sequences: [SequenceDescription]) {
    let labels = samples.filter { sequences.indices.contains($0) }.compactMap { sample in
      sequences[sample].labels[key].map { (sample, $0) }
    }
    let values = Set(labels.map(\.1))
    names = values.allSatisfy { Int($0) != nil } ? values.sorted { (Int($0) ?? 0, $0) < (Int($1) ?? 0, $1) } : values.sorted()
    let index = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, Int32($0)) })
    cells = Dictionary(uniqueKeysWithValues: labels.compactMap { sample, value in index[value].map { (sample, $0) } })
  }
}
