import ArgumentParser
import Model
import Terminal

/// A tour of the program on what came with it.
struct Demo: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Sixty seconds through the bundled models: routers, uncertainty, specialists.",
    discussion: """
      moetop demo
      moetop demo --script tour.txt --dump tour.svg

      A key goes on, esc leaves the tour and stays in the program. Nothing is recorded.
      """)

  @Option(help: ArgumentHelp("Play the actions of a file (- is standard input), without a terminal.", valueName: "file"))
  var script: String?
  @Option(help: ArgumentHelp("Size of a script's screen, 1x1 to \(Size.largestScreen).", valueName: "WxH")) var size = "120x40"
  @Option(help: ArgumentHelp("Write the last screen of a script.", valueName: "file")) var dump: String?
  @OptionGroup(title: "Engine") var engine: EngineOptions

  func validate() throws {
    if dump != nil, script == nil { throw ValidationError("--dump needs --script") }
  }

  func run() throws {
    guard let folder = ModelPlaces.samplesOfProgram else {
      throw Failure(
        .missing, "the samples are not beside the program\n  try: make install, which puts them there, or run it in the checkout")
    }
    let text = folder + "/" + ModelPlaces.firstSample
    let images = folder + "/dit-moe-tiny"
    let tour = Tour(text: text, images: DenoisingModel.isAt(images) ? images : nil)
    var arguments = ["ui", text, "--no-record", "--size", size]
    for (option, value) in [("--script", script), ("--dump", dump)] { if let value { arguments += [option, value] } }
    guard var ui = try Moetop.parseAsRoot(arguments) as? UI else { return }
    ui.engine = engine
    try ui.run(tour)
  }
}
