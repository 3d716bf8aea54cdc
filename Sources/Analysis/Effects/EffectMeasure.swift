// What an effect is a change of, and in which words: the loss of texts, or the last latent of images, which have no loss.

/// The number that rules change.
public enum EffectMeasure: Sendable {
  /// Nats that a text's tokens cost.
  case loss
  /// Rms of the difference that a change makes to an image's last latent, over the rms of the unchanged one, same noise and class.
  case latent

  /// Its key in JSON and conditions.
  public var key: String {
    switch self {
    case .loss: "loss_change"
    case .latent: "latent_change"
    }
  }

  public var unit: String {
    switch self {
    case .loss: "nat/token"
    case .latent: "times the rms"
    }
  }

  /// What is counted, in JSON.
  public var countedAs: String {
    switch self {
    case .loss: "texts"
    case .latent: "samples"
    }
  }

  /// One of them, for people.
  public var subject: String {
    switch self {
    case .loss: "text"
    case .latent: "image"
    }
  }

  /// Head of a column.
  var heading: String {
    switch self {
    case .loss: "loss change"
    case .latent: "latent change"
    }
  }
}
