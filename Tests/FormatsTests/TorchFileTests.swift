// Is whatever torch.save wrote seen as it was saved, value by value, and nothing of it run? Dictionaries with any keys, tuples, lists that share
// and that hold themselves, tensors of other devices; damaged files give errors.

import Formats
import Foundation
import Support
import Testing

@Suite struct TorchFileTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private func open(_ body: [UInt8]) throws -> TorchValue {
    try TorchFile(path: directory.write(TorchBytes(body).bytes, to: "made.pt")).root
  }

  @Test func seesPlainValues() throws {
    let none = Array("N".utf8), yes = [UInt8(0x88)], half = Array("G".utf8) + [0x3F, 0xE0, 0, 0, 0, 0, 0, 0]
    let list = Array("](".utf8) + Pickle.int(1) + Pickle.int(-2) + Array("e".utf8)
    let root = try open(
      Pickle.dictionary(
        Pickle.text("none") + none, Pickle.text("yes") + yes, Pickle.text("half") + half, Pickle.text("list") + list,
        Pickle.text("mixed") + Pickle.tuple(Pickle.int(3), Pickle.text("four")), Pickle.int(7) + Pickle.text("by number"),
        Pickle.tuple(Pickle.text("decoder"), none, Pickle.int(0)) + Pickle.int(9)))
    #expect(root["none"]?.isNone == true && root["yes"]?.bool == true && root["half"]?.number == 0.5 && root["half"]?.int == nil)
    #expect(root["list"]?.integers == [1, -2] && root["list"]?.isTuple == false && root["mixed"]?.isTuple == true)
    #expect(root["mixed"]?.integers == nil && root["mixed"]?.items?.map(\.text) == [nil, "four"])
    #expect(root["nothing"] == nil && root["yes"]?["x"] == nil && root["list"]?.members == nil && root.items == nil)
    let members = try #require(root.members)
    #expect(members.count == 7 && members[5].key.int == 7 && members[5].value.text == "by number")
    let key = try #require(members[6].key.items)
    #expect(key[0].text == "decoder" && key[1].isNone && key[2].int == 0 && members[6].value.int == 9)
    #expect(root["mixed"]?.items?[1].place == "mixed[1]")
    let error = #expect(throws: FormatError.self) { try root.require("mixed", "").items?[1].requireInt() }
    #expect(error?.description == "\(directory.file("made.pt")): mixed[1]: expected an integer, found a string")
    #expect(throws: FormatError.self) { try root.require("nothing", "a number") }
  }

  /// What is shared is seen at each place; what holds itself can be looked at as deeply as anyone likes.
  @Test func sharesAndTurnsInCircles() throws {
    let shared = Array("]q".utf8) + [0] + Pickle.int(5) + Array("a".utf8)
    let twice = try open(Array("](".utf8) + shared + Array("h".utf8) + [0] + Array("e".utf8))
    #expect(twice.items?.map(\.integers) == [[5], [5]])
    var value = try open(Array("]q".utf8) + [0] + Array("h".utf8) + [0] + Array("a".utf8))
    for _ in 0..<100 { value = try #require(value.items?.first) }
    #expect(value.integers == nil)
  }

  @Test func seesTensorsOfAnyDevice() throws {
    let storage =
      Pickle.tuple(
        Pickle.text("storage"), Pickle.global("torch", "IntStorage"), Pickle.text("0"), Pickle.text("cuda:3"), Pickle.int(6))
      + Array("Q".utf8)
    let root = try open(
      Pickle.tuple(Pickle.tensor(storage: storage), Pickle.tensor([3, 2], [1, 3]), Pickle.tensor(at: 2, [0, 3], [3, 1])))
    let items = try #require(root.items)
    #expect(items[0].tensorShape?.elementType == .i32 && items[0].tensorShape?.shape == [2, 3])
    let tensor = try items[0].requireTensor(rank: 2)
    #expect(try NumberRows(tensor).integers(1..<2) == [0x0F0E_0D0C, 0x1312_1110, 0x1716_1514])
    let error = #expect(throws: FormatError.self) { try items[1].tensor() }
    #expect(error?.description.contains("[1]: a view [3, 2] with strides [1, 3] is not supported") == true)
    #expect(try items[2].tensor()?.elementCount == 0)
    #expect(throws: FormatError.self) { try items[0].requireTensor(rank: 3) }
    #expect(throws: FormatError.self) { try items[2].requireTensor(rank: 2) }
    #expect(items[0].kind == "a tensor i32 [2, 3]" && root.kind == "a tuple")
  }

  @Test func runsNothing() throws {
    let marker = directory.file("executed")
    let call = Pickle.reduce(Pickle.global("os", "system"), Pickle.tuple(Pickle.text("touch \(marker)")))
    for body in [call, Pickle.tuple(call), Pickle.dictionary(call + Pickle.int(1))] {
      let error = #expect(throws: FormatError.self) { try open(body) }
      #expect(error?.description.contains("os.system") == true)
    }
    #expect(!FileManager.default.fileExists(atPath: marker))
  }

  @Test(arguments: ["sglang-distribution/per_token_batch_0.pt", "hf-logits/sound_named.pt", "megatron/sound/router_state_rank0.pt"])
  func seesFilesOfTorch(_ name: String) throws {
    let path = try #require(Fixtures.own("foreign/\(name)"))
    #expect(!TorchFile.isCut(path))
    let whole = try Array(Data(contentsOf: URL(fileURLWithPath: path)))
    let root = try TorchFile(path: path).root
    switch name.prefix(2) {
    case "sg":
      let records = try #require(root["records"]?.items)
      #expect(records.count == 5 && records[0]["extend_seq_lens"]?.integers == [20, 20] && records[1]["extend_seq_lens"]?.isNone == true)
      #expect(records.allSatisfy { $0["misc_objects"]?.integers == [] })
      #expect(root["last_physical_to_logical_map"]?.tensorShape?.elementType == .i64)
    case "hf": #expect(root["router_logits"]?.items?.count == 2 && root["input_ids"]?.tensorShape?.shape == [2, 24])
    default:
      let member = try #require(root.members?.first)
      #expect(member.key.items?[0].text == "decoder" && member.value["expert_bias"] != nil)
    }
    // Cut anywhere: an error; one bit another: an error, or values.
    for count in stride(from: 0, to: whole.count, by: 7) {
      let cut = try directory.write(whole[..<count], to: "cut.pt")
      #expect(throws: FormatError.self) { try TorchFile(path: cut) }
      if count > 4 { #expect(TorchFile.isCut(cut)) }
    }
    var random = SeededRandom(seed: 11)
    for _ in 0..<500 {
      var bytes = whole
      bytes[Int.random(in: 0..<whole.count, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      do { walk(try TorchFile(path: directory.write(bytes, to: "flipped.pt")).root) } catch { #expect(error is FormatError) }
    }
  }

  private func walk(_ value: TorchValue, depth: Int = 0) {
    guard depth < 5 else { return }
    _ = try? value.tensor()?.bytes.last
    for item in value.items ?? [] { walk(item, depth: depth + 1) }
    for (key, value) in value.members ?? [] {
      walk(key, depth: depth + 1)
      walk(value, depth: depth + 1)
    }
  }
}
