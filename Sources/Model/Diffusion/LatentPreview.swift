// What a latent looks like, roughly and at once: a picture of a model that works on pixels as it is, and of one that works on the latents
// of an autoencoder by a linear map, one pixel a latent cell. No decoder is run.

/// An 8-bit RGB picture, rows from the top.
public struct Picture: Sendable, Equatable {
  public var width: Int
  public var height: Int
  /// `[height, width, 3]`
  public var pixels: [UInt8]

  public init(width: Int, height: Int, pixels: [UInt8]) {
    self.width = width
    self.height = height
    self.pixels = pixels
  }

  public init(width: Int, height: Int) { self.init(width: width, height: height, pixels: Array(repeating: 0, count: 3 * width * height)) }

  /// Pictures of one size side by side, rows of `columns`.
  ///
  /// - Parameter gap: black pixels between two.
  public static func grid(_ pictures: [Picture], columns: Int, gap: Int = 2) -> Picture {
    guard let first = pictures.first else { return Picture(width: 0, height: 0) }
    let columns = max(1, min(columns, pictures.count))
    let rows = (pictures.count + columns - 1) / columns
    var whole = Picture(width: columns * (first.width + gap) - gap, height: rows * (first.height + gap) - gap)
    for (index, picture) in pictures.enumerated() {
      let (top, left) = (index / columns * (first.height + gap), index % columns * (first.width + gap))
      for y in 0..<picture.height {
        let target = 3 * ((top + y) * whole.width + left)
        whole.pixels.replaceSubrange(
          target..<target + 3 * picture.width, with: picture.pixels[3 * y * picture.width..<3 * (y + 1) * picture.width])
      }
    }
    return whole
  }
}

extension DenoisingModel {
  /// Whether a picture of this model's latents is what the model paints, not only a likeness of it.
  public var worksOnPixels: Bool { channels == 3 }

  /// A picture of one sample, `[channels, inputSize, inputSize]`; pixels from -1 to 1.
  public func picture(of latent: ArraySlice<Float>) -> Picture {
    let size = inputSize
    let plane = size * size
    var picture = Picture(width: size, height: size)
    let start = latent.startIndex
    for place in 0..<plane {
      for colour in 0..<3 {
        var value: Float = 0
        if worksOnPixels {
          value = latent[start + colour * plane + place]
        } else {
          for channel in 0..<min(channels, Self.colourOfLatent.count) {
            value += latent[start + channel * plane + place] * Self.colourOfLatent[channel][colour]
          }
        }
        let shade = (min(max(value, -1), 1) + 1) * 127.5
        picture.pixels[3 * place + colour] = value.isNaN ? 0 : UInt8(shade.rounded())
      }
    }
    return picture
  }

  /// Red, green and blue of the four channels of Stable Diffusion's autoencoder, which DiT-MoE was trained on.
  ///
  /// Source: the linear approximation that ComfyUI (`latent_formats.py`, SD15) uses for its previews.
  private static let colourOfLatent: [[Float]] = [
    [0.3512, 0.2297, 0.3227], [0.3250, 0.4974, 0.2350], [-0.2829, 0.1762, 0.2721], [-0.2120, -0.2616, -0.7177],
  ]
}
