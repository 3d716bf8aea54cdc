// The terms of a filter as a user is told of them: help of the commands, the hint of the key `f`, the manual page and the documents are
// made of this list.

extension Filter {
  /// A kind of term.
  public struct TermHelp: Sendable {
    /// As an example of it is written.
    public let form: String
    public let subject: FilterTerm.Subject
    public let meaning: String
    public var isOfImages = false

    /// What stands in front of the comparison, to complete a word that was begun: `entropy`, `token~`.
    public var completion: String {
      form.hasPrefix("token~") ? "token~" : form == "bos" ? form : String(form.prefix { !"=<>".contains($0) })
    }
  }

  public static let terms: [TermHelp] = [
    TermHelp(form: "layer=3-7,9", subject: .router, meaning: "routers of these layers"),
    TermHelp(form: "router=attn.*", subject: .router, meaning: "routers whose path fits; * is any text, ? one character"),
    TermHelp(
      form: "entropy>0.9", subject: .decision, meaning: "entropy as a share of ln E; 1.6nat in nats, q0.95 a quantile of the run"),
    TermHelp(form: "margin<0.01", subject: .decision, meaning: "selection margin, in the unit of the router's selection scores"),
    TermHelp(form: "expert=23,40", subject: .assignment, meaning: "takes one of these experts"),
    TermHelp(form: "weight>0.2", subject: .assignment, meaning: "with such a factor applied"),
    TermHelp(form: "rank=0", subject: .assignment, meaning: "in this place by falling selection score"),
    TermHelp(form: "position>4", subject: .token, meaning: "place in the sequence"),
    TermHelp(form: "id=5,7", subject: .token, meaning: "vocabulary ids"),
    TermHelp(form: "token=\"exact text\"", subject: .token, meaning: "the whole text of the token, as a JSON string"),
    TermHelp(form: "token~part", subject: .token, meaning: "a part of the token's text, whatever its case"),
    TermHelp(form: "bos", subject: .token, meaning: "the tokenizer's beginning of a sequence; none recorded: position 0"),
    TermHelp(form: "phase=decode", subject: .token, meaning: "prefill, decode, encode or denoise"),
    TermHelp(form: "surprisal>3", subject: .token, meaning: "of the token, in nats"),
    TermHelp(
      form: "LABEL=a,b", subject: .token,
      meaning: "label of the sequence; label:layer=x where it is called as a term is"),
    TermHelp(form: "@NAME>0.5", subject: .token, meaning: "a coordinate of the token"),
    TermHelp(form: "step<10", subject: .token, meaning: "denoising step, in order of execution", isOfImages: true),
    TermHelp(form: "branch=0", subject: .token, meaning: "0 conditional, 1 unconditional", isOfImages: true),
    TermHelp(form: "patch-row=0-3", subject: .token, meaning: "row of the patch", isOfImages: true),
    TermHelp(form: "patch-column=7", subject: .token, meaning: "column of the patch", isOfImages: true),
    TermHelp(form: "class=3", subject: .token, meaning: "class of the image: its label of this name", isOfImages: true),
  ]

  /// How filters are written, in one sentence.
  public static let grammar =
    "terms apart by spaces must all hold, ! in front turns one round; comparisons are = > < >= <=, = takes lists and of whole numbers ranges"
}
