// Does an export say what the run says, to the letter? Small goldens for the text forms; safetensors read back by our own reader and
// compared with every decision; interleaved sequences; outputs that cannot be written.

import Formats
import Foundation
import Routing
import Support
import Testing

@testable import Store

@Suite struct ExportTests {
  let directory: TemporaryDirectory
  var file: String { directory.file("trace.db") }

  init() throws { directory = try TemporaryDirectory() }

  private func text(_ content: TraceExport.Content, _ format: TraceExport.Format, _ selector: RunSelector = .latest) throws -> String {
    let trace = try TraceReader(file: file)
    var bytes: [UInt8] = []
    try TraceExport(trace: trace, run: try trace.run(selector)).write(content, as: format, to: .stream { bytes += $0 })
    let output = directory.file("export.out")
    try TraceExport(trace: trace, run: try trace.run(selector)).write(content, as: format, to: .file(output))
    #expect([UInt8](try Data(contentsOf: URL(fileURLWithPath: output))) == bytes)
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Two tokens of two sequences, fed the second first; one expert dropped, one slot empty, one statistic not defined.
  private func recordSmallRun(_ extras: RecordingExtras = []) throws {
    var shape = SampleShape(name: "small", routers: [RouterID(layer: 2)], expertCount: 4, topK: 2, passes: [])
    shape.recording = RecordingLevel(content: .full, extras: extras)
    var tokens = TokenTable()
    tokens.append(sequence: 1, position: 0, tokenID: 7, phase: .prefill, nextTokenEntropy: 0.1)
    tokens.append(sequence: 0, position: 0, tokenID: 300, phase: .decode, surprisal: 2.5, nextTokenEntropy: 1.25)
    var batch = RoutingBatch(router: RouterID(layer: 2), expertCount: 4, topK: 2, firstToken: 0, count: 2)
    batch.selectedExperts = [3, 1, 0, -1]
    batch.routingWeights = [0.1, 0.7, 1, 0]
    batch.dropped = [false, true, false, false]
    batch.routerEntropy = [1.1, 0.2]
    batch.selectionMargin = [0.25, .nan]
    batch.top1Margin = [0.5, 0.75]
    batch.topKMass = [0.8, 0.9]
    batch.importanceSum = [0.5, 0.25, 0.25, 1]
    batch.squaredLogSumExpSum = 3
    batch.logits = RouterLogits(rows: [0, 1], values: [0, 1, 2, 3, 4, 5, 6, 7.5])
    // A writer keeps of these what its run records.
    batch.expertNorms = [1.25, .nan, 2.5, .nan]
    (batch.sharedWeight, batch.sharedNorm) = ([.nan, 0.75], [.nan, 1.5])
    tokens.predictedID = [-1, 9]
    let writer = try TraceWriter(file: file, description: shape.run, pieces: { $0 == 7 ? Array("a,\"b\"\n".utf8) : [0xc3] })
    try writer.receive(RoutingPass(tokens: tokens, batches: [batch]))
    try writer.finish(.completed)
  }

  @Test func textForms() throws {
    try recordSmallRun()
    #expect(
      try text(.routing, .csv) == """
        run,stack,layer,token,sequence,position,token_id,rank,expert,weight,dropped,entropy,selection_margin,top1_margin,top_k_mass
        1,ffn,2,1,0,0,300,0,0,1.0,0,0.2,,0.75,0.9
        1,ffn,2,0,1,0,7,0,3,0.1,0,1.1,0.25,0.5,0.8
        1,ffn,2,0,1,0,7,1,1,0.0,1,1.1,0.25,0.5,0.8

        """)
    #expect(
      try text(.routing, .jsonl) == """
        {"run":1,"stack":"ffn","layer":2,"token":1,"sequence":0,"position":0,"token_id":300,"experts":[0],"weights":[1.0],\
        "entropy":0.2,"top1_margin":0.75,"top_k_mass":0.9,"router_logits":[4.0,5.0,6.0,7.5]}
        {"run":1,"stack":"ffn","layer":2,"token":0,"sequence":1,"position":0,"token_id":7,"experts":[3,1],"weights":[0.1,0.0],\
        "dropped":[false,true],"entropy":1.1,"selection_margin":0.25,"top1_margin":0.5,"top_k_mass":0.8,"router_logits":[0.0,1.0,2.0,3.0]}

        """)
    #expect(
      try text(.load, .csv) == """
        run,layer,expert,assignments,load,importance,mean_weight
        1,2,0,1,0.5,0.25,1.0
        1,2,1,0,0.0,0.125,
        1,2,2,0,0.0,0.125,
        1,2,3,1,0.5,0.5,0.10000000149011612

        """)
    #expect(
      try text(.load, .jsonl).hasPrefix(
        "{\"run\":1,\"layer\":2,\"expert\":0,\"assignments\":1,\"load\":0.5,\"importance\":0.25,\"mean_weight\":1.0}\n"))
    #expect(
      try text(.tokens, .csv) == """
        run,token,sequence,position,token_id,phase,surprisal,next_token_entropy,text
        1,1,0,0,300,decode,2.5,1.25,\u{fffd}
        1,0,1,0,7,prefill,,0.1,"a,""b""
        "

        """)
    #expect(
      try text(.tokens, .jsonl) == """
        {"run":1,"token":1,"sequence":0,"position":0,"token_id":300,"phase":"decode","surprisal":2.5,"next_token_entropy":1.25,"text":"\u{fffd}"}
        {"run":1,"token":0,"sequence":1,"position":0,"token_id":7,"phase":"prefill","next_token_entropy":0.1,"text":"a,\\"b\\"\\n"}

        """)
  }

  /// What a run kept on request stands behind all other columns and keys.
  @Test func textFormsOfExtras() throws {
    try recordSmallRun(.all)
    let csv = try text(.routing, .csv).split(separator: "\n")
    #expect(csv[0].hasSuffix("top_k_mass,norm,shared_weight,shared_norm,pass,batch,predicted_id"))
    #expect(csv[1].hasSuffix("0.9,2.5,0.75,1.5,0,1,9") && csv[2].hasSuffix("0.8,1.25,,,0,0,") && csv[3].hasSuffix("0.8,,,,0,0,"))
    let lines = try text(.routing, .jsonl).split(separator: "\n")
    #expect(
      lines[0].contains("\"norms\":[2.5],\"shared_weight\":0.75,\"shared_norm\":1.5,\"pass\":0,\"batch\":1,\"predicted_id\":9"))
    #expect(lines[1].contains("\"norms\":[1.25,null],\"pass\":0,\"batch\":0,\"router_logits\""))
    #expect(
      try text(.tokens, .csv).hasPrefix(
        "run,token,sequence,position,token_id,phase,surprisal,next_token_entropy,text,pass,batch,predicted_id\n"))
    #expect(try text(.tokens, .csv).contains("\u{fffd},0,1,9\n"))
  }

  @Test func loadOfSeveralStacksNamesThem() throws {
    try SampleShape(name: "x", routers: [RouterID(stack: .attention, layer: 0), RouterID(layer: 0)], passes: [3]).record(in: file)
    #expect(try text(.load, .csv).hasPrefix("run,layer,expert,assignments,load,importance,mean_weight,stack\n1,0,0,"))
  }

  // MARK: Safetensors

  private func safetensors(_ selector: RunSelector = .latest) throws -> SafetensorsFile {
    let trace = try TraceReader(file: file)
    let path = directory.file("routing.safetensors")
    try TraceExport(trace: trace, run: try trace.run(selector)).write(.routing, as: .safetensors, to: .file(path))
    return try SafetensorsFile(path: path)
  }

  private func numbers<Number: BitwiseCopyable>(_ file: SafetensorsFile, _ name: String, _ type: Number.Type) throws -> [Number] {
    let tensor = try file.tensor(name)
    return (0..<tensor.byteCount / MemoryLayout<Number>.size).map {
      tensor.bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Number>.size, as: type)
    }
  }

  static let shapes: [SampleShape] = [
    SampleShape(name: "weights", passes: [250, 1, 1, 70], hasNaN: true, hasDrops: true, hasPadding: true),
    SampleShape(name: "full", recording: RecordingLevel(content: .full), passes: [250, 1, 70]),
    SampleShape(name: "some rows", recording: RecordingLevel(content: .full, logitsEvery: 7), passes: [250, 1, 70]),
    SampleShape(name: "ids", recording: RecordingLevel(content: .ids), passes: [30]),
    SampleShape(
      name: "extras", recording: RecordingLevel(content: .full, logitsEvery: 3, extras: .all), passes: [250, 1, 70], hasNaN: true,
      hasDrops: true, hasPadding: true),
    SampleShape(name: "attention", routers: [RouterID(stack: .attention, layer: 1), RouterID(layer: 1)], topK: 1, passes: [30]),
    SampleShape(name: "dense", expertCount: 3, topK: 3, passes: [30]),
    SampleShape(name: "nothing", passes: []),
  ]

  @Test(arguments: shapes, [false, true]) func safetensorsHoldEveryDecision(_ shape: SampleShape, isInterleaved: Bool) throws {
    var passes = shape.makePasses()
    if isInterleaved {
      // Seven sequences fed side by side.
      for index in passes.indices {
        for row in 0..<passes[index].tokens.count {
          let token = passes[index].tokens.firstToken + row
          passes[index].tokens.sequence[row] = Int32(token % 7)
          passes[index].tokens.position[row] = Int32(token / 7)
        }
      }
    }
    let writer = try TraceWriter(file: file, description: shape.run)
    for pass in passes { try writer.receive(pass) }
    try writer.finish(.completed)

    let whole = WholeRun(passes)
    let count = whole.tokens.count
    let order = (0..<count).sorted {
      (whole.tokens.sequence[$0], whole.tokens.position[$0]) < (whole.tokens.sequence[$1], whole.tokens.position[$1])
    }
    let export = try safetensors()
    #expect(export.metadata.first { $0.key == "moetop.export" }?.value == "routing/1")
    #expect(export.metadata.first { $0.key == "moetop.run" }?.value == "1")
    #expect(export.metadata.first { $0.key == "moetop.model_hash" }?.value == "00ff")
    #expect(try numbers(export, "input_ids", Int32.self) == order.map { whole.tokens.tokenID[$0] })
    #expect(try numbers(export, "phase", UInt8.self) == order.map { whole.tokens.phase[$0].rawValue })
    let lengths = try numbers(export, "sequence_lengths", Int32.self)
    #expect(lengths.reduce(0, +) == Int32(count))
    for (sequence, length) in lengths.enumerated() {
      #expect(Int(length) == whole.tokens.sequence.filter { $0 == Int32(sequence) }.count)
    }
    var expectedNames: Set<String> = ["input_ids", "phase", "sequence_lengths"]
    for (name, column) in [("pass", whole.tokens.pass), ("batch", whole.tokens.batch), ("predicted_ids", whole.tokens.predictedID)] {
      guard let column else { continue }
      #expect(try numbers(export, name, Int32.self) == order.map { column[$0] })
      expectedNames.insert(name)
    }
    for (id, batch) in whole.routers {
      let k = batch.topK
      #expect(try export.tensor("\(id).expert_ids").shape == [count, k])
      let slots = order.flatMap { Array($0 * k..<($0 + 1) * k) }
      #expect(try numbers(export, "\(id).expert_ids", Int32.self) == slots.map { batch.selectedExperts[$0] })
      if shape.recording.content >= .weights {
        let weights = slots.map { batch.selectedExperts[$0] < 0 || batch.dropped?[$0] == true ? 0 : batch.routingWeights[$0] }
        #expect(try numbers(export, "\(id).weights", Float.self) == weights)
        expectedNames.insert("\(id).weights")
      }
      let statistics =
        [
          ("entropy", batch.routerEntropy), ("selection_margin", batch.selectionMargin), ("top1_margin", batch.top1Margin),
          ("top_k_mass", batch.topKMass),
        ]
        + [("shared_weight", batch.sharedWeight), ("shared_norm", batch.sharedNorm)].compactMap { name, column in column.map { (name, $0) }
        }
      if let norms = batch.expertNorms {
        #expect(try export.tensor("\(id).expert_norms").shape == [count, k])
        #expect(try numbers(export, "\(id).expert_norms", Float.self).map(\.description) == slots.map { norms[$0].description })
        expectedNames.insert("\(id).expert_norms")
      }
      for (name, values) in statistics {
        #expect(try numbers(export, "\(id).\(name)", Float.self).map(\.description) == order.map { values[$0].description })
        expectedNames.insert("\(id).\(name)")
      }
      expectedNames.insert("\(id).expert_ids")
      guard let logits = batch.logits, !logits.rows.isEmpty else { continue }
      expectedNames.insert("\(id).router_logits")
      let kept = order.enumerated().filter { logits.rows.contains(Int32($0.element)) }
      #expect(try export.tensor("\(id).router_logits").shape == [kept.count, batch.expertCount])
      let rowOf = Dictionary(logits.rows.enumerated().map { ($0.element, $0.offset) }, uniquingKeysWith: { first, _ in first })
      #expect(
        try numbers(export, "\(id).router_logits", Float.self)
          == kept.flatMap { token -> [Float] in
            let row = rowOf[Int32(token.element)] ?? 0
            return Array(logits.values[row * batch.expertCount..<(row + 1) * batch.expertCount])
          })
      if kept.count < count {
        expectedNames.insert("\(id).rows")
        #expect(try numbers(export, "\(id).rows", Int32.self) == kept.map { Int32($0.offset) })
      }
    }
    if count > 0 { #expect(Set(export.tensors.map(\.name)) == expectedNames) }
  }

  @Test func encoderAndDecoderHaveRowsOfTheirOwn() throws {
    let routers = [RouterID(stack: .encoder, layer: 1), RouterID(stack: .decoder, layer: 1), RouterID(stack: .decoder, layer: 3)]
    let shape = SampleShape(name: "enc-dec", routers: routers, passes: [5, 2, 1, 1, 6, 3])
    var passes = shape.makePasses()
    let isEncoder = [true, false, false, false, true, false]
    for index in passes.indices {
      passes[index].batches = passes[index].batches.filter { ($0.router.stack == .encoder) == isEncoder[index] }
      for row in 0..<passes[index].tokens.count {
        passes[index].tokens.sequence[row] = index < 4 ? 0 : 1
        passes[index].tokens.position[row] = Int32(row + (index == 2 ? 2 : index == 3 ? 3 : 0))
        passes[index].tokens.phase[row] = isEncoder[index] ? .encode : .prefill
      }
    }
    let writer = try TraceWriter(file: file, description: shape.run)
    for pass in passes { try writer.receive(pass) }
    try writer.finish(.completed)
    let export = try safetensors()
    #expect(try numbers(export, "encoder_lengths", Int32.self) == [5, 6])
    #expect(try numbers(export, "decoder_lengths", Int32.self) == [4, 3])
    #expect(try numbers(export, "encoder_ids", Int32.self) == passes[0].tokens.tokenID + passes[4].tokens.tokenID)
    #expect(
      try numbers(export, "decoder_ids", Int32.self)
        == passes[1].tokens.tokenID + passes[2].tokens.tokenID + passes[3].tokens.tokenID + passes[5].tokens.tokenID)
    #expect(
      try numbers(export, "enc.1.expert_ids", Int32.self) == passes[0].batches[0].selectedExperts + passes[4].batches[0].selectedExperts)
    #expect(try export.tensor("dec.3.expert_ids").shape == [7, 2])
    #expect(try numbers(export, "phase", UInt8.self).count == 7)
    #expect(export["input_ids"] == nil)
  }

  // MARK: Errors

  @Test func outputsThatCannotBe() throws {
    try SampleShape(name: "x", passes: [3]).record(in: file)
    let trace = try TraceReader(file: file)
    let export = TraceExport(trace: trace, run: try trace.run(.latest))
    func kind(_ content: TraceExport.Content, _ format: TraceExport.Format, _ output: ExportOutput) -> StoreError.Kind? {
      do { try export.write(content, as: format, to: output) } catch { return (error as? StoreError)?.kind }
      return nil
    }
    func code(_ format: TraceExport.Format, _ path: String) -> Int32? {
      do { try export.write(.routing, as: format, to: .file(path)) } catch FormatError.system(_, "create", let code) { return code } catch {
      }
      return nil
    }
    #expect(kind(.load, .safetensors, .file(directory.file("x"))) == .usage)
    #expect(kind(.routing, .safetensors, .stream { _ in }) == .usage)
    for format in TraceExport.formats(of: .routing) {
      #expect(code(format, directory.file("no/such/x")) == ENOENT)
    }
    #expect(code(.csv, directory.path) == EISDIR)
    struct Full: Error {}
    #expect(throws: Full.self) { try export.write(.routing, as: .csv, to: .stream { _ in throw Full() }) }
    let before = try FileManager.default.contentsOfDirectory(atPath: directory.path)
    #expect(before == ["trace.db"], "nothing half written is left behind")
  }
}
