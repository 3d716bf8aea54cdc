// Rules tried aside, on the texts of the run that is open: which texts, which model, and what comes back.

import Analysis
import Model
import Routing
import Terminal

extension AppModel {
  /// Texts that rules are tried on, and tokens of each.
  static let trialTexts = 48
  static let trialTokens = 128

  /// The model that the run is of: where its user says, else where it was when it was recorded.
  var trialModel: String? {
    if let chosen = interventions.model { return chosen }
    switch source {
    case .live: return modelPath
    case .trace(let run, _, _): return run.description.model.path.isEmpty ? nil : ModelPlaces.found(run.description.model.path)
    case .nothing, .opening: return nil
    }
  }

  /// Rules that the open run was recorded under.
  var rulesOfRun: String? { if case .trace(let run, _, _) = source { run.description.intervention } else { nil } }

  /// What the model must be, so that its tokens and routers are the run's; nil for a live one.
  private var trialIdentity: ModelIdentity? { if case .trace(let run, _, _) = source { run.description.model } else { nil } }

  /// Why rules cannot be tried now; nil when they can.
  var whyNoTrial: String? {
    if interventions.progress != nil { return "rules are being tried: esc cancels" }
    if !interventions.rules.contains(where: \.isOn) { return "no rule is on: \(key(.addRule)) adds one, \(key(.pause)) turns one on" }
    guard let path = trialModel else { return "there is no model: \(key(.open)) opens one" }
    if !ModelPlaces.isModel(path) { return "the model of this run is not at \(path): :\(ActionID.trialModel) says where it is" }
    if kind.hasNext, buffer?.lacksIDs == true { return "this run keeps no token ids: no model can read its texts again" }
    return kind.hasNext && trialSequences.isEmpty ? "this run has no text of two tokens yet" : nil
  }

  /// Texts of the run as ids, from its beginning, evenly over its sequences.
  var trialSequences: [TokenSequence] {
    guard let buffer, !routers.contains(where: { $0.id.stack == .encoder }) else { return [] }
    var texts: [Int: TokenSequence] = [:]
    for row in shownRows where buffer.position(row) == (texts[buffer.sequence(row)]?.tokens.count ?? 0) {
      let sequence = buffer.sequence(row)
      if texts[sequence]?.tokens.count == Self.trialTokens || buffer.tokenID(row) < 0 { continue }
      let description = buffer.sequences.indices.contains(sequence) ? buffer.sequences[sequence] : SequenceDescription(name: "\(sequence)")
      texts[sequence, default: TokenSequence(description, tokens: [])].tokens.append(buffer.tokenID(row))
    }
    let whole = texts.sorted { $0.key < $1.key }.map(\.value).filter { $0.tokens.count > 1 }
    let step = max(1, whole.count / Self.trialTexts)
    return Array(stride(from: 0, to: whole.count, by: step).map { whole[$0] }.prefix(Self.trialTexts))
  }

  /// The text of the token looked at, up to it.
  private var trialPrompt: TokenSequence? {
    guard let buffer, let row else { return nil }
    let first = row - buffer.position(row)
    guard first >= buffer.first, buffer.position(row) < 2048, !buffer.lacksIDs else { return nil }
    return TokenSequence(SequenceDescription(name: "text"), tokens: (first...row).map { buffer.tokenID($0) })
  }

  mutating func evaluateRules() -> [Effect] {
    guard let path = trialModel else { return [] }
    let rules = interventions.rules.filter(\.isOn).map(\.text).joined(separator: "; ")
    interventions.number += 1
    (interventions.progress, interventions.problem) = (("opening the model", 0, 1), nil)
    var question = TrialQuestion(model: path, identity: trialIdentity, rules: rules)
    if let layout {
      question.images = ImageTrial(steps: layout.stepCount, guidance: layout.branchCount > 1 ? layout.guidanceScale : nil)
    } else {
      (question.texts, question.prompt) = (trialSequences, trialPrompt)
    }
    // Two passes at once would slow each other down.
    let pause: [Effect] = isLive && isBusy && !isPaused ? [.engine(.pause)] : []
    if !pause.isEmpty { isPaused = true }
    return pause + [.work(TrialWork(question: question, row: row, number: interventions.number))]
  }
}

struct TrialWork: ScreenWork {
  static let lane = "trial"
  var question: TrialQuestion
  /// The token that the continuation begins behind.
  var row: Int?
  var number: Int

  var lane: String? { Self.lane }

  func run(_ desk: WorkDesk) {
    var told = -1
    let trial = InterventionTrial(engine: desk.settings.engine, question: question) { words, done, all in
      // Two hundred steps are enough to see it move.
      let step = done * 200 / max(1, all)
      if step != told {
        told = step
        desk.post(TrialProgress(number: number, words: words, done: done, all: all))
      }
      return desk.isWanted()
    }
    do {
      guard let answer = try trial.answer() else { return }
      desk.post(TrialReport(number: number, rules: question.rules, row: row, answer: answer))
    } catch {
      desk.post(TrialProblem(number: number, words: Failure.message(of: error)))
    }
  }
}

struct TrialProgress: ScreenReport {
  var number: Int
  var words: String
  var done: Int
  var all: Int

  func arrive(in model: inout AppModel) -> [Effect] {
    if number == model.interventions.number, model.interventions.progress != nil { model.interventions.progress = (words, done, all) }
    return []
  }
}

struct TrialProblem: ScreenReport {
  var number: Int
  var words: String

  func arrive(in model: inout AppModel) -> [Effect] {
    guard number == model.interventions.number else { return [] }
    (model.interventions.problem, model.interventions.progress) = (words, nil)
    model.say(words.split(separator: "\n").first.map(String.init) ?? words, .error, seconds: 20)
    return []
  }
}

struct TrialReport: ScreenReport {
  var number: Int
  /// The rules that were tried: those on the screen may be others by now.
  var rules: String
  var row: Int?
  var answer: TrialAnswer

  func arrive(in model: inout AppModel) -> [Effect] {
    guard number == model.interventions.number else { return [] }
    (model.interventions.found, model.interventions.progress) = (self, nil)
    model.interventions.effects[rules] = answer.effect
    return []
  }
}
