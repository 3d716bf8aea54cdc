// Provenance: everything one must know to repeat a run or to doubt it. Written when the run begins, completed when it ends.

/// One execution with fixed inputs.
public struct RunDescription: Sendable, Codable, Equatable {
  public var name: String
  public var model: ModelIdentity
  public var routers: [RouterDescription]
  public var input: InputIdentity
  public var recording: RecordingLevel
  /// Sampling as the user asked for it, e.g. `greedy` or `temperature 0.8 top-p 0.95 seed 7`; nil when nothing is generated.
  public var sampling: String?
  public var seed: UInt64
  public var engine: EngineIdentity
  /// Seconds since 1970, handed in by the caller.
  public var startedAt: Double
  public var tags: [String]
  /// Steps, branches and patches of a denoising run; nil for text.
  public var denoising: DenoisingLayout?
  /// The id of the tokenizer's beginning of a sequence (BOS); nil when it has none or nobody asked.
  public var beginningToken: Int32?
  /// The rules that changed its routing, as they were written; nil: the routers decided by themselves.
  public var intervention: String?
  /// The run in the same trace that this is a variant of.
  public var parent: Int64?
  /// Runs that belong together share its name.
  public var series: String?
  /// Texts that shared a batch, where rules counted its rows; nil: nothing counted over more than one.
  public var batch: Int?
  /// Who recorded it and what its rows are; nil: this engine, tokens (or patches, of a denoising run).
  public var recorded: RunOrigin?

  public init(
    name: String, model: ModelIdentity, routers: [RouterDescription], input: InputIdentity, recording: RecordingLevel,
    sampling: String? = nil, seed: UInt64 = 0, engine: EngineIdentity, startedAt: Double, tags: [String] = [],
    denoising: DenoisingLayout? = nil, beginningToken: Int32? = nil, intervention: String? = nil, parent: Int64? = nil,
    series: String? = nil, batch: Int? = nil, recorded: RunOrigin? = nil
  ) {
    self.name = name
    self.model = model
    self.routers = routers
    self.input = input
    self.recording = recording
    self.sampling = sampling
    self.seed = seed
    self.engine = engine
    self.startedAt = startedAt
    self.tags = tags
    self.denoising = denoising
    self.beginningToken = beginningToken
    self.intervention = intervention
    self.parent = parent
    self.series = series
    self.batch = batch
    self.recorded = recorded
  }

  /// Who recorded it and what its rows are.
  public var origin: RunOrigin { recorded ?? RunOrigin(row: denoising == nil ? .token : .patch) }
}

public struct ModelIdentity: Sendable, Codable, Equatable {
  public var name: String
  public var family: String
  /// Absolute path at the time of the run; empty for imported dumps.
  public var path: String
  /// SHA-256 over the weight files' names, sizes and contents, hex; empty when unknown: a session that ended before they were read.
  public var filesHash: String
  /// Element types of the weights, e.g. `bf16`.
  public var quantization: String
  /// Element type the router's weights are stored in; its arithmetic is f32.
  public var routerPrecision: String
  /// SHA-256 of the tokenizer file, hex; empty when ids were given.
  public var tokenizerHash: String
  public var layerCount: Int
  public var vocabularySize: Int

  public init(
    name: String, family: String, path: String, filesHash: String, quantization: String, routerPrecision: String,
    tokenizerHash: String, layerCount: Int, vocabularySize: Int
  ) {
    self.name = name
    self.family = family
    self.path = path
    self.filesHash = filesHash
    self.quantization = quantization
    self.routerPrecision = routerPrecision
    self.tokenizerHash = tokenizerHash
    self.layerCount = layerCount
    self.vocabularySize = vocabularySize
  }
}

public struct InputIdentity: Sendable, Codable, Equatable {
  /// Where the input came from as the user named it: a path, `-`, or `prompt`.
  public var source: String
  /// SHA-256 over the token ids given, little-endian i32, each list preceded by its length; hex. Empty when unknown: a live
  /// session learns its input while it goes on, and one that was killed did not get to say it.
  public var hash: String
  /// "add" or "omit": what the user said of BOS before a text, where the tokenizer was not left to itself.
  public var bos: String?

  public init(source: String, hash: String, bos: String? = nil) {
    self.source = source
    self.hash = hash
    self.bos = bos
  }
}

public struct EngineIdentity: Sendable, Codable, Equatable {
  public var version: String
  /// Instruction set of the kernels, e.g. `avx512`.
  public var simd: String
  public var threads: Int
  /// Whether generated tokens were computed as read ones are, because the user asked for it; nil: as is usual, summed by digits where
  /// weights are quantised.
  public var reproducible: Bool?
  /// Whether nothing was computed behind the last router, because the user asked for it; nil: the model was run to its end.
  public var routingOnly: Bool?

  public init(version: String, simd: String, threads: Int, reproducible: Bool? = nil, routingOnly: Bool? = nil) {
    self.version = version
    self.simd = simd
    self.threads = threads
    self.reproducible = reproducible
    self.routingOnly = routingOnly
  }
}
