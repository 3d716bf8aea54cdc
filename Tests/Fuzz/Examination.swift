// What does the program make of a damaged file? It opens, and then it also runs, or it is refused in words that name the file and the
// place; in time, and in memory that the file itself bounds. Anything else is a complaint.

import Analysis
import CMemoryMeter
import Formats
import Foundation
import Model
import Routing
import Store
import Synchronization

/// What came of one file's damages.
struct Tally: Codable {
  var cutOpened = 0
  var cutRefused = 0
  var flippedOpened = 0
  var flippedRefused = 0
  /// Opened ones that were run too.
  var ran = 0
  /// Most bytes allocated at a time while opening, the sound file included; 0 where the build does not count.
  var peakBytes = 0
  /// Bytes of the sound file and of what is opened with it.
  var fileBytes = 0
  var slowestSeconds = 0.0
  var complaintCount = 0
  var complaints: [String] = []

  mutating func complain(_ text: String) {
    complaintCount += 1
    if complaints.count < 5 { complaints.append(text) }
  }
}

struct Examination {
  /// Of the cases that still open, one in so many is run as well, and every one whose values are wild.
  static let runEvery = 7

  let subject: Subject
  let counts: Counts

  /// Damages a copy of the file in every way and looks at each.
  func tally() throws -> Tally {
    _ = meter_start()
    let specimen = try Specimen(subject)
    // The first line tells where to look after a crash.
    print(specimen.path)
    fflush(nil)
    guard let file = FileHandle(forUpdatingAtPath: specimen.path) else { throw CocoaError(.fileReadUnknown) }
    let watch = Watch()
    var tally = Tally()
    tally.fileBytes = specimen.byteCount
    // What the program sets up once, tables of the runtime among it, is not the file's doing.
    _ = try specimen.open()
    use(try measured("sound", &tally) { try specimen.open() }, in: specimen) { tally.complain("sound: \($0)") }
    for (index, damage) in Damage.all(of: specimen, named: subject.name, counts / subject.reading.oneOf).enumerated() {
      try specimen.suffer(damage, file) {
        tally.slowestSeconds = max(
          tally.slowestSeconds,
          watch.time("\(subject.name): \(damage)") {
            examine(specimen, damage, runs: index % Self.runEvery == 0 || damage.isWild, &tally)
          })
      }
    }
    return tally
  }

  private func examine(_ specimen: Specimen, _ damage: Damage, runs: Bool, _ tally: inout Tally) {
    let isCut = if case .cut = damage { true } else { false }
    func judge(_ error: any Error) {
      if let fault = fault(of: error, specimen) { tally.complain("\(damage): \(fault): \(error)") }
    }
    let opened: Opened
    do { opened = try measured("\(damage)", &tally) { try specimen.open() } } catch {
      if isCut { tally.cutRefused += 1 } else { tally.flippedRefused += 1 }
      return judge(error)
    }
    if isCut { tally.cutOpened += 1 } else { tally.flippedOpened += 1 }
    guard runs else { return }
    tally.ran += 1
    use(opened, in: specimen, judge)
  }

  private func measured(_ what: String, _ tally: inout Tally, _ open: () throws -> Opened) throws -> Opened {
    meter_reset()
    let result = Result { try open() }
    let peak = Int(meter_peak())
    tally.peakBytes = max(tally.peakBytes, peak)
    if peak > 2 * tally.fileBytes + subject.reading.allowance {
      tally.complain("\(what): \(peak) bytes allocated for \(tally.fileBytes) bytes of file")
    }
    return try result.get()
  }

  /// Reads everything, runs a few tokens, encodes a text, writes a prompt; what is refused on the way is judged.
  private func use(_ opened: Opened, in specimen: Specimen, _ judge: (any Error) -> Void) {
    if case .trace(let trace) = opened { return Traces.examine(trace, in: specimen.directory, judge) }
    do { try use(opened, in: specimen) } catch { judge(error) }
  }

  private func use(_ opened: Opened, in specimen: Specimen) throws {
    switch opened {
    case .tensors(let tensors): for tensor in tensors { _ = tensor.bytes.reduce(0) { $0 ^ $1 } }
    case .json(let value): visit(value)
    case .model(let model): try run(model)
    case .denoising(let model): try run(model)
    case .tokenizer(let tokenizer):
      let ids = try tokenizer.encode("<s>Mixture of 16 experts, naïve\u{2028}  \t日本 👩‍🔬\r\n", addSpecialTokens: true)
      _ = tokenizer.decode(ids + [-1, .max], skipSpecialTokens: false)
    case .template(let template):
      _ = try template.prompt(for: ["user", "assistant", "user"].map { ChatMessage(role: $0, content: "Hi <s>\n{{") })
    case .record(let record): try RecordOptions.examine(record, in: specimen.directory)
    case .trace, .done: break
    }
  }

  private func visit(_ value: JSONValue) {
    _ = (value.string, value.double, value.int64)
    for element in value.elements { visit(element) }
    for member in value.members { visit(member.value) }
  }

  private func run(_ model: DenoisingModel) throws {
    let guidance: Float? = model.hasNullClass ? 2 : nil
    let request: DenoisingRequest
    // A model whose answer has no variance cannot be sampled by its own rule.
    do { request = try DenoisingRequest(model, classes: [0], steps: 2, guidance: guidance) } catch is ModelError { return }
    let denoiser = Denoiser(DenoisingPass(model, threads: 1), request)
    while !denoiser.isFinished { _ = try denoiser.advance(sink: nil) }
    _ = model.picture(of: denoiser.latents[...])
  }

  private func run(_ model: LanguageModel) throws {
    let tokens: [Int32] = [3, 4, 5]
    let sequence = TokenSequence(SequenceDescription(name: "three tokens"), encoder: model.hasEncoder ? tokens : nil, tokens: tokens)
    do { try model.check(sequence) } catch is ModelError { return }  // a context or vocabulary of two tokens
    let forward = ForwardPass(model, threads: 1)
    let demand = RoutingDemand(logitsEvery: 1)
    let batches = (model.hasEncoder ? forward.encode(tokens, demand: demand) : []) + forward.advance(tokens[...], demand: demand)
    for batch in batches { try batch.validate() }
    _ = forward.logits(0..<tokens.count)
  }

  /// What a refusal lacks, or nil.
  private func fault(of error: any Error, _ specimen: Specimen) -> String? {
    switch error {
    case let error as StoreError where error.kind == .ourFault: return "calls itself a bug"
    // Words are quoted, and have no file.
    case is StoreError where specimen.reading == .words: return nil
    case is FilterError where specimen.reading == .words: return nil
    case is AnalysisError where [.words, .trace].contains(specimen.reading): return nil
    // What only the user can say of it has an option, and no place.
    case let error as ImportError where specimen.reading == .record && error.kind == .usage: return nil
    case let error as SessionRefusal: return error.description.hasPrefix("error: ") ? nil : "is no error of ours"
    default: return faultOfFile(error, specimen)
    }
  }

  private func faultOfFile(_ error: any Error, _ specimen: Specimen) -> String? {
    guard specimen.fileNames.contains(where: { "\(error)".contains($0) }) else { return "names no file" }
    let place: String?
    switch error {
    case let error as FormatError:
      switch error {
      case .syntax: place = "byte"
      case .value(_, let path, _, _), .missing(_, let path, _): place = path
      case .malformed(_, let part, _, _), .unsupported(_, let part, _, _): place = part
      case .system, .notAFile, .changed, .isRead: place = nil
      }
    case let error as ModelError:
      switch error {
      case .configuration(_, let key, _, _), .unsupportedSetting(_, let key, _, _), .missingOperation(_, let key, _, _): place = key
      case .unsupportedFamily: place = "model_type"
      case .missingTensor(_, let name), .tensorShape(_, let name, _, _, _), .tensorType(_, let name, _, _): place = name
      case .lookupTables(_, let name, _, _, _): place = name
      default: place = nil
      }
    case is StoreError: place = "a part of the database"
    case is MergeError: place = "a run"
    case is ImportError: place = "the whole file"
    case let error as TemplateError: place = "line \(error.line)"
    default: return "is no error of ours"
    }
    return place?.isEmpty == false ? nil : "names no place"
  }
}

/// Ends the process when one case takes too long: a hang is reported, not waited for.
final class Watch: Sendable {
  /// Seconds; a case takes milliseconds, so this is a hang even on a busy machine with a sanitizer.
  static let limit = 20.0
  static let hangStatus: Int32 = 86

  private let current = Mutex<(what: String, since: ContinuousClock.Instant)?>(nil)

  init() {
    let thread = Thread { [self] in
      while true {
        Thread.sleep(forTimeInterval: 0.5)
        current.withLock { current in
          guard let current, ContinuousClock.now - current.since > .seconds(Self.limit) else { return }
          FileHandle.standardError.write(Data("\(current.what): not done after \(Self.limit) s\n".utf8))
          exit(Self.hangStatus)
        }
      }
    }
    thread.start()
  }

  /// Seconds that `body` took.
  func time(_ what: @autoclosure () -> String, _ body: () -> Void) -> Double {
    let start = ContinuousClock.now
    let description = what()
    current.withLock { $0 = (description, start) }
    body()
    current.withLock { $0 = nil }
    return (ContinuousClock.now - start) / .seconds(1)
  }
}
