// What can stop a chat template, always with the template's line: it is not Jinja, it uses something outside the subset that this program
// runs exactly, it was given values it cannot work with, or it refuses the conversation itself.

/// A chat template that cannot be used, or not for this conversation.
public struct TemplateError: Error, Sendable, Equatable {
  public enum Kind: Sendable {
    /// Not a template.
    case syntax
    /// Valid Jinja, but outside the subset; nothing is guessed.
    case unsupported
    /// An operation on values it is not made for, or beyond the limits of this program.
    case value
    /// The template itself says no (`raise_exception`).
    case refusal
  }

  public var kind: Kind
  /// Where the template stands.
  public var file: String
  /// From 1.
  public var line: Int
  public var message: String
}

extension TemplateError: CustomStringConvertible {
  public var description: String {
    let place = "\(file): line \(line) of the chat template: "
    switch kind {
    case .syntax, .value: return place + message
    case .unsupported:
      return place + "\(message) is not supported, so the template is not run approximately\n  try: write the prompt out, without --chat"
    case .refusal: return place + "the template refuses this conversation: \(message)"
    }
  }
}
