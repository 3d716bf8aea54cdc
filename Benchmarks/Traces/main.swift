// How many decisions a second does a core write, read and fold? Decisions of random logits, made by the router as an engine makes them.
// Processor seconds of the whole process, those of the system included; the shortest of some rounds.
//   TraceBench [decisions 3000000] [routers 48] [experts 128] [k 8] [rounds 3] [only write,read] [keep FILE]
// A JSON object: the shape, bytes of the trace, and millions of decisions a second
//   write   into a new trace with statistics, passes of 512 tokens
//   decode  the same in passes of one token, of a twentieth as many
//   read    pages back into batches, checksums compared
//   fold    load and entropy of batches in memory
//   answer  load and entropy of the trace: read and fold and the report

import Analysis
import Foundation
import Routing
import Store

func processorSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

let arguments = Array(CommandLine.arguments.dropFirst())

@MainActor func option(_ name: String, _ standard: Int) -> Int {
  guard let place = arguments.firstIndex(of: name), place + 1 < arguments.count else { return standard }
  return Int(arguments[place + 1]) ?? standard
}

let (decisions, routers) = (option("decisions", 3_000_000), option("routers", 48))
let (experts, topK, rounds) = (option("experts", 128), option("k", 8), option("rounds", 3))
let keep = arguments.firstIndex(of: "keep").map { arguments[$0 + 1] }
let only = arguments.firstIndex(of: "only").map { Set(arguments[$0 + 1].split(separator: ",").map(String.init)) }

var figures: [String] = []

/// Millions of decisions a second, by the shortest of the rounds.
@MainActor func rate(_ name: String, _ count: Int, _ body: () throws -> Void) rethrows {
  if let only, !only.contains(name) { return }
  var shortest = Double.infinity
  for _ in 0..<rounds {
    let start = processorSeconds()
    try body()
    shortest = min(shortest, processorSeconds() - start)
  }
  figures.append("\"\(name)\": \((Double(count) / shortest / 1e4).rounded() / 100)")
}

let spec = RouterSpec(expertCount: experts, scoring: .softmax, selection: .tokenChoice(topK: topK), normalization: .sum(epsilon: 0))
let ids = (0..<routers).map { RouterID(layer: $0) }
let made = try MadeDecisions(spec, routers: ids, tokens: max(1, decisions / routers))
let passes = made.passes(of: 512)
let count = passes.reduce(0) { $0 + $1.batches.reduce(0) { $0 + $1.count } }

let folder = NSTemporaryDirectory() + "moetop-traces-\(getpid())"
try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
defer { try? FileManager.default.removeItem(atPath: folder) }
let file = keep ?? folder + "/trace.db"

@MainActor func write(_ passes: [RoutingPass], to file: String) throws {
  for end in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: file + end) }
  let writer = try TraceWriter(file: file, description: made.description, sequences: made.sequences)
  for pass in passes { try writer.receive(pass) }
  try writer.finish(.completed)
}

try rate("write", count) { try write(passes, to: file) }
if only?.contains("decode") ?? true {
  let single = made.passes(of: 1, upTo: max(1, made.tokens / 20))
  try rate("decode", single.count * routers) { try write(single, to: folder + "/decode.db") }
}
if !FileManager.default.fileExists(atPath: file) { try write(passes, to: file) }
let (reader, run) = try TraceReader.open(TraceReference(file: file, run: .latest))
try rate("read", count) { try reader.passes(of: run, withLogits: false).forEach { _ in } }
let plan = AnalysisPlan(
  metrics: try MetricKey.list(parsing: "load,entropy"), sequences: made.sequences, routers: made.description.routers,
  recording: made.description.recording)
try rate("fold", count) {
  var analysis = try RunAnalysis(plan)
  for pass in passes { analysis.add(pass) }
}
try rate("answer", count) {
  var analysis = try RunAnalysis(plan)
  try reader.passes(of: run, withLogits: false).forEach { analysis.add($0) }
  _ = try analysis.report()
}
let bytes = try FileManager.default.attributesOfItem(atPath: file)[.size] as? Int ?? 0
let shape = "\"decisions\": \(count), \"routers\": \(routers), \"experts\": \(experts), \"k\": \(topK), \"bytes\": \(bytes)"
print("{\(shape), \(figures.joined(separator: ", "))}")
