// Are models found where the programs that download them put them? A made-up home with one of each cache, nothing of the real one.

import Foundation
import Model
import Support
import Testing

@testable import App

struct ModelPlacesTests {
  private let home: TemporaryDirectory
  private let fixture: String

  init() throws {
    home = try TemporaryDirectory()
    fixture = try #require(Fixtures.own("models/olmoe"))
  }

  /// A copy of the fixture's configuration and weights at `path` under the home.
  private func model(at path: String) throws {
    let folder = home.file(path)
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    for name in ["config.json", "model.safetensors"] {
      try FileManager.default.createSymbolicLink(atPath: "\(folder)/\(name)", withDestinationPath: "\(fixture)/\(name)")
    }
  }

  private func file(_ path: String, _ text: String) throws {
    let folder = (home.file(path) as NSString).deletingLastPathComponent
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try home.write(Array(text.utf8), to: path)
  }

  private func places(_ environment: [String: String] = [:]) -> ModelPlaces { ModelPlaces(environment: environment, home: home.path) }

  @Test func everyCacheIsLookedInto() throws {
    try model(at: ".cache/huggingface/hub/models--allenai--OLMoE-1B-7B/snapshots/0123456789abcdef")
    try file(".cache/huggingface/hub/models--some--quants/snapshots/ab/model-Q4_K_M.gguf", "GGUF, but cut off")
    try file(
      ".ollama/models/manifests/registry.ollama.ai/library/mixtral/8x7b",
      #"{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:00ff"}]}"#)
    try file(".ollama/models/blobs/sha256-00ff", "GGUF")
    try file(".ollama/models/manifests/registry.ollama.ai/library/broken/latest", "{")
    try file(".lmstudio/models/maker/name/a-00001-of-00002.gguf", "GGUF")
    try file(".lmstudio/models/maker/name/a-00002-of-00002.gguf", "GGUF")
    try file(".cache/llama.cpp/b.gguf", "no model")
    try model(at: "mine/one")
    let found = places(["MOETOP_MODELS": home.file("mine") + ":" + home.file("nowhere")]).everything()
    #expect(
      found.map(\.name) == [
        "allenai/OLMoE-1B-7B", "some/quants/model-Q4_K_M.gguf", "broken:latest", "mixtral:8x7b", "a-00001-of-00002.gguf", "b.gguf", "one",
      ])
    let listing = ModelListing(found)
    #expect(listing.rows.map { $0.obstacle == nil } == [true, false, false, false, false, false, true])
    #expect(listing.rows[0].summary?.family == "olmoe" && listing.rows[0].summary?.parameters ?? 0 > 0)
    #expect(listing.text.contains("7 found, 2 can be opened"))
    #expect(listing.rows[2].obstacle?.contains("not valid JSON") == true)
    #expect(listing.json.contains("\"schema\":\"moetop.models/1\""))
  }

  /// A published file of weights without a configuration is found by its shapes; other files of weights are not.
  @Test func weightsAloneAreFoundByTheirShapes() throws {
    try file("mine/notes.pt", "no archive")
    for (name, source) in [("dit.pt", "dit/timm-pt/dit_moe_tiny_4E2A.pt"), ("model.safetensors", "models/olmoe/model.safetensors")] {
      try FileManager.default.copyItem(atPath: #require(Fixtures.own(source)), toPath: home.file("mine/\(name)"))
    }
    let listing = ModelListing(places().models(in: home.file("mine")))
    #expect(listing.rows.map(\.found.name) == ["dit.pt"])
    #expect(listing.rows.first?.obstacle?.contains("heads") == true, "\(listing.text)")
    // A repository may hold several sizes.
    for name in ["s.pt", "b.pt"] {
      let path = home.file("hf/hub/models--a--dit/snapshots/r1/\(name)")
      try FileManager.default.createDirectory(
        at: URL(fileURLWithPath: path).deletingLastPathComponent(), withIntermediateDirectories: true)
      try FileManager.default.copyItem(atPath: home.file("mine/dit.pt"), toPath: path)
    }
    #expect(places(["HF_HOME": home.file("hf")]).everything().map(\.name) == ["a/dit/b.pt", "a/dit/s.pt"])
  }

  @Test func variablesMoveTheCaches() throws {
    try model(at: "hf/hub/models--a--b/snapshots/r1")
    try model(at: "hf/hub/models--a--b/snapshots/r2")
    #expect(places(["HF_HOME": home.file("hf")]).everything().map(\.name) == ["a/b@r1", "a/b@r2"])
    #expect(places(["HF_HUB_CACHE": home.file("hf/hub")]).everything().count == 2)
    try file("other/manifests/r/n/m/t", "{}")
    #expect(
      places(["OLLAMA_MODELS": home.file("other")]).everything().map(\.problem) == [
        "\(home.file("other"))/manifests/r/n/m/t: layers: missing; expected an array"
      ])
    try file("lc/x.gguf", "")
    #expect(places(["LLAMA_CACHE": home.file("lc")]).everything().map(\.name) == ["x.gguf"])
    #expect(places().everything().isEmpty && places().places.count == 5)
  }

  @Test func whatCannotRunSaysWhy() throws {
    try file("list/unknown/config.json", #"{"model_type": "unheard_of"}"#)
    try file("list/empty/config.json", #"{"model_type": "olmoe"}"#)
    try file("list/broken/config.json", "{")
    let rows = ModelListing(places().models(in: home.file("list") + "/")).rows
    #expect(rows.map(\.found.name) == ["broken", "empty", "unknown"])
    #expect(rows[0].obstacle?.contains("not valid JSON") == true)
    #expect(rows[1].obstacle != nil && rows[1].summary?.family == "olmoe")
    #expect(rows[2].obstacle?.contains("there is no model.safetensors") == true || rows[2].obstacle?.contains("unheard_of") == true)
    #expect(places().models(in: home.file("missing")).map(\.problem) == ["there is no such folder"])
  }

  // MARK: Names for MODEL

  private let hub = ".cache/huggingface/hub"

  private func meaning(_ name: String, _ environment: [String: String] = [:]) -> String {
    let path = places(environment).path(of: name)
    return path.hasPrefix(home.path + "/") ? String(path.dropFirst(home.path.count + 1)) : path
  }

  @Test func aRepositoryIsNamedAsPeopleNameIt() throws {
    let snapshots = "\(hub)/models--allenai--OLMoE/snapshots"
    try model(at: "\(snapshots)/aaaa1111")
    for name in ["allenai/OLMoE", "models--allenai--OLMoE", "allenai/OLMoE@aaaa1111", "allenai/OLMoE@aaaa"] {
      #expect(meaning(name) == "\(snapshots)/aaaa1111", "\(name)")
    }
    #expect(meaning(home.file("\(hub)/models--allenai--OLMoE")) == "\(snapshots)/aaaa1111")
    #expect(meaning(home.file("\(hub)/models--allenai--OLMoE/snapshots/aaaa1111/model.safetensors")) == "\(snapshots)/aaaa1111")
    #expect(meaning("allenai/OLMoE", ["HF_HUB_CACHE": home.file(hub)]) == "\(snapshots)/aaaa1111")
    #expect(meaning("allenai/OLMoE", ["HF_HOME": home.file("elsewhere")]) == "allenai/OLMoE")
    // What nobody has is for others to say, and is said with the place.
    #expect(meaning("allenai/other") == "allenai/other")
    let absence = try #require(places().absence(of: "allenai/other")).description
    #expect(absence.contains("nothing of that name in \(home.file(hub))") && absence.contains("moetop models"), "\(absence)")
    #expect(places().absence(of: "latest") == nil && places().absence(of: "../x/y") == nil && places().absence(of: "/x/y") == nil)
    // Of two revisions the one that main names.
    try model(at: "\(snapshots)/bbbb2222")
    #expect(meaning("allenai/OLMoE") == "allenai/OLMoE")
    #expect(try #require(places().absence(of: "allenai/OLMoE")).description.contains("there are 2 models in it: allenai/OLMoE@aaaa111"))
    try file("\(hub)/models--allenai--OLMoE/refs/main", "bbbb2222\n")
    #expect(meaning("allenai/OLMoE") == "\(snapshots)/bbbb2222" && meaning("allenai/OLMoE@main") == "\(snapshots)/bbbb2222")
    #expect(meaning("allenai/OLMoE@aaaa") == "\(snapshots)/aaaa1111")
    #expect(LanguageModel.name(of: home.file("\(snapshots)/bbbb2222")) == "allenai/OLMoE")
  }

  @Test func aFolderOfGGUFFilesIsTheOneModelInIt() throws {
    let snapshot = "\(hub)/models--some--quants/snapshots/ab"
    try file("\(snapshot)/model-Q4_K_M.gguf", "GGUF")
    try file("\(snapshot)/mmproj-F16.gguf", "GGUF")
    for name in ["some/quants", home.file(snapshot), "some/quants/model-Q4_K_M.gguf"] {
      #expect(meaning(name) == "\(snapshot)/model-Q4_K_M.gguf", "\(name)")
    }
    try file("\(snapshot)/BF16/model-BF16-00001-of-00002.gguf", "GGUF")
    try file("\(snapshot)/BF16/model-BF16-00002-of-00002.gguf", "GGUF")
    #expect(meaning("some/quants/BF16/model-BF16-00001-of-00002.gguf") == "\(snapshot)/BF16/model-BF16-00001-of-00002.gguf")
    #expect(meaning(home.file("\(snapshot)/BF16")) == "\(snapshot)/BF16/model-BF16-00001-of-00002.gguf")
    let several = try #require(places().absence(of: "some/quants")).description
    #expect(several.contains("2 models in it") && several.contains("try: one of them: some/quants/"), "\(several)")
    try file("\(snapshot)/model-Q8_0.gguf", "GGUF")
    let folder = try #require(places().absence(of: home.file(snapshot))).description
    #expect(folder.contains("2 models in it: \(home.file(snapshot))/model-Q4_K_M.gguf, "), "\(folder)")
  }

  @Test func ollamasNamesHaveATag() throws {
    try file(
      ".ollama/models/manifests/registry.ollama.ai/library/gpt-oss/20b",
      #"{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:00ff"}]}"#)
    #expect(meaning("gpt-oss:20b") == ".ollama/models/blobs/sha256-00ff")
    let absence = try #require(places().absence(of: "gpt-oss:120b")).description
    #expect(absence.contains(home.file(".ollama/models")), "\(absence)")
  }

  @Test(
    arguments: [
      ("a/b", "a/b", nil, nil), ("a/b@v1", "a/b", "v1", nil), ("a/b/c/d.gguf", "a/b", nil, "c/d.gguf"), ("models--a--b", "a/b", nil, nil),
      ("models--gpt2/x.gguf", "gpt2", nil, "x.gguf"), ("word", nil, nil, nil), ("a//b", nil, nil, nil), ("../..", nil, nil, nil),
    ] as [(String, String?, String?, String?)])
  func partsOfAName(_ text: String, _ name: String?, _ revision: String?, _ file: String?) {
    let parts = ModelPlaces.RepositoryName(text)
    #expect(parts?.name == name && parts?.revision == revision && parts?.file == file)
  }
}
