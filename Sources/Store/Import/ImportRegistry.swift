// Which format is a file of, and who reads it? A line a format.

import Formats

enum ImportRegistry {
  /// The format that the user names, or the one whose reader takes the files for its own.
  ///
  /// - Throws: `ImportError`, `FormatError` where a file cannot be opened.
  static func format(of request: ImportRequest) throws -> ImportFormat {
    if let format = request.format { return format }
    let formats = try request.files.map { file in
      _ = try MappedFile(path: file)
      let known = ImportFormat.allCases.filter { recognises(file, as: $0) }
      if known.count > 1 { throw ImportError.ambiguous(file: file, formats: known) }
      guard let format = known.first else { throw ImportError.unrecognized(file: file) }
      return format
    }
    guard Set(formats).count == 1 else { throw ImportError.mixed(files: request.files, formats: formats) }
    return formats[0]
  }

  private static func recognises(_ file: String, as format: ImportFormat) -> Bool {
    switch format {
    case .vllm: VLLMReader.recognises(file)
    case .sglang: SGLangReader.recognises(file)
    case .sglangDistribution: SGLangDistributionReader.recognises(file)
    case .tensorrtLLM: TensorRTReader.recognises(file)
    case .imatrix: IMatrixReader.recognises(file)
    case .hfLogits: LogitsReader.recognises(file)
    case .nemoRL: NeMoReader.recognises(file)
    case .verifiers: VerifiersReader.recognises(file)
    case .megatron: MegatronReader.recognises(file)
    case .olmoe: OLMoEReader.recognises(file)
    case .moetopJSONL: MoetopLinesReader.recognises(file)
    }
  }

  static func open(_ format: ImportFormat, request: ImportRequest) throws -> ForeignSource {
    switch format {
    case .vllm: .rows(try VLLMReader.open(request.files))
    case .sglang: .rows(try SGLangReader.open(request.files, request: request))
    case .sglangDistribution: try SGLangDistributionReader(files: request.files, request: request).source
    case .tensorrtLLM: .rows(try TensorRTReader(files: request.files, request: request))
    case .imatrix: try IMatrixReader(files: request.files, request: request).source
    case .hfLogits: .rows(try LogitsReader(files: request.files, request: request, lengths: request.tokens?.map(\.count)))
    case .nemoRL: .rows(try NeMoReader.open(request.files))
    case .verifiers: .rows(try VerifiersReader.open(request.files))
    case .megatron: .rows(try MegatronReader(files: request.files, request: request))
    case .olmoe: .rows(try OLMoEReader(files: request.files, request: request))
    case .moetopJSONL: .rows(try MoetopLinesReader(files: request.files, request: request))
    }
  }
}
