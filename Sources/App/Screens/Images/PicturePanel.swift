// Live of a model that makes images: the picture after the step looked at, beside the image that the step was heading for, and how it is
// made. Pictures are of live sessions only; a trace holds routing.

import Analysis
import Model
import Routing
import Terminal

extension PanelID {
  /// The picture after the step looked at.
  static let picture = PanelID("picture")
}

extension AppModel {
  /// Panels of Live in a run of images: map and patches at the left, the picture at the right.
  func imagePanels(_ body: Rect) -> [PanelID: Rect] {
    let rows = max(1, routers.count)
    let isSmall = body.width < 100 || body.height < 30
    let side = pictureSide
    if isSmall {
      let parts = body.split(columns: [.fixed(isTrace ? min(34, body.width / 2) : max(30, min(side + 2, body.width / 2))), .flex()])
      let below: PanelID = [.heat, .picture].contains(focused) ? .patches : focused
      let right = parts[1].split(rows: [.fixed(min(rows + 4, body.height - 6)), .min(4)])
      return [.picture: parts[0], .heat: right[0], below: right[1]].filter { !$0.value.isEmpty }
    }
    let two = 2 * min(side, (body.width * 6 / 10 - 5) / 2) + 5
    let parts = body.split(columns: [.flex(), .fixed(max(46, two))])
    let left = parts[0].split(rows: [.fixed(min(max(rows + 4, 9), body.height - 18)), .min(9), .fixed(8)])
    let picture = isTrace ? 11 : min((two - 5) / 4 + Self.pictureLines + 3, body.height - 9)
    let right = parts[1].split(rows: [.fixed(picture), .min(9)])
    return [.heat: left[0], .patches: left[1], .layers: left[2], .picture: right[0], .balance: right[1]]
  }

  /// Lines of words below the picture.
  fileprivate static let pictureLines = 4

  /// Pixels along a side as they are shown: small latents are enlarged.
  private var pictureSide: Int {
    let side = images?.side ?? 32
    return side >= 32 ? side : side * max(1, 32 / max(1, side))
  }

  var imageStatus: StyledText {
    guard let buffer, look != nil, routers.indices.contains(router) else {
      return StyledText(engineNote.isEmpty ? "waiting for the first step" : engineNote)
    }
    if focused == .patches, let row { return patchWords(row, buffer) }
    let tallies = windowTallies()
    guard tallies.indices.contains(router) else { return "" }
    let shape = tallies[router].shape
    var text = "\(layerWords) expert \(expert)"
    if let load = shape.load, load.indices.contains(expert), let ratio = shape.loadRatio {
      text += "  load \(Show.fixed(load[expert] * 100, 1)) %  \(Show.fixed(ratio[expert], 1)) × uniform"
      text += "  \(shape.counts[expert]) of \(shape.assignments) picks"
    }
    return StyledText(text)
  }

  /// A patch at a step in words.
  func patchWords(_ row: Int, _ buffer: RoutingBuffer) -> StyledText {
    guard let place = buffer.place(row) else { return "" }
    let over = layersOver(row, resolvedThreshold, buffer)
    return StyledText("patch (\(place.patchRow),\(place.patchColumn))", .strong)
      + StyledText(" \(stepName(place.step)), \(timeName(place.step))  \(branchName(place.branch))  ")
      + StyledText(sampleName(buffer.sequence(row)), .dim)
      + StyledText("  uncertain at \(over) of \(Show.counted(routers.count, "layer"))", over > 0 ? .uncertain : nil)
  }
}

extension Painter {
  mutating func drawPicture() {
    let model = model
    guard let look = model.look, let layout = model.layout else {
      panel(.picture, "Image") { painter, area in painter.explain(painter.model.noStepWords, in: area) }
      return
    }
    let follows = model.isLive ? (model.selected == nil ? "following" : "\(model.key(.back)) follows again") : "\(model.key(.pause)) plays"
    panel(
      .picture, StyledText("Image · \(model.sampleName(look.sample))"),
      footer: StyledText("\(model.keys(.right)) step  \(model.keys(.down)) sample · \(follows)")
    ) {
      painter, area in
      let inner = area.dropping(left: 1)
      let words = painter.pictureWords(look, layout, width: inner.width)
      let room = inner.dropping(bottom: words.count)
      let used = painter.drawPictures(look, in: room)
      for (index, line) in words.enumerated() { painter.line(used + index, line, in: inner) }
    }
  }

  /// - Returns: the rows used.
  private mutating func drawPictures(_ look: StepLook, in area: Rect) -> Int {
    guard model.pictures != .off, let picture = model.buffer?.picture(look.first) else {
      let reason =
        model.pictures == .off
        ? "Pictures are off, as the setting \"pictures\" says (moetop config)."
        : model.isTrace
          ? "A trace holds routing, not pictures: the steps are replayed without them. The same class and seed make the picture again."
          : "The picture of this step is no longer kept; its routing is."
      let lines = wrapped(reason, area.width - 1)
      for (index, text) in lines.prefix(area.height).enumerated() { line(index, StyledText(text, .dim), in: area) }
      return min(area.height, lines.count + 1)
    }
    let current = picture.current
    let room = area.dropping(top: 1)
    let half = Size(width: (area.width - 2) / 2, height: room.height)
    let both = PixelView.size(width: current.width, height: current.height, in: half)
    let one = PixelView.size(width: current.width, height: current.height, in: room.size)
    let likeness = model.images?.showsPixels == false ? ", likeness of latents" : ""
    // Two where neither is much smaller for it.
    let showsBoth = both.width * 4 >= one.width * 3
    let size = showsBoth ? both : one
    line(0, StyledText("after the step" + (showsBoth ? "" : likeness), .dim), in: area)
    draw(picture.current, in: Rect(x: room.x, y: room.y, width: size.width, height: size.height))
    if showsBoth {
      let right = area.dropping(left: size.width + 2)
      line(0, StyledText("predicted image" + likeness, .dim), in: right)
      draw(picture.predicted, in: Rect(x: right.x, y: room.y, width: size.width, height: size.height))
    }
    return 1 + size.height
  }

  private mutating func draw(_ picture: Picture, in area: Rect) {
    draw(PixelView(width: picture.width, height: picture.height, pixels: picture.pixels), in: area)
  }

  /// Which step this is and how it is made.
  private func pictureWords(_ look: StepLook, _ layout: DenoisingLayout, width: Int) -> [StyledText] {
    let done = Double(look.step + 1) / Double(layout.stepCount)
    let name = "\(model.stepName(look.step))  \(model.timeName(look.step))  "
    let bar = max(0, min(24, width - name.count - 1))
    let filled = BarText.bar(done, width: bar, glyphs: theme.glyphs)
    let rest = String(repeating: String(theme.glyphs.emptyBlock), count: max(0, bar - filled.count))
    let guidance = layout.branchCount > 1 ? "guidance \(Show.fixed(Double(layout.guidanceScale), 2))" : "no guidance"
    let branch = layout.branchCount > 1 ? "  branch \(model.branchName(look.branch)) (\(model.key(.branch)))" : ""
    return [
      StyledText(name, .strong) + StyledText(filled, .bar) + StyledText(rest, .dim),
      StyledText("\(guidance)\(branch)"),
      StyledText(
        layout.sampler + (layout.patchCount > 1 ? ", \(layout.patchRows) × \(layout.patchColumns) patches" : ", one decision a step"), .dim),
    ] + (model.isLive ? [StyledText("\(model.key(.imageClass)) chooses a class", .dim)] : [])
  }
}
