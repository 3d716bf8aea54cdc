// Errors on their way out: which exit code, which words. Codes follow sysexits where one fits; `moetop docs exit` prints the list.

import Analysis
import ArgumentParser
import Formats
import Foundation
import Model
import Routing
import Store

/// The documented exit codes.
enum ExitStatus: Int32, CaseIterable {
  case done = 0
  case failed = 1
  case differs = 2
  case usage = 64
  case damaged = 65
  case missing = 66
  case unsupported = 69
  case bug = 70
  case cannotCreate = 73
  case inputOutput = 74
  case tryAgain = 75
  case noPermission = 77
  case configuration = 78
  case hangUp = 129
  case interrupted = 130
  case quit = 131
  case terminated = 143

  var meaning: String {
    switch self {
    case .done: "done"
    case .failed: "a capture check failed, the model's output is not finite, or failed for another reason"
    case .differs: "--fail-if is true, or verify found a difference or a tensor it could not compare (a result, not an error)"
    case .usage: "wrong usage"
    case .damaged: "a file is damaged or not what it claims"
    case .missing: "an input does not exist"
    case .unsupported: "architecture or element type not supported"
    case .bug: "a bug in moetop"
    case .cannotCreate: "cannot create the output"
    case .inputOutput:
      "read or write error, disk full, a trace that was removed or replaced while it was written, "
        + "or a model that was changed while it was read"
    case .tryAgain: "try again: the trace is locked by another process"
    case .noPermission: "no permission"
    case .configuration: "configuration error"
    case .hangUp: "hang-up; the trace is kept up to the last whole batch"
    case .interrupted: "interrupted (^C); the trace is kept up to the last whole batch"
    case .quit: "quit (^\\ outside the screen), at once; the trace is kept up to the last whole batch"
    case .terminated: "terminated; the trace is kept up to the last whole batch"
    }
  }
}

/// A failure with words and a code of our own.
struct Failure: Error {
  var status: ExitStatus
  var message: String

  init(_ status: ExitStatus, _ message: String) {
    self.status = status
    self.message = message
  }

  /// Ends the process with the code the error stands for.
  static func exit<Command: ParsableCommand>(_ error: any Error, of command: Command.Type) -> Never {
    if let status = status(of: error) {
      if !(error is ResultDiffers) { StandardError.write(Show.message("error: \(message(of: error))") + "\n") }
      leave(status)
    }
    // The argument parser's: help and version are answers, the rest are words about arguments.
    let code = command.exitCode(for: error)
    let text = command.fullMessage(for: error)
    if code.isSuccess { StandardOutput.write(text + "\n") } else { StandardError.write(text + "\n") }
    command.exit(withError: code)
  }

  /// The code of our own errors and of those of the system's libraries; nil for those of the argument parser.
  static func status(of error: any Error) -> ExitStatus? {
    switch error {
    case let failure as Failure: failure.status
    case is ResultDiffers: .differs
    case let error as ModelError:
      switch error.kind {
      case .missing: .missing
      case .damaged: .damaged
      case .unsupported: .unsupported
      case .invalidRequest: .usage
      }
    case let error as FormatError: error.exitStatus
    case let error as TemplateError: error.exitStatus
    case is RoutingError: .unsupported
    case is AnalysisError, is ExperimentError, is FilterError, is RuleError, is ValidationError: .usage
    case let error as StoreError: error.exitStatus
    case let error as ImportError: error.kind == .usage ? .usage : .damaged
    case let error as MergeError: error.exitStatus
    default: foundation(error)?.status
    }
  }

  static func message(of error: any Error) -> String {
    switch error {
    case let failure as Failure: failure.message
    case let error as StoreError: "\(error)" + (error.advice.map { "\n  try: \($0)" } ?? "")
    case let error as ValidationError: error.message
    case let error as RuleError: "--intervene: \(error)"
    default: foundation(error)?.message ?? String(describing: error)
    }
  }

  /// An error of Foundation in words of ours: the file and the system's reason, not the framework's names for them. Nil for other errors.
  private static func foundation(_ error: any Error) -> Failure? {
    if let error = error as? POSIXError { return system("the system", "go on", error.code.rawValue) }
    guard let error = error as? CocoaError else { return nil }
    let file = error.filePath ?? error.url?.path ?? "a file"
    // Foundation's codes of writing begin at 512, those of reading end before.
    let operation = error.code.rawValue >= CocoaError.fileWriteUnknown.rawValue ? "create" : "read"
    if let cause = error.underlying as? POSIXError { return system(file, operation, cause.code.rawValue) }
    switch error.code {
    case .fileNoSuchFile, .fileReadNoSuchFile: return system(file, operation, ENOENT)
    case .fileReadNoPermission, .fileWriteNoPermission: return system(file, operation, EACCES)
    case .fileWriteOutOfSpace: return system(file, operation, ENOSPC)
    default: return Failure(.inputOutput, "\(file): \(error.localizedDescription)")
    }
  }

  private static func system(_ file: String, _ operation: String, _ code: Int32) -> Failure {
    let error = FormatError.system(file: file, operation: operation, code: code)
    return Failure(error.exitStatus, "\(error)")
  }
}

/// The command did its work and the answer is "no": exit 2, nothing more to say.
struct ResultDiffers: Error {}

extension FormatError {
  fileprivate var exitStatus: ExitStatus {
    switch self {
    case .system(_, let operation, let code):
      switch SystemError(code) {
      case .missing: operation == "create" ? .cannotCreate : .missing
      case .noPermission: .noPermission
      case .other: operation == "create" ? .cannotCreate : .inputOutput
      }
    case .changed: .inputOutput
    case .isRead: .usage
    case .notAFile, .syntax, .value, .missing, .malformed: .damaged
    case .unsupported: .unsupported
    }
  }
}

extension MergeError {
  fileprivate var exitStatus: ExitStatus {
    switch kind {
    case .usage: .usage
    case .damaged: .damaged
    case .missing: .missing
    case .cannotCreate: .cannotCreate
    case .stopped: .interrupted
    }
  }
}

extension TemplateError {
  fileprivate var exitStatus: ExitStatus {
    switch kind {
    case .syntax: .damaged
    case .unsupported, .value: .unsupported
    case .refusal: .usage
    }
  }
}

extension StoreError {
  fileprivate var exitStatus: ExitStatus {
    switch kind {
    case .usage: .usage
    case .damaged: .damaged
    case .missing: .missing
    case .unsupported: .unsupported
    case .ourFault: .bug
    case .cannotCreate: .cannotCreate
    case .inputOutput: .inputOutput
    case .locked: .tryAgain
    case .permission: .noPermission
    }
  }
}
