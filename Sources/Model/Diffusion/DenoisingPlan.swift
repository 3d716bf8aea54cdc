// What a checkpoint that denoises images says about its own computation, as data: a transformer over patches whose blocks are steered by
// the timestep and the class. A family's declaration fills this value from its configuration; `DenoisingPass` executes it without ever
// asking which family it came from.

import Routing

/// A model that turns noise into a latent image, block by block.
struct DenoisingPlan: Sendable {
  var family: String
  /// Rows (and columns) of the latent.
  var inputSize: Int
  /// Rows (and columns) of a patch.
  var patchSize: Int
  /// Channels of the latent. The model answers with as many, or with twice as many where it also predicts a variance.
  var channels: Int
  var predictsVariance: Bool
  var hiddenSize: Int
  /// Classes of images.
  var classCount: Int
  /// The table of embeddings has a last row for "no class".
  var hasNullClass = true
  /// `[hiddenSize, channels * patchSize^2]`
  var patchEmbedding: LinearPlan
  /// `[patches, hiddenSize]`
  var positions: MatrixPlan
  /// Sines and cosines of the timestep to `[hiddenSize]`, through one hidden layer with SiLU.
  var timestepInput: LinearPlan
  var timestepOutput: LinearPlan
  /// `[classCount, hiddenSize]`, one row more with `hasNullClass`.
  var classEmbedding: MatrixPlan
  var blocks: [DenoisingBlockPlan]
  /// `[2 * hiddenSize, hiddenSize]`: shift and scale of the last norm.
  var finalModulation: LinearPlan
  /// `[patchSize^2 * output channels, hiddenSize]`
  var output: LinearPlan
  var sampling: SamplingPlan
  /// Names of the classes where the checkpoint brings them.
  var classNames: [String] = []
  /// What a reader of its numbers must know about how its authors run it; nil: nothing.
  var remark: String?

  var gridSize: Int { inputSize / patchSize }
  var patchCount: Int { gridSize * gridSize }
  var outputChannels: Int { predictsVariance ? 2 * channels : channels }
  var latentCount: Int { channels * inputSize * inputSize }

  /// Values the sines and cosines of a timestep have before the first layer.
  static let frequencyCount = 256
}

/// One block: `stream += gate * operation(norm(stream) * (1 + scale) + shift)`, once for each operation.
struct DenoisingBlockPlan: Sendable {
  /// `[3 * operations * hiddenSize, hiddenSize]`: shift, scale and gate of each operation, from timestep and class.
  var modulation: LinearPlan
  var operations: [any OperationPlan]
  /// Experts chosen by the timestep alone, whose output masks the stream before the block.
  var mask: TimestepMaskPlan?
}

/// How the checkpoint was trained to be sampled from.
struct SamplingPlan: Sendable {
  var rule: SamplingRule
  var steps: Int
  /// Factor of guidance that the authors sample with.
  var guidance: Float
  /// Outputs of the answer that guidance moves in ancestral sampling, variances among them where the latent has fewer channels; the others
  /// keep the conditional branch's value. A velocity is guided whole.
  var guidedOutputs: Int
  /// Steps of the noise schedule in training.
  var trainedSteps = 1000
}

/// How a sample moves from one step to the next.
public enum SamplingRule: Sendable, Hashable, Codable {
  /// The answer is the velocity from image to noise; t falls from 1 and is fed as it is.
  ///
  /// Source: Liu et al. 2022, arXiv:2209.03003; as DiT-MoE samples its larger models.
  case rectifiedFlow
  /// The answer is the noise and where its variance lies between two bounds; ancestral sampling.
  ///
  /// Source: Ho et al. 2020, arXiv:2006.11239; learned variance: Nichol and Dhariwal 2021, arXiv:2102.09672.
  case ddpm(NoiseSchedule.Kind)

  /// As on the command line and in traces.
  public var name: String {
    switch self {
    case .rectifiedFlow: "rectified-flow"
    case .ddpm(.linear): "ddpm"
    case .ddpm(.cosine): "ddpm-cosine"
    }
  }

  public init?(name: String) {
    switch name {
    case "rectified-flow": self = .rectifiedFlow
    case "ddpm": self = .ddpm(.linear)
    case "ddpm-cosine": self = .ddpm(.cosine)
    default: return nil
    }
  }

  public static let names = "rectified-flow, ddpm, ddpm-cosine"
}
