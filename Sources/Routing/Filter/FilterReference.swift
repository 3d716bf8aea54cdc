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
    public var isOfText = false

    public init(form: String, subject: FilterTerm.Subject, meaning: String, isOfImages: Bool = false, isOfText: Bool = false) {
      self.form = form
      self.subject = subject
      self.meaning = meaning
      self.isOfImages = isOfImages
      self.isOfText = isOfText
    }

    /// The meaning, and whether only images have it.
    public var words: String { meaning + (isOfImages ? " (images)" : "") }

    /// What stands in front of the comparison, to complete a word that was begun: `entropy`, `token~`.
    public var completion: String {
      form.hasPrefix("token~") ? "token~" : form == "bos" ? form : String(form.prefix { !"=<>".contains($0) })
    }
  }

  public static let terms: [TermHelp] = [
    TermHelp(form: "layer=3-7,9", subject: .router, meaning: "routers of these layers"),
    TermHelp(form: "router=attn.*", subject: .router, meaning: "routers whose path fits; * is any text, ? one character"),
    TermHelp(
      form: "entropy>0.9", subject: .decision,
      meaning: "entropy as a share of ln E; 1.6nat in nats, q0.95 a quantile of the run; none where experts are looked up by token id"),
    TermHelp(
      form: "margin<0.01", subject: .decision,
      meaning: "selection margin, in the unit of the router's selection scores; none where experts are looked up by token id"),
    TermHelp(form: "expert=23,40", subject: .assignment, meaning: "takes one of these experts"),
    TermHelp(form: "weight>0.2", subject: .assignment, meaning: "with such a factor applied"),
    TermHelp(form: "rank=0", subject: .assignment, meaning: "in this place by falling selection score"),
    TermHelp(form: "position>4", subject: .token, meaning: "place in the sequence"),
    TermHelp(form: "id=5,7", subject: .token, meaning: "vocabulary ids"),
    TermHelp(form: "token=\"exact text\"", subject: .token, meaning: "the whole text of the token, as a JSON string", isOfText: true),
    TermHelp(form: "token~part", subject: .token, meaning: "a part of the token's text, whatever its case", isOfText: true),
    TermHelp(form: "bos", subject: .token, meaning: "the tokenizer's beginning of a sequence; none recorded: position 0", isOfText: true),
    TermHelp(form: "phase=decode", subject: .token, meaning: "prefill, decode, encode or denoise"),
    TermHelp(form: "surprisal>3", subject: .token, meaning: "of the token, in nats"),
    TermHelp(
      form: "LABEL=a,b", subject: .token, meaning: "label of the sequence; in quotes where its name has spaces or is that of a term"),
    TermHelp(form: "@NAME>0.5", subject: .token, meaning: "a coordinate of the token"),
    TermHelp(form: "step<10", subject: .token, meaning: "denoising step, in order of execution", isOfImages: true),
    TermHelp(form: "branch=0", subject: .token, meaning: "0 conditional, 1 unconditional", isOfImages: true),
    TermHelp(form: "patch-row=0-3", subject: .token, meaning: "row of the patch", isOfImages: true),
    TermHelp(form: "patch-column=7", subject: .token, meaning: "column of the patch", isOfImages: true),
    TermHelp(form: "class=ring", subject: .token, meaning: "class of the image: its label of this name", isOfImages: true),
  ]

  /// How filters are read, a sentence each.
  public static let rules = [
    "Terms apart by spaces must all hold, and ! in front turns one round: !TERM passes exactly where TERM alone does not.",
    "Comparisons are = > < >= <=; = takes lists, and of whole numbers ranges.",
    "Terms of routers, decisions and assignments choose decisions, terms of tokens choose tokens.",
    "A decision passes when one of its assignments passes all terms of assignments together; a negated one says that none does.",
    "A number that is not there passes no comparison.",
    "In lists of tokens a token shows when one of its decisions passes.",
    "Nothing left is an error (64), and so is a layer, router, expert, rank, label or value that the run does not have; of a range one must be there.",
  ]

  /// The reference page.
  public static func markdown() -> String {
    func code(_ text: String) -> String { "`\(text)`" }
    let rows = terms.map { "| \(code($0.form)) | \($0.subject) | \($0.words) |\n" }.joined()
    return """
      # Filters

      `analyze`, `compare` and `export` with `--filter` and the key `f` read one grammar; `compare` asks it about decisions of its first run.

      \(rules.map { "- \($0)\n" }.joined())
      | term | of a | |
      |---|---|---|
      \(rows)
      """
  }
}
