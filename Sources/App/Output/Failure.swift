// Errors on their way out: which exit code, which words. Codes follow sysexits where one fits; `moetop docs exit` prints the list.

import Analysis
import ArgumentParser
import Formats
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
  case terminated = 143

  var meaning: String {
    switch self {
    case .done: "done"
    case .failed: "failed for another reason"
    case .differs: "--fail-if is true, or verify found a difference (a result, not an error)"
    case .usage: "wrong usage"
    case .damaged: "a file is damaged or not what it claims"
    case .missing: "an input does not exist"
    case .unsupported: "architecture or element type not supported"
    case .bug: "a bug in moetop"
    case .cannotCreate: "cannot create the output"
    case .inputOutput: "read or write error, disk full, or a trace that was removed or replaced while it was written"
    case .tryAgain: "try again: the trace is locked by another process"
    case .noPermission: "no permission"
    case .configuration: "configuration error"
    case .hangUp: "hang-up; the trace is kept up to the last whole batch"
    case .interrupted: "interrupted (^C); the trace is kept up to the last whole batch"
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
      if status != .differs || !(error is ResultDiffers) { StandardError.write("error: \(message(of: error))\n") }
      leave(status)
    }
    command.exit(withError: error)
  }

  /// The code of our own errors; nil for those of the argument parser.
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
    case is AnalysisError: .usage
    case let error as StoreError: error.exitStatus
    default: nil
    }
  }

  static func message(of error: any Error) -> String {
    switch error {
    case let failure as Failure: failure.message
    case let error as StoreError: "\(error)" + (error.advice.map { "\n  try: \($0)" } ?? "")
    default: String(describing: error)
    }
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
    case .notAFile, .syntax, .value, .missing, .malformed: .damaged
    case .unsupported: .unsupported
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
