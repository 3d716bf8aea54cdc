// A door for verification: whoever wants to see activations inside the forward pass implements this. Without a probe nothing is
// computed or copied for it.

import Routing

/// Sees activations as they pass; pointers are valid during the call only.
public protocol ActivationProbe: AnyObject {
  /// Output `[tokens, hiddenSize]` of the encoder, after its final norm.
  func encoded(_ values: UnsafeBufferPointer<Float>)
  /// Hidden states `[tokens, hiddenSize]` of the decoder; index 0: embeddings; index layerCount: after the final norm.
  func hidden(_ index: Int, _ values: UnsafeBufferPointer<Float>)
  /// Input and output `[tokens, hiddenSize]` of the routed block of one router.
  func block(_ router: RouterID, input: UnsafeBufferPointer<Float>, output: UnsafeBufferPointer<Float>)
}
